#include "engine/event/field_types.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "engine/event/event.h"

namespace fb {
namespace {

TEST(FieldTypes, KnowEcsKinds) {
  EXPECT_EQ(field_type("@timestamp"), FieldType::date);
  EXPECT_EQ(field_type("agent.id"), FieldType::keyword);
  EXPECT_EQ(field_type("process.command_line"), FieldType::keyword);  // wildcard in ECS
  EXPECT_EQ(field_type("data_stream.type"), FieldType::keyword);      // constant_keyword
  EXPECT_EQ(field_type("message"), FieldType::text);
  EXPECT_EQ(field_type("process.pid"), FieldType::integer);
  EXPECT_EQ(field_type("event.risk_score"), FieldType::real);
  EXPECT_EQ(field_type("process.interactive"), FieldType::boolean);
  EXPECT_EQ(field_type("source.ip"), FieldType::ip);
  EXPECT_EQ(field_type("source.geo.location"), FieldType::object);
  EXPECT_EQ(field_type("powershell.file.script_block_text"), FieldType::text);
}

TEST(FieldTypes, FallBackToTheLastSegment) {
  EXPECT_EQ(field_type("winlog.event_data.ip"), FieldType::ip);
  EXPECT_EQ(field_type("ip"), FieldType::ip);
  EXPECT_EQ(field_type("winlog.event_data.Image"), FieldType::dynamic);
  EXPECT_EQ(field_type("zip"), FieldType::dynamic);
  EXPECT_EQ(field_type(""), FieldType::dynamic);
  EXPECT_EQ(field_type("a..b"), FieldType::dynamic);
}

TEST(FieldTypes, TextSubFields) {
  EXPECT_TRUE(has_text_multi_field("process.command_line"));
  EXPECT_TRUE(has_text_multi_field("file.path"));
  EXPECT_FALSE(has_text_multi_field("process.pid"));
  EXPECT_FALSE(has_text_multi_field("nowhere"));
  EXPECT_EQ(field_type("process.command_line.text"), FieldType::text);
  EXPECT_EQ(field_type("process.pid.text"), FieldType::dynamic);
}

TEST(FieldTypes, TheGeneratedTableIsSortedAndWithoutRepeats) {
  const char* source = std::getenv("FB_SOURCE_DIR");
  ASSERT_NE(source, nullptr);
  std::ifstream in(std::string(source) + "/engine/event/ecs_types.inc");
  std::vector<std::string> names;
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("{\"")) continue;
    names.push_back(line.substr(2, line.find('"', 2) - 2));
  }
  ASSERT_GT(names.size(), 2000U);
  for (size_t i = 1; i < names.size(); ++i) EXPECT_LT(names[i - 1], names[i]);
}

TEST(FieldTable, HasTheBuiltInFieldsAtTheirPlaces) {
  const FieldTable table;
  EXPECT_EQ(table.name(FieldTable::kTimestamp), "@timestamp");
  EXPECT_EQ(table.name(FieldTable::kAgentId), "agent.id");
  EXPECT_EQ(table.name(FieldTable::kHostId), "host.id");
  EXPECT_EQ(table.name(FieldTable::kHostName), "host.name");
  EXPECT_EQ(table.type(FieldTable::kTimestamp), FieldType::date);
}

TEST(FieldTable, GivesOneIndexToOneName) {
  FieldTable table;
  const FieldIx a = table.add("process.name");
  const FieldIx b = table.add("process.pid");
  EXPECT_EQ(table.add("process.name"), a);
  EXPECT_NE(a, b);
  EXPECT_EQ(table.add("host.id"), FieldTable::kHostId);
  EXPECT_EQ(table.size(), 6U);
  table.want_nested("a.b");
  table.want_nested("a.b");
  EXPECT_EQ(table.nested_paths().size(), 1U);
  table.rename("Image", "process.executable");
  table.rename("Image", "process.executable");
  EXPECT_EQ(table.renames().size(), 1U);
}

}  // namespace
}  // namespace fb
