// The decoder and the tree parser are two readers of one grammar: on damaged events they must accept and refuse the
// same, and where they accept, every wanted field, nested path and leaf must have the same values. Fixed seed.
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "engine/event/examine.h"
#include "tests/unit/event/support.h"

namespace fb {
namespace {

using test::Record;

constexpr std::array<std::string_view, 7> kEvents = {
    R"({"@timestamp":"2026-05-01T10:00:00.123Z","agent":{"id":"ag-1","type":"endpoint"},"host":{"id":"h-1","name":"PC01"},"event":{"category":["process"],"code":4688},"process":{"pid":4711,"command_line":"\"C:\\Windows\\System32\\cmd.exe\" /c whoami\r\n","parent":{"name":"explorer.exe"}}})",
    R"({"agent.id":"ag-2","host.name":"srv","EventID":1,"Channel":"Microsoft-Windows-Sysmon/Operational","Image":"C:\\a\\b.exe","Message":"Process Create:\r\nUtcTime: 2026-05-01\r\n\tx","Hashes":null,"Score":-1.50e-3,"big":18446744073709551616,"huge":1e400,"host":"flat"})",
    R"({"a":{"b":[{"c":1},{"c":[2,[3,null]],"d":{}}],"items":[{"x":"1","y":true},[{"x":"2"}],{}]},"a.b":{"c":"dotted"},"a.items":{"x":"3"},"a..b":[],"":0})",
    R"([{"not":"an object"},1,"x"])",
    R"( { "host" : { "id" : "one" , "id" : "one" } , "host.id" : "two" , "tags" : [ "a" , "b\u00e9\ud83d\ude00" , "" ] , "ok" : false } )",
    R"({"host":{"id":"one","id":"two"},"process":{"name":"Grüße €😀"}})",
    R"({"agent":[{"id":"x"},{"id":"y"}],"event.code":"0443","process.parent":{"name":["p",{"q":1}]}})",
};

std::shared_ptr<FieldTable> make_table(bool all_leaves) {
  auto table = std::make_shared<FieldTable>();
  for (const char* name : {"process.pid",
                           "process.command_line",
                           "process.parent.name",
                           "process.parent",
                           "process",
                           "event.code",
                           "event.category",
                           "Image",
                           "Message",
                           "Score",
                           "huge",
                           "a",
                           "a.b",
                           "a.b.c",
                           "a..b",
                           "a.items.x",
                           "",
                           "tags",
                           "ok",
                           "host",
                           "EventID"}) {
    table->add(name);
  }
  table->want_nested("a.items");
  table->want_nested("a.b");
  table->want_nested("process");
  if (all_leaves) table->want_all_leaves();
  return table;
}

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  size_t below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }

  // A sound event of odd shape: paths in all spellings, repeated keys, arrays in arrays, blanks, escapes.
  std::string invent() {
    std::string json;
    budget_ = 40;
    write_object(json, 0);
    return json;
  }

  std::string operator()(std::string_view from) {
    std::string json(from);
    const size_t edits = below(4) + 1;
    for (size_t i = 0; i < edits; ++i) edit(json);
    return json;
  }

 private:
  void blanks(std::string& json) {
    if (below(6) == 0) json += " \n\t\r"[below(4)];
  }

  void write_object(std::string& json, size_t depth) {
    constexpr std::array<std::string_view, 22> kKeys = {"a",        "b",
                                                        "c",        "a.b",
                                                        "b.c",      "a.b.c",
                                                        "",         ".",
                                                        "a.",       ".b",
                                                        "items",    "a.items",
                                                        "items.x",  "x",
                                                        "host",     "host.id",
                                                        "id",       "agent",
                                                        "agent.id", "pr\\u006fcess",
                                                        "name",     "process.parent"};
    json += '{';
    const size_t members = below(5);
    for (size_t i = 0; i < members; ++i) {
      if (i > 0) json += ',';
      blanks(json);
      json.append("\"").append(kKeys[below(kKeys.size())]).append("\"");
      blanks(json);
      json += ':';
      blanks(json);
      write_value(json, depth + 1);
      blanks(json);
    }
    json += '}';
  }

  void write_value(std::string& json, size_t depth) {
    constexpr std::array<std::string_view, 14> kLeaves = {"null",
                                                          "true",
                                                          "false",
                                                          "0",
                                                          "-0",
                                                          "1.50",
                                                          "18446744073709551616",
                                                          "1e400",
                                                          "\"\"",
                                                          "\"one\"",
                                                          "\"one\"",
                                                          "\"two\"",
                                                          "\"C:\\\\x\\r\\n\"",
                                                          "\"\\ud83d\\ude00}\""};
    const size_t kind = budget_ == 0 || depth > 6 ? 9 : below(10);
    if (kind > 3) {
      json += kLeaves[below(kLeaves.size())];
      return;
    }
    --budget_;
    if (kind < 3) return write_object(json, depth);
    json += '[';
    const size_t items = below(4);
    for (size_t i = 0; i < items; ++i) {
      if (i > 0) json += ',';
      blanks(json);
      write_value(json, depth + 1);
      blanks(json);
    }
    json += ']';
  }

  void edit(std::string& json) {
    constexpr std::array<std::string_view, 44> kPieces = {"\"",
                                                          "\\",
                                                          "{",
                                                          "}",
                                                          "[",
                                                          "]",
                                                          ",",
                                                          ":",
                                                          " ",
                                                          "\n",
                                                          "0",
                                                          "-",
                                                          ".",
                                                          "e",
                                                          "E+",
                                                          "1",
                                                          "true",
                                                          "false",
                                                          "null",
                                                          "tru",
                                                          "\\u",
                                                          "\\ud83d",
                                                          "\\ude00",
                                                          "\\u0041",
                                                          "\\n",
                                                          "\\q",
                                                          "\xff",
                                                          "\xc3\xa9",
                                                          "\xed\xa0\x80",
                                                          "\x01",
                                                          "\x7f",
                                                          "\xEF\xBB\xBF",
                                                          "{}",
                                                          "[]",
                                                          "\"k\":1,",
                                                          ",\"host\":{\"id\":\"zz\"}",
                                                          "[[",
                                                          "]]",
                                                          "1e999",
                                                          "-0",
                                                          "01",
                                                          "\f",
                                                          "\x1a",
                                                          "\\\""};
    if (json.empty()) {
      json = "{}";
      return;
    }
    const size_t at = below(json.size());
    switch (below(8)) {
      case 0:
        json[at] = static_cast<char>(json[at] ^ static_cast<char>(1U << below(8)));
        return;
      case 1:
        json.resize(at);
        return;
      case 2:
        json.erase(at, below(6) + 1);
        return;
      case 3:
        json[at] = static_cast<char>(below(256));
        return;
      case 4: {  // repeat a part
        const std::string part = json.substr(at, below(40) + 1);
        json.insert(below(json.size()), part);
        return;
      }
      case 5:
        json.insert(at, 1, '\0');
        return;
      default:
        json.insert(at, kPieces[below(kPieces.size())]);
        return;
    }
  }

  std::mt19937 random_;
  size_t budget_ = 0;
};

// Small limits, so that damage reaches them.
EventLimits tight() {
  EventLimits limits;
  limits.max_event_bytes = 700;
  limits.max_event_depth = 5;
  limits.max_event_keys = 24;
  limits.max_array_length = 4;
  limits.max_key_bytes = 14;
  return limits;
}

TEST(Agreement, DecoderAndTreeSayTheSameOfDamagedEvents) {
  size_t accepted = 0;
  size_t refused = 0;
  Mutator mutate(20260501);
  for (const bool all_leaves : {false, true}) {
    for (const EventLimits& limits : {EventLimits{}, tight()}) {
      const auto table = make_table(all_leaves);
      Decoder decoder(table, limits);
      for (int round = 0; round < 12'000; ++round) {
        std::string json = mutate.below(2) == 0 ? mutate.invent() : std::string(kEvents[mutate.below(kEvents.size())]);
        if (mutate.below(2) == 0) json = mutate(json);
        const Record record(json);
        const Event* event = decoder.decode(record.view());
        const auto tree = parse_json_tree(json, limits);
        const auto examined = examine(json, limits);
        ASSERT_EQ(event != nullptr, tree.has_value()) << json << "\n" << (tree ? "" : tree.error().describe());
        ASSERT_EQ(event == nullptr, examined.has_value()) << json;
        if (event == nullptr) {
          ASSERT_EQ(decoder.refusal().reason, examined->reason) << json;
          ++refused;
          continue;
        }
        ++accepted;
        ASSERT_EQ(test::difference(*event, *table, *tree), "") << json;
        for (const NestedObject& object : event->nested()) {
          const auto inner = parse_json_tree(object.json);
          ASSERT_TRUE(inner || inner.error().message.starts_with("identity-conflict")) << object.json;
          ASSERT_NE(decoder.decode_nested(object, 0), nullptr) << object.json;
        }
      }
    }
  }
  EXPECT_GT(accepted, 5'000U);
  EXPECT_GT(refused, 5'000U);
}

TEST(Agreement, ALinesFateDoesNotDependOnTheFieldsWanted) {
  Mutator mutate(7);
  Decoder none(std::make_shared<FieldTable>(), {});
  Decoder some(make_table(false), {});
  Decoder all(make_table(true), {});
  for (int round = 0; round < 10'000; ++round) {
    const std::string event =
        mutate.below(2) == 0 ? mutate.invent() : std::string(kEvents[mutate.below(kEvents.size())]);
    const Record record(mutate(event));
    const bool accepted = none.decode(record.view()) != nullptr;
    ASSERT_EQ(some.decode(record.view()) != nullptr, accepted) << record.view();
    ASSERT_EQ(all.decode(record.view()) != nullptr, accepted) << record.view();
    if (!accepted) {
      ASSERT_EQ(none.refusal().reason, all.refusal().reason) << record.view();
      ASSERT_EQ(none.refusal().offset, some.refusal().offset) << record.view();
    }
  }
}

TEST(Agreement, NestedObjectsResolveAsInTheTree) {
  auto table = std::make_shared<FieldTable>();
  const FieldIx x = table->add("a.items.x");
  table->want_nested("a.items");
  Decoder decoder(table, {});
  const Record record(kEvents[2]);
  const Event* event = decoder.decode(record.view());
  ASSERT_NE(event, nullptr);
  std::vector<std::string> seen;
  for (const NestedObject& object : event->nested()) {
    const auto tree = parse_json_tree(object.json);
    ASSERT_TRUE(tree);
    std::vector<std::string> expected;
    for (const auto& leaf : test::Flat(*tree).at("x")) expected.push_back(leaf.text);
    EXPECT_EQ(test::texts(*decoder.decode_nested(object, 0), x), expected);
    seen.insert(seen.end(), expected.begin(), expected.end());
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"1", "2", "3"}));
}

}  // namespace
}  // namespace fb
