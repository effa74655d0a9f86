// Once warm, decoding allocates nothing. A program of its own: it counts every operator new.
#include <gtest/gtest.h>

#include "tests/support/allocations.h"
#include "tests/unit/event/support.h"

namespace fb {
namespace {

std::vector<test::Record> some_events() {
  std::vector<test::Record> records;
  for (int i = 0; i < 500; ++i) {
    const std::string n = std::to_string(i * 7919);
    std::string json = R"({"@timestamp":"2026-05-01T10:00:00Z","agent":{"id":"a)" + n + R"("},"host.id":"h)" + n +
                       R"(","process":{"pid":)" + n + R"(,"command_line":"C:\\x\\)" + n +
                       R"(.exe \"-q\"","args":["a","\t)" + n + R"("]},"items":[{"k":"v\n)" + n +
                       R"("},{"k":[1,2]}],"esc\u0061ped":{"x":[[)" + n + R"(]]},"text":")" +
                       std::string(static_cast<size_t>(i * 37 % 3000), 'm') + R"("})";
    records.emplace_back(json);
  }
  return records;
}

size_t allocations_of_second_pass(const std::shared_ptr<FieldTable>& table) {
  const auto records = some_events();
  Decoder decoder(table, {});
  size_t nested = 0;
  size_t before = 0;
  for (int pass = 0; pass < 2; ++pass) {
    before = test::allocations();
    for (const test::Record& record : records) {
      const Event* event = decoder.decode(record.view());
      if (event == nullptr) {
        ADD_FAILURE() << decoder.refusal().detail;
        return 0;
      }
      for (const NestedObject& object : event->nested()) nested += decoder.decode_nested(object, 0) != nullptr;
    }
  }
  const size_t counted_now = test::allocations() - before;
  EXPECT_EQ(nested, 2 * 2 * records.size());
  return counted_now;
}

TEST(Allocation, TheCounterCounts) {
  const size_t before = test::allocations();
  auto p = std::make_unique<int>(1);
  EXPECT_GT(test::allocations(), before);
}

TEST(Allocation, NoneOnceWarm) {
  auto table = std::make_shared<FieldTable>();
  for (const char* name :
       {"process.pid", "process.command_line", "process.args", "items.k", "items", "escaped.x", "process"}) {
    table->add(name);
  }
  table->want_nested("items");
  EXPECT_EQ(allocations_of_second_pass(table), 0U);
  table->rename("text", "message");
  table->rename("process", "proc");
  table->add("message");
  table->want_all_leaves();
  EXPECT_EQ(allocations_of_second_pass(table), 0U);
}

}  // namespace
}  // namespace fb
