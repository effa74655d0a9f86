// What is written as text is what a tree of the same members is dumped as.
#include "engine/base/json_text.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

namespace fb {
namespace {

using Json = nlohmann::ordered_json;

std::string dumped(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string written(const std::string& text) {
  std::string out;
  append_json(out, text);
  return out;
}

TEST(JsonText, EveryByteIsEscapedAsATreeEscapesIt) {
  for (int c = 0; c < 0x80; ++c) {
    const std::string text = std::string("a") + static_cast<char>(c) + "b";
    EXPECT_EQ(written(text), dumped(text)) << c;
  }
  for (const std::string text : {"", "Grüße, 世界 🔥", "\xEF\xBF\xBD", "a long text without anything to escape in it"}) {
    EXPECT_EQ(written(text), dumped(text));
  }
}

TEST(JsonText, BytesThatAreNoUtf8AreReplaced) {
  EXPECT_EQ(written("a\xFF"), dumped("a\xFF"));
  std::mt19937 random(7);
  for (int i = 0; i < 20'000; ++i) {
    std::string text(random() % 24, '\0');
    for (char& c : text) c = static_cast<char>(random() % 3 == 0 ? random() : 'a' + random() % 26);
    const Json back = Json::parse(written(text), nullptr, false);
    ASSERT_TRUE(back.is_string()) << dumped(text);
    if (dumped(text).find("\xEF\xBF\xBD") == std::string::npos) {
      ASSERT_EQ(back.get<std::string>(), text);
    }
  }
}

TEST(JsonText, MembersComeAsTheyAreWritten) {
  std::string text = "[";
  JsonText out(text);
  out.begin().text("a\"b", "x").flag("yes", true).flag("no", false).null("none");
  out.number("least", std::numeric_limits<int64_t>::min()).number("small", uint8_t{7}).json("raw", R"({"k":[]})");
  out.begin("inner").end().begin("deeper").begin("still").number("n", -1).end().end();
  out.texts("list", {"", "a", "ends with {", "["}).texts("empty", {});
  out.begin_array("objects").begin().end().begin().text("k", "v").end().end_array().end();
  out.begin().end();
  text += "]";
  const Json first{{"a\"b", "x"},
                   {"yes", true},
                   {"no", false},
                   {"none", nullptr},
                   {"least", std::numeric_limits<int64_t>::min()},
                   {"small", 7},
                   {"raw", {{"k", Json::array()}}},
                   {"inner", Json::object()},
                   {"deeper", {{"still", {{"n", -1}}}}},
                   {"list", Json::array({"", "a", "ends with {", "["})},
                   {"empty", Json::array()},
                   {"objects", Json::array({Json::object(), Json{{"k", "v"}}})}};
  EXPECT_EQ(text, Json::array({first, Json::object()}).dump());
}

TEST(JsonText, ItemsOfAnArrayAreSeparated) {
  std::string text;
  JsonText out(text);
  out.begin().begin_array("a").item("x\"").item("").json_item("1").json_item("{}").json_item("null").end_array().end();
  EXPECT_EQ(text, R"({"a":["x\"","",1,{},null]})");
}

TEST(JsonText, LinesStandBesideEachOther) {
  std::string text;
  JsonText out(text);
  out.begin().number("n", 1).end();
  text += '\n';
  out.begin().number("n", 2).end();
  EXPECT_EQ(text, "{\"n\":1}\n{\"n\":2}");
}

}  // namespace
}  // namespace fb
