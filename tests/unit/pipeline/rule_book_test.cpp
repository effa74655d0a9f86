// Exception lists that can't be taken: rules go on with what they had, or wait and are told of; nobody is forgotten.
#include "engine/pipeline/rule_book.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "engine/event/json_tree.h"
#include "engine/ir/oracle.h"
#include "tests/support/fake_lists.h"

namespace fb {
namespace {

namespace fs = std::filesystem;

class RuleBookLists : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "fb-book-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    book_.reset();
    fs::remove_all(folder_);
  }
  void open(bool allow_broken) {
    RuleBookOptions options;
    options.paths = {folder_};
    options.allow_broken = allow_broken;
    options.allow_empty = true;
    options.lists = lists_.reader();
    book_ = std::make_unique<RuleBook>(options);
  }
  static std::string list_of(const std::string& id) {
    return id.empty() ? "[]" : R"([{"list_id":")" + id + R"(","type":"detection","namespace_type":"single"}])";
  }
  void write(const std::string& rule_id, const std::string& list, const std::string& name = "n") {
    const std::string file = folder_ + "/" + rule_id + ".yml";
    std::ofstream(file + "~") << "rule_id: " << rule_id << "\nname: " << name << "\ndescription: d\ntype: query\n"
                              << "language: kuery\nseverity: low\nrisk_score: 21\nquery: 'event.code: 4688'\n"
                              << "exceptions_list: " << list_of(list) << "\n";
    fs::rename(file + "~", file);
  }
  static RuleText more(const std::string& rule_id, const std::string& list) {
    return {rule_id, R"({"rule_id":")" + rule_id +
                         R"(","name":"n","description":"d","type":"query","language":"kuery","enabled":true,)"
                         R"("severity":"low","risk_score":21,"query":"event.code: 4688","exceptions_list":)" +
                         list_of(list) + "}"};
  }
  bool runs(const std::string& rule_id) const {
    for (const RuleInput& r : book_->current()->rules()) {
      if (r.meta->rule_id == rule_id) return true;
    }
    return false;
  }
  bool alerts(const std::string& rule_id, const std::string& user) const {
    const std::string event = R"({"event":{"code":"4688"},"user":{"name":")" + user + "\"}}";
    for (const RuleInput& r : book_->current()->rules()) {
      if (r.meta->rule_id == rule_id) return ir::matches(r.condition, *parse_json_tree(event), {0, {}});
    }
    return false;
  }
  template <class Done>
  static bool soon(const Done& done) {
    for (int i = 0; i < 5000 && !done(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return done();
  }

  std::string folder_;
  test::FakeLists lists_;
  std::unique_ptr<RuleBook> book_;
};

// Somebody edits another file meanwhile: nobody may lose a rule, or the cause, by that.
TEST_F(RuleBookLists, AReloadTakesNoRuleAwayWhileItsListIsBehind) {
  for (const bool allow_broken : {true, false}) {
    lists_.excepts("mine", "svc");
    lists_.recovers("mine");
    write("r", "mine");
    open(allow_broken);
    ASSERT_TRUE(book_->reload().swapped);
    ASSERT_TRUE(book_->set_more({more("a", "mine")}, RuleBook::Try::swap).swapped);
    lists_.excepts("mine", "anna");
    lists_.fails("mine");
    EXPECT_FALSE(book_->lists_changed().swapped);
    write("s", "", allow_broken ? "one" : "other");
    const ReloadReport report = book_->reload();
    EXPECT_TRUE(report.swapped) << report.problem;
    EXPECT_EQ(report.behind.size(), 1u);
    for (const char* rule : {"r", "a"}) {
      EXPECT_TRUE(alerts(rule, "anna")) << "the old content holds";
      EXPECT_FALSE(alerts(rule, "svc"));
    }
    EXPECT_TRUE(runs("s"));
    EXPECT_NE(book_->lists_problem().find("'mine'"), std::string::npos) << book_->lists_problem();
    lists_.recovers("mine");
    EXPECT_TRUE(book_->lists_changed().swapped);
    EXPECT_FALSE(alerts("r", "anna"));
    EXPECT_TRUE(alerts("a", "svc"));
    EXPECT_EQ(book_->lists_problem(), "");
  }
}

TEST_F(RuleBookLists, ARuleThatWaitsForAListIsToldAndRunsWithItAsSoonAsItCan) {
  for (const char* list : {"mine", "other"}) {
    lists_.excepts(list, "svc");
    lists_.fails(list);
  }
  write("r", "mine");
  open(true);
  const ReloadReport start = book_->reload();
  EXPECT_TRUE(start.swapped);
  ASSERT_EQ(start.waits.size(), 1u);
  EXPECT_FALSE(start.loaded.rules[0].ok);
  const ReloadReport report = book_->set_more({more("a", "other"), more("b", "")}, RuleBook::Try::swap, true);
  ASSERT_EQ(report.waits.size(), 1u);
  EXPECT_EQ(report.waits[0].at, 0u);
  EXPECT_TRUE(report.waits[0].may_pass);
  EXPECT_FALSE(runs("r"));
  EXPECT_FALSE(runs("a"));
  EXPECT_TRUE(runs("b"));
  EXPECT_EQ(book_->waiting()->size(), 2u);
  EXPECT_TRUE(book_->lists_problem().starts_with("2 rules do not run")) << book_->lists_problem();
  EXPECT_FALSE(book_->lists_changed().swapped);
  EXPECT_NE(book_->problem_of({false, "mine", false}, {"x", R"({"entries":[{"type":"no-such-type"}]})", {}}), "")
      << "nobody makes it worse meanwhile";
  std::atomic<int> seen = 0;
  book_->watch(2, 2, [&](const ReloadReport& r) { seen += r.changed; });
  lists_.recovers("mine");
  lists_.recovers("other");
  EXPECT_TRUE(soon([&] { return book_->lists_problem().empty() && seen > 0; }));
  book_->stop_watching();
  for (const char* rule : {"r", "a"}) {
    EXPECT_TRUE(alerts(rule, "anna"));
    EXPECT_FALSE(alerts(rule, "svc"));
  }
  EXPECT_TRUE(book_->waiting()->empty());
  EXPECT_EQ(book_->lists_problem(), "");
}

TEST_F(RuleBookLists, AListThatCantBeRunIsWaitedForToo) {
  lists_.breaks("mine");
  write("r", "mine");
  open(true);
  const ReloadReport start = book_->reload();
  ASSERT_EQ(start.waits.size(), 1u);
  EXPECT_FALSE(start.waits[0].may_pass);
  EXPECT_FALSE(runs("r"));
  lists_.excepts("mine", "");  // somebody takes the bad item away
  EXPECT_TRUE(book_->lists_changed().changed);
  EXPECT_TRUE(runs("r"));
}

TEST_F(RuleBookLists, FilesThatWereRefusedForAListAreTriedAgain) {
  write("r", "");
  open(false);
  ASSERT_TRUE(book_->reload().swapped);
  std::atomic<int> refused = 0;
  std::atomic<int> taken = 0;
  lists_.excepts("mine", "svc");
  lists_.fails("mine");
  book_->watch(2, 2, [&](const ReloadReport& r) { ++(r.swapped ? taken : refused); });
  write("r", "mine", "another-name");
  EXPECT_TRUE(soon([&] { return refused > 0; }));
  EXPECT_TRUE(alerts("r", "svc")) << "the old rule runs on";
  lists_.recovers("mine");
  EXPECT_TRUE(soon([&] { return taken > 0; }));
  book_->stop_watching();
  EXPECT_EQ(refused, 1) << "one refusal is told once";
  EXPECT_FALSE(alerts("r", "svc"));
  EXPECT_TRUE(alerts("r", "anna"));
}

TEST_F(RuleBookLists, ATrialThatTakesOnlySomeListsIsTold) {
  for (const char* list : {"one", "two"}) lists_.excepts(list, "");
  open(false);
  ASSERT_TRUE(book_->set_more({more("a", "one"), more("b", "two")}, RuleBook::Try::swap).swapped);
  for (const char* list : {"one", "two"}) {
    lists_.excepts(list, "svc");
    lists_.fails(list);
  }
  EXPECT_EQ(book_->lists_changed().behind.size(), 2u);
  std::atomic<int> seen = 0;
  book_->watch(2, 2, [&](const ReloadReport& r) {
    if (r.changed && r.behind.size() == 1 && r.behind[0].list.list_id == "two") ++seen;
  });
  lists_.recovers("one");
  EXPECT_TRUE(soon([&] { return seen > 0; }));
  book_->stop_watching();
  EXPECT_FALSE(alerts("a", "svc"));
  EXPECT_TRUE(alerts("b", "svc"));
}

// Many wait while one reads, and share the next reading: what that changed is one change.
TEST_F(RuleBookLists, OneChangeIsToldOnce) {
  std::atomic<bool> held = false;
  std::atomic<int> reads = 0;
  RuleBookOptions options;
  options.allow_empty = true;
  options.lists = [&, read = lists_.reader()](const ListReference& list) {
    auto content = read(list);
    ++reads;
    while (held) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return content;
  };
  book_ = std::make_unique<RuleBook>(options);
  lists_.excepts("mine", "");
  ASSERT_TRUE(book_->set_more({more("a", "mine")}, RuleBook::Try::swap).swapped);
  reads = 0;
  held = true;
  std::atomic<int> begun = 0;
  std::atomic<int> changed = 0;
  std::vector<std::thread> all;
  const auto start = [&] {
    all.emplace_back([&] {
      ++begun;
      changed += book_->lists_changed().changed;
    });
  };
  start();
  EXPECT_TRUE(soon([&] { return reads == 1; }));  // it has the old content
  constexpr int kCalls = 8;
  for (int i = 1; i < kCalls; ++i) start();
  EXPECT_TRUE(soon([&] { return begun == kCalls; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  lists_.excepts("mine", "svc");
  held = false;
  for (std::thread& t : all) t.join();
  EXPECT_EQ(changed, 1);
  EXPECT_FALSE(alerts("a", "svc"));
}

// What the check read is good enough for the swap; what has changed since comes by itself.
TEST_F(RuleBookLists, ARuleThatWasCheckedRunsThoughItsListCantBeReadAgain) {
  lists_.excepts("mine", "svc");
  open(false);
  ASSERT_TRUE(book_->set_more({more("a", "")}, RuleBook::Try::swap).swapped);
  lists_.fails("mine", 1);
  ASSERT_EQ(book_->set_more({more("a", "mine")}, RuleBook::Try::check).problem, "");
  const ReloadReport report = book_->set_more({more("a", "mine")}, RuleBook::Try::swap, true);
  EXPECT_TRUE(report.waits.empty());
  EXPECT_EQ(report.behind.size(), 1u);
  EXPECT_TRUE(alerts("a", "anna"));
  EXPECT_FALSE(alerts("a", "svc"));
  EXPECT_NE(book_->lists_problem(), "");
  lists_.excepts("mine", "anna");
  lists_.recovers("mine");
  EXPECT_TRUE(book_->lists_changed().swapped);
  EXPECT_FALSE(alerts("a", "anna"));
  EXPECT_EQ(book_->lists_problem(), "");
}

}  // namespace
}  // namespace fb
