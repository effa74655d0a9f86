// Finding and reading files on a file system that nobody vouches for.
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/compile/support.h"

namespace fb {
namespace {

using namespace test;
namespace fs = std::filesystem;

std::string rule_named(const std::string& id) {
  return rule_text("rule_id: " + id + "\n");
}

Strings ids(const LoadedRules& loaded) {
  Strings out;
  for (const LoadedRule& rule : loaded.rules) out.push_back(rule.rule_id);
  return out;
}

TEST(Files, AFolderIsReadRecursivelyInOrder) {
  TempFolder folder;
  folder.write("b.yml", rule_named("b"));
  folder.write("a/z.yaml", rule_named("z"));
  folder.write("c.ndjson", "");
  folder.write(".hidden.yml", "][");
  folder.write(".git/x.yml", "][");
  folder.write("README.md", "][");
  folder.write("x.yml.swp", "][");
  const Result<LoadedRules> loaded = load_rules({folder.path() + "/"});
  ASSERT_TRUE(loaded);
  EXPECT_EQ(ids(*loaded), (Strings{"z", "b"}));
  EXPECT_EQ(loaded->files, 3u);
  EXPECT_EQ(codes(*loaded), Strings{"empty-file"});
  EXPECT_EQ(loaded->rules[0].file, folder.path() + "/a/z.yaml");
}

TEST(Files, APathThatDoesNotExistIsAnErrorOfTheCall) {
  EXPECT_FALSE(load_rules({"/nowhere/rules"}));
  TempFolder folder;
  fs::create_symlink("nowhere", folder.path() + "/dangling.yml");
  EXPECT_FALSE(load_rules({folder.path() + "/dangling.yml"}));
  EXPECT_EQ(codes(*load_rules({folder.path()})), Strings{"file-unreadable"});
}

TEST(Files, AnyNameGoesWhenGivenItself) {
  TempFolder folder;
  const std::string file = folder.write("rule.txt", rule_named("t"));
  EXPECT_EQ(ids(*load_rules({file})), Strings{"t"});
  // The same file is read once, however often it is given.
  EXPECT_EQ(ids(*load_rules({file, file, folder.path() + "/./rule.txt"})), Strings{"t"});
}

TEST(Files, PipesAndDevicesAreRefusedWithoutWaiting) {
  TempFolder folder;
  ASSERT_EQ(::mkfifo((folder.path() + "/pipe.yml").c_str(), 0600), 0);
  fs::create_symlink("/dev/zero", folder.path() + "/zero.yml");
  fs::create_directory(folder.path() + "/folder.yml");
  folder.write("ok.yml", rule_named("ok"));
  const Result<LoadedRules> loaded = load_rules({folder.path()});
  ASSERT_TRUE(loaded);
  EXPECT_EQ(codes(*loaded), (Strings{"not-a-file", "link-outside"}));
  EXPECT_EQ(ids(*loaded), Strings{"ok"});
  EXPECT_EQ(codes(*load_rules({folder.path() + "/pipe.yml"})), Strings{"not-a-file"});
  EXPECT_EQ(codes(*load_rules({"/dev/zero"})), Strings{"not-a-file"});
}

TEST(Files, LinksStayInside) {
  TempFolder outside;
  outside.write("secret.yml", rule_named("secret"));
  TempFolder folder;
  folder.write("..data/real.yml", rule_named("real"));  // as Kubernetes mounts a config map
  fs::create_symlink("..data/real.yml", folder.path() + "/real.yml");
  fs::create_symlink(outside.path() + "/secret.yml", folder.path() + "/secret.yml");
  fs::create_symlink(outside.path(), folder.path() + "/others");
  fs::create_symlink("/etc/passwd", folder.path() + "/passwd.yml");
  fs::create_symlink("/etc/passwd", folder.path() + "/passwd.txt");  // would not be read anyway
  const Result<LoadedRules> loaded = load_rules({folder.path()});
  ASSERT_TRUE(loaded);
  EXPECT_EQ(ids(*loaded), Strings{"real"});
  EXPECT_EQ(codes(*loaded), (Strings{"link-outside", "link-outside", "link-outside"}));
  // A path that the user gives may be a link itself.
  EXPECT_EQ(ids(*load_rules({folder.path() + "/others"})), Strings{"secret"});
}

TEST(Files, LinkLoopsEnd) {
  TempFolder folder;
  folder.write("a/r.yml", rule_named("r"));
  fs::create_symlink("..", folder.path() + "/a/up");
  fs::create_symlink(".", folder.path() + "/self");
  fs::create_symlink("loop.yml", folder.path() + "/loop.yml");
  const Result<LoadedRules> loaded = load_rules({folder.path()});
  ASSERT_TRUE(loaded);
  EXPECT_EQ(ids(*loaded), Strings{"r"});
  EXPECT_EQ(codes(*loaded), Strings{"file-unreadable"});
}

TEST(Files, AFileThatMayNotBeReadIsNamed) {
  TempFolder folder;
  const std::string file = folder.write("r.yml", rule_named("r"));
  fs::permissions(file, fs::perms::none);
  const Result<LoadedRules> loaded = load_rules({folder.path()});
  ASSERT_TRUE(loaded);
  if (::geteuid() == 0) {
    EXPECT_EQ(ids(*loaded), Strings{"r"});  // root may read everything
  } else {
    EXPECT_EQ(codes(*loaded), Strings{"file-unreadable"});
  }
}

TEST(Files, TooLargeTooDeepTooMany) {
  TempFolder folder;
  folder.write("large.yml", "a: '" + std::string(300u << 10, 'x') + "'\n");
  EXPECT_EQ(codes(*load_rules({folder.path()})), Strings{"file-too-large"});
  TempFolder toml;
  toml.write("large.toml", "[rule]\na = '" + std::string(300u << 10, 'x') + "'\n");
  EXPECT_EQ(codes(*load_rules({toml.path()})), Strings{"file-too-large"});
  // Exports may be larger than a file written by hand.
  const std::string padded = R"({"rule_id":"p","name":"n","description":")" + std::string(300u << 10, 'x') +
                             R"(","type":"query","severity":"low","risk_score":1,"query":"a:b"})";
  TempFolder exports;
  exports.write("export.ndjson", padded);
  EXPECT_EQ(ids(*load_rules({exports.path()})), Strings{"p"});
  LoadOptions small;
  small.limits.max_rule_import_bytes = 290u << 10;
  EXPECT_EQ(codes(*load_rules({exports.path()}, small)), Strings{"file-too-large"});

  TempFolder deep;
  std::string path;
  for (int i = 0; i < 40; ++i) path += "d/";
  deep.write(path + "r.yml", rule_named("r"));
  EXPECT_EQ(codes(*load_rules({deep.path()})), Strings{"folder-too-deep"});

  LoadOptions few;
  few.limits.max_rules = 2;
  TempFolder many;
  for (const char* id : {"a", "b", "c"}) many.write(std::string(id) + ".yml", rule_named(id));
  const Result<LoadedRules> loaded = load_rules({many.path()}, few);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->rules.size(), 2u);
  EXPECT_EQ(codes(*loaded), Strings{"too-many-rules"});
}

TEST(Files, OtherYamlIsNoRule) {
  EXPECT_EQ(codes_of("services:\n  web: {image: x}\n"), Strings{"not-a-rule"});
  EXPECT_EQ(codes_of("just text\n"), Strings{"not-a-rule"});
  EXPECT_EQ(codes_of("[]\n"), Strings{"not-a-rule"});
  EXPECT_EQ(codes_of("- 1\n- {rule_id: x}\n").front(), "not-a-rule");
}

TEST(Files, ALineOfAnExportThatIsNoRuleIsUnderstood) {
  const LoadedRules loaded =
      load_rule_text(R"({"type":"action","id":"c","attributes":{"name":"x"}})"
                     "\n"
                     R"({"exported_count":1,"exported_rules_count":1,"missing_rules":[],"missing_rules_count":0})"
                     "\n",
                     "e.ndjson");
  EXPECT_TRUE(loaded.ok()) << all_problems(loaded);
  EXPECT_TRUE(loaded.rules.empty());
}

}  // namespace
}  // namespace fb
