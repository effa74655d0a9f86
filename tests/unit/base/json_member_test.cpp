#include "engine/base/json_member.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>

#include "engine/base/json.h"

namespace fb {
namespace {

using Found = std::optional<std::string_view>;

TEST(TextMember, IsThatOfTheObjectItselfAndOfNothingWithinIt) {
  EXPECT_EQ(text_member(R"({"k":"v"})", "k"), Found("v"));
  EXPECT_EQ(text_member("{ \"a\" : 1 , \"k\"\n:\t\"v w\" }", "k"), Found("v w"));
  EXPECT_EQ(text_member(R"({"a":{"k":"inner"},"b":["k","x"],"c":"k","k":""})", "k"), Found(""));
  EXPECT_EQ(text_member(R"({"a":"\"k\":\"no\"","k":"yes"})", "k"), Found("yes"));
  EXPECT_EQ(text_member(R"({"a\\":"\\","k":"yes"})", "k"), Found("yes"));
  EXPECT_EQ(text_member(R"({"k":"first","k":"second"})", "k"), Found("first"));
}

TEST(TextMember, IsNothingWhereATreeMustBeAsked) {
  for (const char* json :
       {R"({"k":"a\u0041"})", R"({"k":1})", R"({"k":null})", R"({"k":{"k":"v"}})", R"({"other":"v"})", "{}",
        R"(["k","v"])", "", R"({"k")", R"({"k":)", R"("k")", R"({"a":{"k":"v"}})"}) {
    EXPECT_EQ(text_member(json, "k"), Found()) << json;
  }
}

// Against the tree, over documents made at random.
TEST(TextMember, AgreesWithTheTree) {
  std::mt19937 random(7);
  const auto pick = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  const char* const words[] = {"k", "v", "", "a.b", "x\"y", "\\", "{", "]", ":", "k\":\"", "\xc3\xa9"};
  const std::function<nlohmann::json(int)> make = [&](int depth) -> nlohmann::json {
    switch (pick(depth > 0 ? 5 : 3)) {
      case 0:
        return words[pick(std::size(words))];
      case 1:
        return pick(100);
      case 2:
        return nullptr;
      case 3: {
        auto list = nlohmann::json::array();
        for (size_t i = pick(4); i > 0; --i) list.push_back(make(depth - 1));
        return list;
      }
      default: {
        auto object = nlohmann::json::object();
        for (size_t i = pick(5); i > 0; --i) object[words[pick(std::size(words))]] = make(depth - 1);
        return object;
      }
    }
  };
  int found = 0;
  for (int i = 0; i < 20'000; ++i) {
    auto doc = nlohmann::json::object();
    for (size_t n = pick(6); n > 0; --n) doc[words[pick(std::size(words))]] = make(3);
    const std::string text = doc.dump();
    for (const char* key : {"k", "v", "a.b", ""}) {
      const auto member = text_member(text, key);
      const auto at = doc.find(key);
      const bool plain = at != doc.end() && at->is_string() && at->dump().find('\\') == std::string::npos;
      ASSERT_EQ(member.has_value(), plain) << key << " of " << text;
      if (member.has_value()) {
        ASSERT_EQ(*member, at->get<std::string>()) << text;
      }
      found += member.has_value() ? 1 : 0;
    }
  }
  EXPECT_GT(found, 1000);
}

}  // namespace
}  // namespace fb
