// Each class of malformed record: refused with the right reason and place (by the decoder and by the tree parser
// alike), or read as data; and the decoder goes on with the next record.
#include <gtest/gtest.h>

#include <chrono>
#include <ctime>

#include "tests/unit/event/support.h"

namespace fb {
namespace {

using test::Record;
using test::texts;
using Texts = std::vector<std::string>;

std::string repeat(std::string_view text, size_t times) {
  std::string all;
  all.reserve(text.size() * times);
  for (size_t i = 0; i < times; ++i) all += text;
  return all;
}

class MalformedTest : public ::testing::Test {
 protected:
  struct Verdict {
    std::string reason = "accepted";
    uint32_t offset = 0;
    bool operator==(const Verdict&) const = default;
  };

  // The decoder's verdict; checks on the way that the tree parser agrees, and that the next record is read.
  Verdict judge(std::string_view json, EventLimits limits = {}) {
    const Record record(json);
    Decoder decoder(table_, limits);
    Verdict verdict;
    if (decoder.decode(record.view()) == nullptr) {
      verdict = {std::string(decoder.refusal().reason), decoder.refusal().offset};
      EXPECT_FALSE(decoder.refusal().detail.empty());
    }
    const auto tree = parse_json_tree(json, limits);
    EXPECT_EQ(tree.has_value(), verdict.reason == "accepted") << json.substr(0, 200);
    if (!tree) {
      EXPECT_TRUE(tree.error().message.starts_with(verdict.reason + ": ")) << tree.error().message;
      EXPECT_EQ(tree.error().context, "offset " + std::to_string(verdict.offset));
    }
    const Record next(R"({"a":"next"})");
    const Event* e = decoder.decode(next.view());
    EXPECT_TRUE(e != nullptr && texts(*e, a_) == Texts{"next"});
    return verdict;
  }
  std::string reason(std::string_view json, EventLimits limits = {}) { return judge(json, limits).reason; }
  Texts read(std::string_view json, FieldIx f) {
    const Record record(json);
    Decoder decoder(table_, {});
    const Event* e = decoder.decode(record.view());
    EXPECT_EQ(judge(json).reason, "accepted");
    return e == nullptr ? Texts{"refused"} : texts(*e, f);
  }

  std::shared_ptr<FieldTable> table_ = std::make_shared<FieldTable>();
  FieldIx a_ = table_->add("a");
};

using Verdicts = std::vector<std::string>;

TEST_F(MalformedTest, E1EmptyRecord) {
  EXPECT_EQ(reason(""), "empty");
  EXPECT_EQ(reason(" \r\n\t"), "empty");
  Decoder decoder(table_, {});
  EXPECT_EQ(decoder.decode(std::string_view()), nullptr);
  EXPECT_EQ(decoder.refusal().reason, "empty");
}

TEST_F(MalformedTest, E2NotJson) {
  for (const char* json : {"hello",
                           "<xml/>",
                           "{",
                           "}",
                           "{]",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{,}",
                           "{\"a\" 1}",
                           "{\"a\":1 \"b\":2}",
                           "{a:1}",
                           "{'a':1}",
                           "{1:2}",
                           "{\"a\":[1,]}",
                           "{\"a\":[,1]}",
                           "{\"a\":[1 2]}",
                           "{\"a\":[1}",
                           "{\"a\":{]}",
                           "{\"a\":1}}",
                           "{\"a\":1}{\"a\":1}",
                           "{\"a\":1} x",
                           "{\"a\":1},",
                           "{\"a\":tru}",
                           "{\"a\":truex}",
                           "{\"a\":true\"x\"}",
                           "{\"a\":nul}",
                           "{\"a\":True}",
                           "{\"a\":01}",
                           "{\"a\":-}",
                           "{\"a\":1.}",
                           "{\"a\":.5}",
                           "{\"a\":+1}",
                           "{\"a\":1e}",
                           "{\"a\":1e+}",
                           "{\"a\":0x1}",
                           "{\"a\":NaN}",
                           "{\"a\":1\"x\"}",
                           "{\"a\":\"x\"1}",
                           "{\"a\":\"x\"\"y\"}",
                           "{\"a\":\"\\q\"}",
                           "{\"a\":\"\\u12G4\"}",
                           "{\"a\":\"\\u12\"}",
                           "{\"a\":\"x}",
                           "{\"a\\\":1}",
                           "{\"a\":/**/1}",
                           "{\"a\":1}//",
                           "{\"a\":\\\"x\"}",
                           "{\"a\":1\\}",
                           "{\"a\"::1}",
                           "{\"a\":\"tab\there\"}",
                           "{\"a\":\"line\nbreak\"}",
                           "{\"a\":1,\"a\"}",
                           "{\"a\":\f1}",
                           "{\"a\":1\f}",
                           "{\"z\":\"\\U0041\"}",
                           "{\"z\":[tru]}",
                           "{\"z\":{\"y\":01}}",
                           "{\"a\":\x1a\"b\"}",
                           "{\"a\":[1\x0c"
                           "2]}",
                           "{\"a\":1}\\"}) {
    EXPECT_EQ(reason(json), "not-json") << json;
  }
  EXPECT_EQ(judge("{\"a\":tru}"), (Verdict{"not-json", 8}));
  EXPECT_EQ(judge("{\"z\":\"ok\",\"y\":\"\\q\"}"), (Verdict{"not-json", 15}));
  EXPECT_EQ(judge("{\"a\":1} x"), (Verdict{"not-json", 8}));
  EXPECT_EQ(judge("{\"a\":1,}"), (Verdict{"not-json", 7}));
  EXPECT_EQ(judge("{\"a\":\"x"), (Verdict{"not-json", 5}));
}

constexpr std::string_view kWhole =
    R"({"@timestamp":"2026-05-01T10:00:00.123Z","host":{"id":"h-1","os":{"name":"Windows 11"}},"tags":["x",["y"],null],)"
    R"("process":{"pid":4711,"args":["cmd.exe","/c","echo \u00fc\ud83d\ude00"],"ok":true,"load":-1.25e-3},"a":"Grüße"})";

TEST_F(MalformedTest, E3TruncatedAtEveryByte) {
  ASSERT_EQ(reason(kWhole), "accepted");
  for (size_t length = 0; length < kWhole.size(); ++length) {
    const std::string verdict = reason(kWhole.substr(0, length));
    EXPECT_TRUE(verdict == "not-json" || verdict == "invalid-utf8" || (length == 0 && verdict == "empty"))
        << length << " " << verdict;
  }
}

TEST_F(MalformedTest, E4TopLevelIsNoObject) {
  for (const char* json : {"[]", "[{\"a\":1}]", "1", "-1.5", "\"x\"", "true", "null", " [1] "}) {
    EXPECT_EQ(reason(json), "not-an-object") << json;
  }
  EXPECT_EQ(judge("  [1]"), (Verdict{"not-an-object", 2}));
  EXPECT_EQ(reason("[1"), "not-json");
}

TEST_F(MalformedTest, E5Depth) {
  const auto deep = [](size_t depth) {
    return "{\"a\":" + std::string(depth - 1, '[') + "1" + std::string(depth - 1, ']') + "}";
  };
  const auto objects = [](size_t depth) { return repeat("{\"a\":", depth) + "1" + std::string(depth, '}'); };
  EXPECT_EQ(reason(deep(64)), "accepted");
  EXPECT_EQ(reason(objects(64)), "accepted");
  EXPECT_EQ(judge(deep(65)), (Verdict{"too-deep", 5 + 63}));
  EXPECT_EQ(judge(objects(65)), (Verdict{"too-deep", 5 * 64}));
  EXPECT_EQ(reason(deep(10'000)), "too-deep");
  EXPECT_EQ(reason(objects(10'000)), "too-deep");
  EXPECT_EQ(reason(std::string(1'000'000, '[')), "too-deep");
  EXPECT_EQ(reason(repeat("{\"a\":", 200'000)), "too-deep");
  EventLimits two;
  two.max_event_depth = 2;
  EXPECT_EQ(reason(R"({"a":[1]})", two), "accepted");
  EXPECT_EQ(reason(R"({"a":[{}]})", two), "too-deep");
}

TEST_F(MalformedTest, E6TooMuch) {
  EXPECT_EQ(reason("{\"a\":\"" + std::string(10u << 20, 'x') + "\"}"), "too-long");
  EventLimits wide;
  wide.max_event_bytes = 64u << 20;
  EXPECT_EQ(reason("{\"a\":\"" + std::string(10u << 20, 'x') + "\"}", wide), "accepted");
  const auto keys = [](size_t count) {
    std::string json = "{";
    for (size_t i = 0; i < count; ++i) json += (i == 0 ? "\"k" : ",\"k") + std::to_string(i) + "\":1";
    return json + "}";
  };
  EXPECT_EQ(reason(keys(20'000)), "accepted");
  EXPECT_EQ(reason(keys(20'001)), "too-many-keys");
  EXPECT_EQ(reason(keys(100'000), wide), "too-many-keys");
  const auto list = [](size_t count) { return "{\"a\":[" + repeat("1,", count - 1) + "1]}"; };
  EXPECT_EQ(reason(list(100'000)), "accepted");
  EXPECT_EQ(judge(list(100'001)), (Verdict{"array-too-long", 6 + 200'000}));
  EXPECT_EQ(reason(list(1'000'000), wide), "array-too-long");
  EventLimits none;
  none.max_array_length = 0;
  EXPECT_EQ(reason(R"({"a":[]})", none), "accepted");
  EXPECT_EQ(reason(R"({"a":[1]})", none), "array-too-long");
}

TEST_F(MalformedTest, TheRecordMayBeExactlyAsLongAsAllowed) {
  EventLimits limits;
  limits.max_event_bytes = 20;
  EXPECT_EQ(reason("{\"a\":\"" + std::string(12, 'x') + "\"}", limits), "accepted");
  EXPECT_EQ(judge("{\"a\":\"" + std::string(13, 'x') + "\"}", limits), (Verdict{"too-long", 20}));
}

TEST_F(MalformedTest, KeysHaveALength) {
  EXPECT_EQ(reason("{\"" + std::string(4096, 'k') + "\":1}"), "accepted");
  EXPECT_EQ(judge("{\"" + std::string(4097, 'k') + "\":1}"), (Verdict{"key-too-long", 1}));
  // Counted as the text it means, not as it is written.
  EXPECT_EQ(reason("{\"" + repeat("\\u0041", 4096) + "\":1}"), "accepted");
  EXPECT_EQ(reason("{\"" + repeat("\\u0041", 4097) + "\":1}"), "key-too-long");
}

TEST_F(MalformedTest, LongKeysAroundManyKeysAreRefused) {
  // Each of the inner keys would have a path of a hundred kilobytes.
  const std::string key(4000, 'k');
  std::string json = repeat("{\"" + key + "\":", 30) + "{";
  for (int i = 0; i < 10'000; ++i) json += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":1";
  json += "}" + std::string(30, '}');
  EXPECT_EQ(reason(json), "key-too-long");
}

TEST_F(MalformedTest, E7RepeatedKeys) {
  EXPECT_EQ(read(R"({"a":1,"a":2,"a":[3]})", a_), (Texts{"1", "2", "3"}));
  EXPECT_EQ(judge(R"({"host":{"id":"x","id":"y"}})"), (Verdict{"identity-conflict", 23}));
  EXPECT_EQ(reason(R"({"host":{"id":"x","id":"x"}})"), "accepted");
  EXPECT_EQ(reason(R"({"agent.id":"x","b":{"agent.id":"y"}})"), "accepted");
  EXPECT_EQ(reason(R"({"agent":{"agent.id":"x"},"agent":{"id":"y"},"agent":{"id":["y",true]}})"), "identity-conflict");
}

TEST_F(MalformedTest, E7ManyIdentitiesCostLittle) {
  std::string json = "{\"host\":[";
  for (int i = 0; i < 19'000; ++i) json += (i == 0 ? "{\"id\":\"" : ",{\"id\":\"") + std::to_string(i) + "\"}";
  json += "]}";
  const Record record(json);
  Decoder decoder(table_, {});
  const std::clock_t begin = std::clock();
  const Event* e = decoder.decode(record.view());
  EXPECT_LT(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, 1.0);
  ASSERT_NE(e, nullptr);
  EXPECT_TRUE(e->identity_conflict());
}

TEST_F(MalformedTest, E8DottedBesideNested) {
  const FieldIx f = table_->add("process.name");
  EXPECT_EQ(read(R"({"process.name":"x","process":{"name":"y"}})", f), (Texts{"x", "y"}));
  EXPECT_EQ(read(R"({"process":"text","process.name":"x"})", f), Texts{"x"});
}

TEST_F(MalformedTest, E9BytesThatAreNoText) {
  for (const char* bytes : {"\xff", "\xc3", "\xc3(", "\x80", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xed\xbf\xbf",
                            "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf0\x9f\x98", "\xe2\x82"}) {
    EXPECT_EQ(judge(std::string("{\"a\":\"x") + bytes + "\"}"), (Verdict{"invalid-utf8", 7}));
    EXPECT_EQ(reason(std::string("{\"z\":\"x") + bytes + "\"}"), "invalid-utf8");  // wanted or not
    EXPECT_EQ(reason(std::string("{\"k") + bytes + "\":1}"), "invalid-utf8");
    EXPECT_EQ(reason(std::string("{\"k\":1}") + bytes), "invalid-utf8");
  }
  for (const char* escape : {"\\ud800", "\\udc00", "\\udfff", "\\ud800x", "\\ud800\\n", "\\ud800\\ud800",
                             "\\ud800\\u0041", "\\udc00\\ud800", "\\ud83d\\ude0"}) {
    EXPECT_EQ(judge(std::string("{\"a\":\"") + escape + "\"}"), (Verdict{"invalid-utf8", 6})) << escape;
    EXPECT_EQ(reason(std::string("{\"z\":\"") + escape + "\"}"), "invalid-utf8") << escape;
    EXPECT_EQ(reason(std::string("{\"") + escape + "\":1}"), "invalid-utf8") << escape;
  }
  EXPECT_EQ(judge("\xEF\xBB\xBF{\"a\":1}"), (Verdict{"not-json", 0}));
  EXPECT_EQ(reason("{\"a\":\"\xEF\xBB\xBF\"}"), "accepted");  // inside a string it is a character
  EXPECT_EQ(reason(std::string("{\"a\":\"x\0y\"}", 11)), "not-json");
  EXPECT_EQ(reason(std::string("{\"a\0\":1}", 8)), "not-json");
  EXPECT_EQ(reason(std::string("{\"a\":1}\0", 8)), "not-json");
  EXPECT_EQ(reason(std::string("\0", 1)), "not-json");
  EXPECT_EQ(read("{\"a\":\"x\\u0000y\"}", a_), Texts{std::string("x\0y", 3)});
  EXPECT_EQ(read("{\"a\":\"\x7f\"}", a_), Texts{"\x7f"});
}

TEST_F(MalformedTest, E10Numbers) {
  EXPECT_EQ(read(R"({"a":[1e400,-1e400,18446744073709551616,-0,1.0,1,"1",1E-400]})", a_),
            (Texts{"1e400", "-1e400", "18446744073709551616", "-0", "1.0", "1", "1", "1E-400"}));
  const std::string long_number = "1" + std::string(100'000, '7');
  EXPECT_EQ(read("{\"a\":" + long_number + ",\"z\":" + long_number + "}", a_), Texts{long_number});
}

TEST_F(MalformedTest, E11CoreFieldsOfAnotherShape) {
  EXPECT_EQ(read(R"({"host":"pc-1","@timestamp":{"year":2026},"agent":[1],"a":1})", FieldTable::kHostId), Texts{});
  EXPECT_EQ(read(R"({"host":"pc-1","@timestamp":{"year":2026},"agent":[1],"a":1})", FieldTable::kTimestamp), Texts{});
  EXPECT_EQ(read(R"({"host":{"id":7},"a":{"b":1}})", FieldTable::kHostId), Texts{"7"});
}

TEST_F(MalformedTest, E12MissingCoreFields) {
  EXPECT_EQ(read(R"({"host":{"id":""},"@timestamp":null})", FieldTable::kHostId), Texts{""});
  EXPECT_EQ(read(R"({"host":{"id":""},"@timestamp":null})", FieldTable::kTimestamp), Texts{});
  EXPECT_EQ(read("{}", FieldTable::kHostId), Texts{});
}

TEST_F(MalformedTest, E13TimesAreDataHere) {
  for (const char* time :
       {"1970-01-01T00:00:00Z", "2099-12-31T23:59:60Z", "2026-05-01T10:00:00.123456789+05:30", "yesterday"}) {
    EXPECT_EQ(read("{\"@timestamp\":\"" + std::string(time) + "\"}", FieldTable::kTimestamp), Texts{time});
  }
}

TEST_F(MalformedTest, E15KeysThatLookLikePathsOrOperators) {
  const FieldIx star = table_->add("*");
  const FieldIx proto = table_->add("__proto__");
  const FieldIx dots = table_->add("a..b");
  constexpr std::string_view kJson =
      R"({"*":1,"__proto__":2,"a..b":3,".":4,"":5,"a.*":6,"a b":7,"a:b":8,"-":9,"a":10})";
  EXPECT_EQ(read(kJson, star), Texts{"1"});
  EXPECT_EQ(read(kJson, proto), Texts{"2"});
  EXPECT_EQ(read(kJson, dots), Texts{"3"});
  EXPECT_EQ(read(kJson, a_), Texts{"10"});
  EXPECT_EQ(reason("{\"" + std::string(64u << 10, 'k') + "\":1}"), "key-too-long");
  EXPECT_EQ(reason("{\"" + std::string(4096, '.') + "\":1}"), "accepted");
}

TEST_F(MalformedTest, NoMalformedRecordIsExpensive) {
  table_->add("....");
  table_->want_all_leaves();
  table_->rename("x", "y");
  std::vector<std::string> hostile = {
      std::string((1u << 20) - 1, '['),
      std::string((1u << 20) - 1, '"'),
      std::string((1u << 20) - 1, '\\'),
      "{\"a\":\"" + repeat("\\u0041", 170'000) + "\"}",
      "{\"a\":\"" + repeat("\\", 1'000'000) + "\"}",
      "{\"a\":[" + repeat("1,", 99'999) + "1]}",
  };
  std::string dotted = "{";
  for (int i = 0; i < 250; ++i) dotted += (i == 0 ? "\"" : ",\"") + std::string(4096, '.') + "\":1";
  hostile.push_back(dotted + "}");
  for (const std::string& json : hostile) {
    const Record record(json);
    Decoder decoder(table_, {});
    const std::clock_t begin = std::clock();
    decoder.decode(record.view());
    // The aim is 50 ms; the test leaves room for slow machines and sanitizers.
    EXPECT_LT(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, 0.5) << json.substr(0, 20);
  }
}

}  // namespace
}  // namespace fb
