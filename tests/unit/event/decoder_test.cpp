#include "engine/event/decoder.h"

#include <gtest/gtest.h>

#include "tests/unit/event/support.h"

namespace fb {
namespace {

using test::Record;
using test::texts;
using Texts = std::vector<std::string>;

class DecoderTest : public ::testing::Test {
 protected:
  FieldIx want(std::string_view name) { return table_->add(name); }

  // Decodes with the fields wanted so far; the event lives until the next call.
  const Event* decode(std::string_view json) {
    record_ = std::make_unique<Record>(json);
    decoder_ = std::make_unique<Decoder>(table_, EventLimits{});
    return decoder_->decode(record_->view());
  }
  const Event& event(std::string_view json) {
    const Event* e = decode(json);
    if (e == nullptr) ADD_FAILURE() << json << ": " << decoder_->refusal().detail;
    static const Event kNone;
    return e == nullptr ? kNone : *e;
  }
  std::string_view reason(std::string_view json) {
    return decode(json) == nullptr ? decoder_->refusal().reason : "accepted";
  }

  std::shared_ptr<FieldTable> table_ = std::make_shared<FieldTable>();
  std::unique_ptr<Record> record_;
  std::unique_ptr<Decoder> decoder_;
};

TEST_F(DecoderTest, AllSpellingsOfAPathAreOneField) {
  const FieldIx f = want("process.parent.name");
  for (const char* json : {
           R"({"process":{"parent":{"name":"a"}}})",
           R"({"process.parent":{"name":"a"}})",
           R"({"process":{"parent.name":"a"}})",
           R"({"process.parent.name":"a"})",
           R"({ "process" : { "parent" : { "name" : "a" } } } )",
           R"({"pro\u0063ess":{"parent":{"na\u006De":"a"}}})",
       }) {
    EXPECT_EQ(texts(event(json), f), Texts{"a"}) << json;
  }
  EXPECT_EQ(
      texts(event(R"({"process.parent.name":"a","process":{"parent.name":"b","parent":{"name":["c",["d"]]}}})"), f),
      (Texts{"a", "b", "c", "d"}));
}

TEST_F(DecoderTest, KeysWithEmptySegmentsAreOrdinaryPaths) {
  const FieldIx f = want("a..b");
  const FieldIx empty = want("");
  const FieldIx dot = want(".");
  for (const char* json : {R"({"a..b":1})", R"({"a.":{"b":1}})", R"({"a":{".b":1}})", R"({"a":{"":{"b":1}}})"}) {
    EXPECT_EQ(texts(event(json), f), Texts{"1"}) << json;
  }
  EXPECT_EQ(texts(event(R"({"":2})"), empty), Texts{"2"});
  EXPECT_EQ(texts(event(R"({".":3})"), dot), Texts{"3"});
  EXPECT_EQ(texts(event(R"({"":{"":4}})"), dot), Texts{"4"});
  EXPECT_EQ(decode(R"({"a":{"b":1}})")->find(f), nullptr);
}

TEST_F(DecoderTest, NamesAreCaseSensitiveAndWhole) {
  const FieldIx f = want("process.name");
  EXPECT_EQ(event(R"({"Process":{"name":1},"process":{"Name":1},"process.names":1,"process.nam":1})").find(f), nullptr);
}

TEST_F(DecoderTest, ArraysFlattenThroughObjects) {
  const FieldIx f = want("s.a.b");
  EXPECT_EQ(texts(event(R"({"s":[{"a":{"b":1}},[{"a":[{"b":[2,[3,null,[]]]},{"a":9}]}],5,{"a.b":4}]})"), f),
            (Texts{"1", "2", "3", "4"}));
}

TEST_F(DecoderTest, NullAndEmptyContainersAreAbsentButTheEmptyStringIsNot) {
  const FieldIx f = want("x");
  for (const char* json : {R"({"x":null})", R"({"x":[]})", R"({"x":{}})", R"({"x":[null,[],{},[null]]})",
                           R"({"x":{"y":null}})", R"({})"}) {
    EXPECT_EQ(event(json).find(f), nullptr) << json;
  }
  EXPECT_EQ(texts(event(R"({"x":""})"), f), Texts{""});
}

TEST_F(DecoderTest, BelowTellsOfLeavesUnderAPath) {
  const FieldIx a = want("a");
  const FieldIx ab = want("a.b");
  for (const char* json : {R"({"a":{"b":{"c":1}}})", R"({"a.b.c":1})", R"({"a":[{"b":[[{"zz":1}]]}]})",
                           R"({"a.b":{"c.d":1}})", R"({"a":{"b.x.y":{"z":1}}})"}) {
    const Event& e = event(json);
    ASSERT_NE(e.find(a), nullptr) << json;
    ASSERT_NE(e.find(ab), nullptr) << json;
    EXPECT_TRUE(e.find(a)->below) << json;
    EXPECT_TRUE(e.find(ab)->below) << json;
    EXPECT_EQ(e.find(ab)->count, 0U);
    EXPECT_EQ(e.find(ab)->first, Value::kEnd);
  }
  EXPECT_TRUE(event(R"({"a.zzz":1})").find(a)->below);
  EXPECT_EQ(event(R"({"a.zzz":1})").find(ab), nullptr);
  EXPECT_EQ(event(R"({"a.zzz":null,"a":{"b":{"c":[{}]}},"ab":1,"a":{"bb":null}})").find(a), nullptr);
  const Event& both = event(R"({"a":1,"a":{"b":2}})");
  EXPECT_TRUE(both.find(a)->below);
  EXPECT_EQ(both.find(a)->count, 1U);
  EXPECT_FALSE(both.find(ab)->below);
  EXPECT_FALSE(event(R"({"a":1})").find(a)->below);
}

TEST_F(DecoderTest, LongDottedNamesAreFollowedSegmentBySegment) {
  const FieldIx f = want("a.b.c.d.e.f.g.h.i.j");
  EXPECT_EQ(texts(event(R"({"a.b.c.d.e.f.g.h.i.j":1})"), f), Texts{"1"});
  EXPECT_EQ(texts(event(R"({"a":{"b.c.d.e.f.g.h.i":{"j":1}}})"), f), Texts{"1"});
  EXPECT_TRUE(event(R"({"a.b.c.d.e.f.g.h.i.j.k":1})").find(f)->below);
  EXPECT_EQ(event(R"({"a.b.c.d.e.f.g.h.i.k":1})").find(f), nullptr);
}

TEST_F(DecoderTest, StringsAreUnescaped) {
  const FieldIx f = want("x");
  EXPECT_EQ(texts(event(R"({"x":"C:\\Windows\\System32\\cmd.exe \"\/c\"\b\f\n\r\t"})"), f),
            Texts{"C:\\Windows\\System32\\cmd.exe \"/c\"\b\f\n\r\t"});
  EXPECT_EQ(texts(event(R"({"x":"\u0041\u00e9\u20AC\uD83D\uDE00\u0000!"})"), f),
            Texts{std::string("A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\0!", 12)});
  for (size_t length = 0; length < 200; ++length) {  // every alignment against the 16- and 64-byte steps
    const std::string plain(length, 'p');
    EXPECT_EQ(texts(event("{\"x\":\"" + plain + "\\\\" + plain + "\\n\"}"), f), Texts{plain + "\\" + plain + "\n"});
    EXPECT_EQ(texts(event("{\"x\":\"" + plain + "\\ud83d\\ude00\"}"), f), Texts{plain + "\xF0\x9F\x98\x80"});
  }
}

TEST_F(DecoderTest, StringsWithoutEscapesAreViewsIntoTheRecord) {
  const FieldIx f = want("x");
  const Event& e = event(R"({"x":"plain","y":"\\"})");
  const std::string_view text = e.value(e.find(f)->first).text;
  EXPECT_GE(text.data(), record_->view().data());
  EXPECT_LT(text.data(), record_->view().data() + record_->view().size());
}

TEST_F(DecoderTest, NumbersKeepTheirTextAndTheirValue) {
  const FieldIx f = want("n");
  const Event& e =
      event(R"({"n":[0,-0,1.0,1,-17,1e400,18446744073709551615,18446744073709551616,123456789012345678,0.5E-3]})");
  EXPECT_EQ(texts(e, f), (Texts{"0", "-0", "1.0", "1", "-17", "1e400", "18446744073709551615", "18446744073709551616",
                                "123456789012345678", "0.5E-3"}));
  for (uint32_t at = e.find(f)->first; at != Value::kEnd; at = e.value(at).next) {
    EXPECT_EQ(e.value(at).kind, Value::Kind::number);
    EXPECT_EQ(compare(e.value(at).number, *parse_json_number(e.value(at).text)), 0) << e.value(at).text;
  }
}

TEST_F(DecoderTest, LiteralsAndKinds) {
  const FieldIx f = want("b");
  const Event& e = event(R"({"b":[true,false,"true"]})");
  const Value& yes = e.value(e.find(f)->first);
  const Value& no = e.value(yes.next);
  const Value& text = e.value(no.next);
  EXPECT_EQ(yes.kind, Value::Kind::boolean);
  EXPECT_TRUE(yes.truth);
  EXPECT_FALSE(no.truth);
  EXPECT_EQ(no.text, "false");
  EXPECT_EQ(text.kind, Value::Kind::string);
  EXPECT_EQ(text.next, Value::kEnd);
}

TEST_F(DecoderTest, FieldsAreListedOnceInOrderOfAppearance) {
  const FieldIx b = want("b");
  const FieldIx a = want("a");
  const Event& e = event(R"({"a":1,"b":2,"a":3,"c":4})");
  ASSERT_EQ(e.fields().size(), 2U);
  EXPECT_EQ(e.fields()[0].field, a);
  EXPECT_EQ(e.fields()[1].field, b);
  EXPECT_EQ(e.fields()[0].count, 2U);
  EXPECT_EQ(e.json(), record_->view());
}

TEST_F(DecoderTest, AnEventLeavesNothingToTheNext) {
  const FieldIx a = want("a");
  const FieldIx b = want("b");
  const Record first(R"({"a":1,"b":{"c":1}})");
  const Record second(R"({"b":2})");
  Decoder decoder(table_, {});
  ASSERT_NE(decoder.decode(first.view()), nullptr);
  const Event* e = decoder.decode(second.view());
  EXPECT_EQ(e->find(a), nullptr);
  EXPECT_EQ(texts(*e, b), Texts{"2"});
  EXPECT_FALSE(e->find(b)->below);
}

TEST_F(DecoderTest, NestedObjectsAreHandedOutWithTheirBytes) {
  table_->want_nested("a.items");
  const Event& e = event(R"({"a":{"items":[{"x":1},[{ "y" : {"z":2} }],3,null]},"a.items":{"w":"}"},"items":{"q":1}})");
  ASSERT_EQ(e.nested().size(), 3U);
  EXPECT_EQ(e.nested()[0].json, R"({"x":1})");
  EXPECT_EQ(e.nested()[1].json, R"({ "y" : {"z":2} })");
  EXPECT_EQ(e.nested()[2].json, R"({"w":"}"})");
}

TEST_F(DecoderTest, NestedObjectsResolveByTheirFullPath) {
  const FieldIx x = want("a.items.x");
  const FieldIx deep = want("a.items.subs.v");
  const FieldIx items = want("a.items");
  table_->want_nested("a.items");
  table_->want_nested("a.items.subs");
  const Event& e = event(R"({"a":{"items":[{"x":"one","subs":[{"v":1},{"v":2}]},{"x":"t\\wo"}]}})");
  ASSERT_EQ(e.nested().size(), 4U);
  EXPECT_EQ(e.nested()[0].path, 0U);
  EXPECT_EQ(e.nested()[1].path, 1U);
  const Event* one = decoder_->decode_nested(e.nested()[0], 0);
  ASSERT_NE(one, nullptr);
  EXPECT_EQ(texts(*one, x), Texts{"one"});
  EXPECT_EQ(texts(*one, deep), (Texts{"1", "2"}));
  EXPECT_TRUE(one->find(items)->below);
  ASSERT_EQ(one->nested().size(), 2U);
  const Event* sub = decoder_->decode_nested(one->nested()[1], 1);
  ASSERT_NE(sub, nullptr);
  EXPECT_EQ(texts(*sub, deep), Texts{"2"});
  EXPECT_EQ(texts(*one, x), Texts{"one"});  // the outer levels are still there
  EXPECT_EQ(texts(e, x), (Texts{"one", "t\\wo"}));
  const Event* two = decoder_->decode_nested(e.nested()[3], 0);
  EXPECT_EQ(texts(*two, x), Texts{"t\\wo"});
  EXPECT_EQ(two->find(deep), nullptr);
}

TEST_F(DecoderTest, NestedRefusesWhatIsNoObjectOfTheTable) {
  table_->want_nested("a");
  ASSERT_NE(decode("{}"), nullptr);
  EXPECT_EQ(decoder_->decode_nested({7, record_->view()}, 0), nullptr);
  const Record broken(R"({"a":)");
  EXPECT_EQ(decoder_->decode_nested({0, broken.view()}, 0), nullptr);
}

TEST_F(DecoderTest, AllLeavesComeWithTheirPaths) {
  const FieldIx wanted = want("a.b");
  table_->want_all_leaves();
  const Event& e = event(R"({"a":{"b":"x\ty","c":[1,{"d.e":true}]},"":{"f":null,"":2},"t.u":"v"})");
  Texts seen;
  for (const Leaf& leaf : e.leaves())
    seen.push_back(std::string(leaf.path) + "=" + std::string(e.value(leaf.value).text));
  EXPECT_EQ(seen, (Texts{"a.b=x\ty", "a.c=1", "a.c.d.e=true", ".=2", "t.u=v"}));
  EXPECT_EQ(e.leaves()[0].value, e.find(wanted)->first);
}

TEST_F(DecoderTest, NestedLeavesHaveFullPaths) {
  table_->want_nested("list");
  table_->want_all_leaves();
  const Event& e = event(R"({"list":[{"k":1}]})");
  const Event* nested = decoder_->decode_nested(e.nested()[0], 0);
  ASSERT_EQ(nested->leaves().size(), 1U);
  EXPECT_EQ(nested->leaves()[0].path, "list.k");
}

TEST_F(DecoderTest, ARenamedPathIsAnotherSpelling) {
  const FieldIx to = want("process.executable");
  const FieldIx process = want("process");
  const FieldIx sub = want("process.executable.hash");
  table_->rename("Image", "process.executable");
  table_->rename("event_data.Exe", "process.executable");
  table_->want_nested("process.executable");
  const Event& e = event(R"({"Image":"C:\\x.exe","event_data":{"Exe":"y"},"process":{"executable":"z"}})");
  EXPECT_EQ(texts(e, to), (Texts{"C:\\x.exe", "y", "z"}));
  EXPECT_TRUE(event(R"({"Image":"x"})").find(process)->below);
  EXPECT_EQ(event(R"({"Image":null})").find(process), nullptr);
  const Event& object = event(R"({"Image":{"hash":"h","other":1}})");
  EXPECT_EQ(texts(object, sub), Texts{"h"});
  EXPECT_TRUE(object.find(to)->below);
  EXPECT_EQ(object.nested().size(), 1U);
  EXPECT_EQ(event(R"({"image":"x","Images":"y"})").find(to), nullptr);
}

TEST_F(DecoderTest, TheOldNameStillResolvesWhenWanted) {
  const FieldIx from = want("Image");
  const FieldIx one = want("process.executable");
  const FieldIx two = want("file.path");
  table_->rename("Image", "process.executable");
  table_->rename("Image", "file.path");
  const Event& e = event(R"({"Image":["x","y"]})");
  for (const FieldIx f : {from, one, two}) EXPECT_EQ(texts(e, f), (Texts{"x", "y"}));
}

TEST_F(DecoderTest, LeavesAreNamedByBothNames) {
  table_->rename("Image", "process.executable");
  table_->rename("data", "winlog.event_data");
  table_->want_all_leaves();
  const Event& e = event(R"({"Image":"x","data":{"a":{"b":[1,2]}},"datax":3})");
  Texts seen;
  for (const Leaf& leaf : e.leaves())
    seen.push_back(std::string(leaf.path) + "=" + std::string(e.value(leaf.value).text));
  EXPECT_EQ(seen, (Texts{"Image=x", "process.executable=x", "data.a.b=1", "winlog.event_data.a.b=1", "data.a.b=2",
                         "winlog.event_data.a.b=2", "datax=3"}));
}

TEST_F(DecoderTest, AnIdentityGivenTwiceInOneObjectIsRefused) {
  EXPECT_EQ(reason(R"({"host":{"id":"a","id":"b"}})"), "identity-conflict");
  EXPECT_EQ(reason(R"({"host":{"id":"a","\u0069d":"b"}})"), "identity-conflict");
  EXPECT_EQ(reason(R"({"host.id":"a","host.id":"b"})"), "identity-conflict");
  EXPECT_EQ(reason(R"({"agent.id":"a","agent.id":1})"), "identity-conflict");
  EXPECT_EQ(reason(R"({"host":{"id":"a"},"host":{"id":"b"}})"), "identity-conflict");
  EXPECT_EQ(reason(R"({"host":[{"id":["a"],"id":"b"}]})"), "identity-conflict");
  EXPECT_EQ(decoder_->refusal().offset, 26U);
}

TEST_F(DecoderTest, TheSameIdentityTwiceIsFine) {
  for (const char* json : {R"({"host":{"id":"a","id":"a"}})", R"({"host.id":"a","host":{"id":"\u0061"}})",
                           R"({"host":{"id":["a","a"]},"agent":{"id":"b"}})", R"({"host":{"id":"a","id":null}})",
                           R"({"user":{"id":"a","id":"b"},"host":{"ids":"a","ids":"b"}})"}) {
    EXPECT_FALSE(event(json).identity_conflict()) << json;
  }
}

TEST_F(DecoderTest, TwoSpellingsWithTwoValuesAreAConflictOnly) {
  for (const char* json : {R"({"host.id":"a","host":{"id":"b"}})", R"({"agent":{"id":["a","b"]}})",
                           R"({"host":[{"id":"a"},{"id":"b"}]})", R"({"agent.id":["a"],"agent":[[{"id":""}]]})"}) {
    EXPECT_TRUE(event(json).identity_conflict()) << json;
  }
}

TEST_F(DecoderTest, RenamedIdentitiesConflictButAreNotRefused) {
  table_->rename("HostId", "host.id");
  EXPECT_TRUE(event(R"({"HostId":"a","host":{"id":"b"}})").identity_conflict());
  EXPECT_TRUE(event(R"({"HostId":"a","HostId":"b"})").identity_conflict());
  EXPECT_FALSE(event(R"({"HostId":"a","host":{"id":"a"}})").identity_conflict());
}

TEST_F(DecoderTest, ManyInventedKeysChangeNothing) {
  // More distinct keys than are remembered, in changing order, with wanted ones among them and beside look-alikes.
  const FieldIx name = want("process.name");
  const FieldIx process = want("process");
  const FieldIx wide = want(std::string(60, 'w'));
  Decoder decoder(table_, {});
  for (int i = 0; i < 3000; ++i) {
    const std::string n = std::to_string(i);
    const std::string known = R"("process.name":")" + n + R"(")";
    const std::string invented = "\"k" + n + "\":1,\"process.k" + n + "\":2,\"" +
                                 std::string(static_cast<size_t>(i % 70), 'w') + "\":{\"name\":3}";
    const Record record("{" + (i % 3 == 0 ? known + "," + invented : invented + "," + known) +
                        R"(,"process":{"name":"n"}})");
    const Event* e = decoder.decode(record.view());
    ASSERT_NE(e, nullptr) << record.view();
    ASSERT_EQ(texts(*e, name), (Texts{n, "n"})) << record.view();
    ASSERT_TRUE(e->find(process)->below);
    ASSERT_EQ(e->find(wide) != nullptr, i % 70 == 60) << record.view();
  }
}

TEST_F(DecoderTest, AKeyMeansWhatItsPlaceMakesOfIt) {
  const FieldIx inner = want("a.id");
  const FieldIx outer = want("id");
  Decoder decoder(table_, {});
  for (int i = 0; i < 4; ++i) {  // the same keys in the same order, once below "a" and once not
    const Record nested(R"({"a":{"id":1}})");
    const Record flat(R"({"a":0,"id":2})");
    const Event* e = decoder.decode(nested.view());
    EXPECT_EQ(texts(*e, inner), Texts{"1"});
    EXPECT_EQ(e->find(outer), nullptr);
    e = decoder.decode(flat.view());
    EXPECT_EQ(texts(*e, outer), Texts{"2"});
    EXPECT_EQ(e->find(inner), nullptr);
  }
}

TEST_F(DecoderTest, ADecoderCanMove) {
  const FieldIx f = want("a");
  Decoder first(table_, {});
  Decoder second = std::move(first);
  const Record record(R"({"a":1})");
  EXPECT_EQ(texts(*second.decode(record.view()), f), Texts{"1"});
}

}  // namespace
}  // namespace fb
