// Every recorded event decodes, and the decoder and the tree parser agree on all of it.
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>

#include "tests/unit/event/support.h"

namespace fb {
namespace {

std::filesystem::path shared() {
  if (const char* path = std::getenv("FB_SHARED")) return path;
  const char* source = std::getenv("FB_SOURCE_DIR");
  return std::filesystem::path(source == nullptr ? "." : source) / ".." / "shared";
}

std::string unpack(const std::filesystem::path& path) {
  std::string all;
  gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) return all;
  char chunk[65536];
  for (int got = gzread(file, chunk, sizeof chunk); got > 0; got = gzread(file, chunk, sizeof chunk)) {
    all.append(chunk, static_cast<size_t>(got));
  }
  gzclose(file);
  return all;
}

TEST(Corpus, EveryEventDecodesAsInTheTree) {
  auto table = std::make_shared<FieldTable>();
  for (const char* name : {"EventID", "Channel", "Image", "CommandLine", "ParentImage", "Message", "Hostname",
                           "TargetObject", "host", "host.name", "winlog", "winlog.event_data.Image", "tags", "port"}) {
    table->add(name);
  }
  auto leaves = std::make_shared<FieldTable>(*table);
  leaves->want_all_leaves();
  Decoder decoder(table, {});
  Decoder all(leaves, {});
  size_t events = 0;
  const auto folder = shared() / "corpus" / "events";
  ASSERT_TRUE(std::filesystem::is_directory(folder)) << folder;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".gz") continue;
    const std::string text = unpack(entry.path());
    ASSERT_FALSE(text.empty()) << entry.path();
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      const test::Record record(std::string_view(text).substr(begin, end - begin));
      begin = end + 1;
      if (record.view().find_first_not_of(" \r\t") == std::string_view::npos) continue;
      const auto tree = parse_json_tree(record.view());
      ASSERT_TRUE(tree) << tree.error().describe();
      const Event* event = decoder.decode(record.view());
      ASSERT_NE(event, nullptr) << decoder.refusal().detail;
      ASSERT_EQ(test::difference(*event, *table, *tree), "") << record.view();
      const Event* with_leaves = all.decode(record.view());
      ASSERT_NE(with_leaves, nullptr);
      ASSERT_EQ(test::difference(*with_leaves, *leaves, *tree), "") << record.view();
      ++events;
    }
  }
  EXPECT_GT(events, 20'000U);
  RecordProperty("events", static_cast<int>(events));
}

}  // namespace
}  // namespace fb
