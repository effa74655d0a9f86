// Exceptions and filters: what they let through, judged by the oracle.
#include "engine/compile/exceptions.h"
#include "tests/unit/compile/support.h"

namespace fb {
namespace {

using namespace test;

// A rule `a:b` with one inline item.
std::string with_item(const std::string& entries, const std::string& more = "") {
  return rule_text("exceptions_list:\n  - items:\n      - name: i\n" + (more.empty() ? "" : "        " + more + "\n") +
                   "        entries:\n          - " + entries + "\n");
}
// Is the event alerted on?
bool alerts(const std::string& entries, const std::string& event) {
  return holds(with_item(entries), event);
}

TEST(Exceptions, MatchIsTypedEquality) {
  const std::string exact = "{field: process.name, type: match, operator: included, value: cmd.exe}";
  EXPECT_FALSE(alerts(exact, R"({"a":"b","process":{"name":"cmd.exe"}})"));
  EXPECT_FALSE(alerts(exact, R"({"a":"b","process.name":["x","cmd.exe"]})"));
  EXPECT_TRUE(alerts(exact, R"({"a":"b","process.name":"CMD.EXE"})"));
  EXPECT_TRUE(alerts(exact, R"({"a":"b"})"));
  const std::string network = "{field: source.ip, type: match, operator: included, value: 10.0.0.0/8}";
  EXPECT_FALSE(alerts(network, R"({"a":"b","source.ip":"10.2.3.4"})"));
  EXPECT_FALSE(alerts(network, R"({"a":"b","source.ip":"::ffff:10.2.3.4"})"));
  EXPECT_TRUE(alerts(network, R"({"a":"b","source.ip":"11.2.3.4"})"));
  const std::string number = "{field: destination.port, type: match, operator: included, value: '443'}";
  EXPECT_FALSE(alerts(number, R"({"a":"b","destination.port":443})"));
}

TEST(Exceptions, CaselessFoldsBothSides) {
  const std::string entry = "{field: process.name.caseless, type: match, operator: included, value: CMD.exe}";
  EXPECT_FALSE(alerts(entry, R"({"a":"b","process.name":"cmd.EXE"})"));
  EXPECT_TRUE(alerts(entry, R"({"a":"b","process.name":"cmd"})"));
}

TEST(Exceptions, MatchAny) {
  const std::string entry = "{field: user.name, type: match_any, operator: included, value: [x, y]}";
  EXPECT_FALSE(alerts(entry, R"({"a":"b","user.name":"y"})"));
  EXPECT_TRUE(alerts(entry, R"({"a":"b","user.name":"z"})"));
}

TEST(Exceptions, WildcardHasStarQuestionMarkAndEscapes) {
  const std::string entry =
      "{field: process.executable, type: wildcard, operator: included, value: 'C:\\\\Tools\\\\?.e*'}";
  EXPECT_FALSE(alerts(entry, R"({"a":"b","process.executable":"C:\\Tools\\x.exe"})"));
  EXPECT_FALSE(alerts(entry, R"({"a":"b","process.executable":"C:\\Tools\\ü.e"})"));
  EXPECT_TRUE(alerts(entry, R"({"a":"b","process.executable":"C:\\Tools\\xx.exe"})"));
  EXPECT_TRUE(alerts(entry, R"({"a":"b","process.executable":"c:\\tools\\x.exe"})"));
  const std::string star = "{field: x, type: wildcard, operator: included, value: 'a\\*\\?'}";
  EXPECT_FALSE(alerts(star, R"({"a":"b","x":"a*?"})"));
  EXPECT_TRUE(alerts(star, R"({"a":"b","x":"abc"})"));
}

TEST(Exceptions, ExcludedIsPlainNegation) {
  // "is not x" excepts an event that has no such field.
  const std::string is_not = "{field: user.name, type: match, operator: excluded, value: x}";
  EXPECT_TRUE(alerts(is_not, R"({"a":"b","user.name":"x"})"));
  EXPECT_FALSE(alerts(is_not, R"({"a":"b","user.name":"y"})"));
  EXPECT_FALSE(alerts(is_not, R"({"a":"b"})"));
  EXPECT_FALSE(alerts("{field: user.name, type: exists, operator: excluded}", R"({"a":"b"})"));
  EXPECT_TRUE(alerts("{field: user.name, type: exists, operator: excluded}", R"({"a":"b","user.name":"x"})"));
  EXPECT_FALSE(alerts("{field: user.name, type: exists, operator: included}", R"({"a":"b","user.name":""})"));
}

TEST(Exceptions, NestedLooksAtOneElement) {
  const std::string entry =
      "{field: sig, type: nested, entries: [{field: name, type: match, operator: included, value: M}, "
      "{field: ok, type: match, operator: included, value: 'true'}]}";
  EXPECT_FALSE(alerts(entry, R"({"a":"b","sig":[{"name":"M","ok":true}]})"));
  EXPECT_TRUE(alerts(entry, R"({"a":"b","sig":[{"name":"M","ok":false},{"name":"N","ok":true}]})"));
}

TEST(Exceptions, EntriesAreAndedItemsAreOred) {
  const LoadedRules loaded = load_rule_text(
      rule_text("exceptions_list:\n  - items:\n"
                "      - entries: [{field: x, type: match, value: '1'}, {field: y, type: match, value: '2'}]\n"
                "      - entries: [{field: z, type: match, value: '3'}]\n"),
      "r.yml");
  EXPECT_TRUE(holds(loaded, R"({"a":"b","x":"1"})"));
  EXPECT_FALSE(holds(loaded, R"({"a":"b","x":"1","y":"2"})"));
  EXPECT_FALSE(holds(loaded, R"({"a":"b","z":"3"})"));
  EXPECT_FALSE(holds(loaded, R"({"z":"x"})"));  // the query still counts
}

TEST(Exceptions, ExpireByTheEventsTime) {
  const std::string rule = with_item("{field: x, type: exists}", "expire_time: '2026-06-01T00:00:00.000Z'");
  EXPECT_FALSE(holds(rule, R"({"a":"b","x":"1","@timestamp":"2026-05-31T23:59:59.999Z"})"));
  EXPECT_TRUE(holds(rule, R"({"a":"b","x":"1","@timestamp":"2026-06-01T00:00:00.000Z"})"));
  EXPECT_TRUE(holds(rule, R"({"a":"b","x":"1"})"));  // no time: the exception does not apply
  const std::string with_override = rule + "timestamp_override: event.ingested\n";
  EXPECT_TRUE(
      holds(with_override,
            R"({"a":"b","x":"1","@timestamp":"2026-05-01T00:00:00Z","event.ingested":"2026-06-02T00:00:00Z"})"));
  EXPECT_FALSE(holds(with_override, R"({"a":"b","x":"1","@timestamp":"2026-05-01T00:00:00Z"})"));
  EXPECT_TRUE(holds(with_override + "timestamp_override_fallback_disabled: true\n",
                    R"({"a":"b","x":"1","@timestamp":"2026-05-01T00:00:00Z"})"));
  EXPECT_EQ(codes_of(with_item("{field: x, type: exists}", "expire_time: soon")), Strings{"bad-value"});
}

TEST(Exceptions, OsTypesLimitAnItem) {
  const std::string rule = with_item("{field: x, type: exists}", "os_types: [linux]");
  EXPECT_FALSE(holds(rule, R"({"a":"b","x":"1","host.os.type":"linux"})"));
  EXPECT_TRUE(holds(rule, R"({"a":"b","x":"1","host.os.type":"windows"})"));
}

TEST(Exceptions, WhatCantBeRunIsAnError) {
  EXPECT_EQ(codes_of(with_item("{field: x, type: list, operator: included, list: {id: l, type: ip}}")),
            Strings{"unsupported-exception"});
  EXPECT_EQ(codes_of(with_item("{field: x, type: mtch, operator: included, value: y}")), Strings{"bad-value"});
  EXPECT_EQ(codes_of(with_item("{field: x, type: match, operator: include, value: y}")), Strings{"bad-value"});
  EXPECT_EQ(codes_of(with_item("{field: x, type: match, operator: included}")), Strings{"missing-key"});
  EXPECT_EQ(codes_of(with_item("{field: x, type: match, operator: included, values: y}")).size(), 2u);
  EXPECT_EQ(codes_of(with_item("{field: x, type: wildcard, value: '" + std::string(5000, 'x') + "'}")),
            Strings{"bad-value"});
  EXPECT_EQ(codes_of(rule_text("exceptions_list: [{items: [{entries: []}]}]\n")), Strings{"bad-value"});
  EXPECT_EQ(codes_of(rule_text("exceptions_list: [{id: x}]\n")), Strings{"missing-key"});
}

const std::string kItem =
    R"({"list_id":"allowed","item_id":"i1","name":"n","description":"d","type":"simple","namespace_type":"single","comments":[],)"
    R"("os_types":[],"tags":[],"entries":[{"field":"x","type":"match","operator":"included","value":"1"}],)"
    R"("created_at":"2026-01-01T00:00:00.000Z","created_by":"e","updated_at":"2026-01-01T00:00:00.000Z","updated_by":"e",)"
    R"("id":"u1","tie_breaker_id":"t1","_version":"WzEsMV0="})";
const std::string kList =
    R"({"list_id":"allowed","type":"detection","name":"n","description":"d","id":"l1","namespace_type":"single"})";
const std::string kReference =
    "exceptions_list: [{id: l1, list_id: allowed, type: detection, namespace_type: single}]\n";

TEST(Exceptions, ComeFromAFile) {
  TempFolder folder;
  LoadOptions options;
  options.exception_files = {folder.write(
      "e.ndjson",
      kList + "\n" + kItem + "\n{\"exported_exception_list_count\":1,\"exported_exception_list_item_count\":1}\n")};
  const LoadedRules loaded = load_rule_text(rule_text(kReference), "r.yml", options);
  ASSERT_TRUE(loaded.ok()) << all_problems(loaded);
  EXPECT_TRUE(codes(loaded).empty());
  EXPECT_FALSE(holds(loaded, R"({"a":"b","x":"1"})"));
  EXPECT_TRUE(holds(loaded, R"({"a":"b","x":"2"})"));
  // Another list's items do not count.
  EXPECT_TRUE(holds(load_rule_text(rule_text("exceptions_list: [{list_id: other}]\n"), "r.yml", options),
                    R"({"a":"b","x":"1"})"));
  // What is excepted is part of the rule's identity.
  EXPECT_NE(loaded.rules[0].input.meta->hash, load_rule_text(rule_text(kReference), "r.yml").rules[0].input.meta->hash);
}

TEST(Exceptions, ComeFromAnExportBesideTheRules) {
  TempFolder folder;
  folder.write("1.yml", rule_text(kReference));
  folder.write("2.ndjson", kList + "\n" + kItem + "\n" + R"({"exported_count":2,"exported_rules_count":0})" + "\n");
  const Result<LoadedRules> loaded = load_rules({folder.path()});
  ASSERT_TRUE(loaded && loaded->ok()) << (loaded ? all_problems(*loaded) : loaded.error().describe());
  ASSERT_EQ(loaded->rules.size(), 1u);
  EXPECT_FALSE(holds(*loaded, R"({"a":"b","x":"1"})"));
}

TEST(Exceptions, AListThatIsNotGivenIsAWarning) {
  EXPECT_EQ(places_of(rule_text(kReference)), Strings{"exception-list-missing@8:37"});
  EXPECT_TRUE(load_rule_text(rule_text(kReference), "r.yml").ok());
  // An empty list was given.
  TempFolder folder;
  LoadOptions options;
  options.exception_files = {folder.write("e.ndjson", kList + "\n")};
  EXPECT_TRUE(codes(load_rule_text(rule_text(kReference), "r.yml", options)).empty());
}

TEST(Exceptions, ABrokenItemBreaksTheRulesThatNameItsList) {
  TempFolder folder;
  std::string broken = kItem;
  broken.replace(broken.find(R"("type":"match")"), 14, R"("type":"list")");
  LoadOptions options;
  options.exception_files = {folder.write("e.ndjson", broken + "\n{\"some\":\"thing\"}\n")};
  const LoadedRules loaded = load_rule_text(rule_text(kReference), "r.yml", options);
  EXPECT_EQ(codes(loaded), (Strings{"unsupported-exception", "not-an-exception", "exception-broken"}));
  EXPECT_FALSE(loaded.rules[0].ok);
  EXPECT_TRUE(load_rule_text(rule_text(), "r.yml", options).rules[0].ok);
}

TEST(Exceptions, AMissingFileIsAnError) {
  LoadOptions options;
  options.exception_files = {"/nowhere/e.ndjson"};
  EXPECT_EQ(codes(load_rule_text(rule_text(), "r.yml", options)), Strings{"file-unreadable"});
}

TEST(Filters, AreAndedWithTheQuery) {
  const auto with = [](const std::string& filter) { return rule_text("filters:\n  - " + filter + "\n"); };
  const std::string phrase = with("{meta: {negate: false, type: phrase}, query: {match_phrase: {user.name: kim}}}");
  EXPECT_TRUE(holds(phrase, R"({"a":"b","user.name":"kim"})"));
  EXPECT_FALSE(holds(phrase, R"({"a":"b","user.name":"x"})"));
  const std::string negated = with("{meta: {negate: true}, query: {match_phrase: {user.name: {query: kim}}}}");
  EXPECT_FALSE(holds(negated, R"({"a":"b","user.name":"kim"})"));
  EXPECT_TRUE(holds(negated, R"({"a":"b"})"));
  const std::string off = with("{meta: {disabled: true}, query: {script: {x: y}}}");
  EXPECT_TRUE(holds(off, R"({"a":"b"})"));
  const std::string range = with("{query: {range: {destination.port: {gte: 10, lt: 20}}}}");
  EXPECT_TRUE(holds(range, R"({"a":"b","destination.port":10})"));
  EXPECT_FALSE(holds(range, R"({"a":"b","destination.port":20})"));
  const std::string exists = with("{meta: {type: exists, key: x}, exists: {field: x}}");
  EXPECT_TRUE(holds(exists, R"({"a":"b","x":1})"));
  EXPECT_FALSE(holds(exists, R"({"a":"b"})"));
  const std::string phrases = with(
      "{query: {bool: {minimum_should_match: 1, should: "
      "[{match_phrase: {x: '1'}}, {match_phrase: {x: '2'}}]}}}");
  EXPECT_TRUE(holds(phrases, R"({"a":"b","x":"2"})"));
  EXPECT_FALSE(holds(phrases, R"({"a":"b","x":"3"})"));
  const std::string wildcard = with(
      "{meta: {negate: true}, query: {wildcard: {file.path: {value: '?:\\\\Tools\\\\*', case_insensitive: true}}}}");
  EXPECT_FALSE(holds(wildcard, R"({"a":"b","file.path":"c:\\TOOLS\\x"})"));
  EXPECT_TRUE(holds(wildcard, R"({"a":"b","file.path":"c:\\other\\x"})"));
  const std::string only_meta = with("{meta: {type: phrases, key: x, params: ['1', '2']}}");
  EXPECT_TRUE(holds(only_meta, R"({"a":"b","x":"1"})"));
  EXPECT_FALSE(holds(only_meta, R"({"a":"b","x":"3"})"));
  const std::string terms = with("{query: {terms: {x: ['1', '2']}}}");
  EXPECT_TRUE(holds(terms, R"({"a":"b","x":"1"})"));
  EXPECT_FALSE(holds(terms, R"({"a":"b","x":"3"})"));
  const std::string must_not = with("{query: {bool: {filter: {term: {x: '1'}}, must_not: [{exists: {field: y}}]}}}");
  EXPECT_TRUE(holds(must_not, R"({"a":"b","x":"1"})"));
  EXPECT_FALSE(holds(must_not, R"({"a":"b","x":"1","y":"1"})"));
}

TEST(Filters, AClauseMayStandAlone) {
  const auto with = [](const std::string& filter) { return rule_text("filters:\n  - " + filter + "\n"); };
  for (const char* filter : {"{term: {x: '1'}}", "{terms: {x: ['1', '2']}}", "{match: {x: '1'}}",
                             "{match_phrase: {x: {query: '1'}}}", "{prefix: {x: '1'}}", "{wildcard: {x: '1*'}}",
                             "{$state: {store: appState}, meta: {}, term: {x: {value: '1'}}}"}) {
    EXPECT_TRUE(holds(with(filter), R"({"a":"b","x":"1"})")) << filter;
    EXPECT_FALSE(holds(with(filter), R"({"a":"b","x":"3"})")) << filter;
  }
  const std::string prefix = with("{query: {prefix: {x: {value: 'a*b\\?', case_insensitive: true}}}}");
  EXPECT_TRUE(holds(prefix, R"({"a":"b","x":"A*B\\?c"})"));
  EXPECT_FALSE(holds(prefix, R"({"a":"b","x":"axb\\?c"})"));
  const std::string negated = with("{meta: {negate: true}, prefix: {x: '1'}}");
  EXPECT_FALSE(holds(negated, R"({"a":"b","x":"12"})"));
}

TEST(Filters, WhatCantBeRunIsNamedNotSkipped) {
  for (const char* filter :
       {"{query: {script: {x: y}}}", "{query: {regexp: {x: y}}}", "{query: {range: {x: {gte: 1, format: z}}}}",
        "{query: {match: {message: two words}}}",
        "{query: {bool: {should: [{match_all: {}}], minimum_should_match: 2}}}", "{query: {term: {message: x}}}",
        "{query: {match_all: {}, exists: {field: x}}}", "{term: {x: '1'}, exists: {field: x}}", "{prefix: {x: 1}}",
        "{script: {}}", "{meta: {negate: true}}", "{meta: {type: geo, key: x, params: {}}}", "{}"}) {
    const Strings found = codes_of(rule_text("filters:\n  - " + std::string(filter) + "\n"));
    EXPECT_FALSE(found.empty()) << filter;
    EXPECT_FALSE(load_rule_text(rule_text("filters:\n  - " + std::string(filter) + "\n"), "r.yml").ok()) << filter;
  }
}

TEST(Filters, ARuleMayHaveFiltersOnly) {
  std::string text = rule_text("filters: [{query: {match_phrase: {x: '1'}}}]\n");
  text.erase(text.find("query: 'a:b'\n"), 13);
  EXPECT_TRUE(holds(text, R"({"x":"1"})"));
  EXPECT_FALSE(holds(text, R"({"x":"2"})"));
}

}  // namespace
}  // namespace fb
