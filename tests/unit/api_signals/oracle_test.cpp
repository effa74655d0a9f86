// Generated alerts and generated queries: what a search finds against a slow judge that reads the query as it is
// written, document by document, with nothing of the searching code in it.
#include <algorithm>
#include <random>
#include <set>

#include "engine/record/workflow.h"
#include "tests/unit/api_signals/signals_fixture.h"

namespace fb::api {
namespace {

// The values of a field, whichever way the document spells its path.
void collect(const Json& node, const std::string& path, std::vector<Json>& out) {
  if (path.empty()) {
    if (node.is_array()) {
      for (const Json& item : node) collect(item, path, out);
    } else if (!node.is_null() && !node.is_object()) {
      out.push_back(node);
    }
    return;
  }
  if (!node.is_object()) return;
  for (const auto& [key, value] : node.items()) {
    if (key == path) collect(value, "", out);
    if (path.size() > key.size() && path.substr(0, key.size()) == key && path[key.size()] == '.') {
      collect(value, path.substr(key.size() + 1), out);
    }
  }
}

// Is there a value at the path, or anywhere below it?
bool has_value(const Json& node) {
  if (!node.is_structured()) return !node.is_null();
  return std::any_of(node.begin(), node.end(), [](const Json& child) { return has_value(child); });
}
bool has_value_at(const Json& node, const std::string& path) {
  if (!node.is_object()) return false;
  for (const auto& [key, value] : node.items()) {
    if ((key == path || key.starts_with(path + ".")) && has_value(value)) return true;
    if (path.starts_with(key + ".") && has_value_at(value, path.substr(key.size() + 1))) return true;
  }
  return false;
}

bool pattern_fits(const std::string& pattern, size_t p, const std::string& text, size_t t) {
  if (p == pattern.size()) return t == text.size();
  if (pattern[p] == '*') {
    for (size_t i = t; i <= text.size(); ++i) {
      if (pattern_fits(pattern, p + 1, text, i)) return true;
    }
    return false;
  }
  return t < text.size() && (pattern[p] == '?' || pattern[p] == text[t]) && pattern_fits(pattern, p + 1, text, t + 1);
}

bool equal(const Json& value, const Json& wanted) {
  if (value.is_number() && wanted.is_number()) return value.get<double>() == wanted.get<double>();
  return value == wanted;
}

bool judge(const Json& q, const Json& doc) {
  const std::string& name = q.begin().key();
  const Json& body = q.begin().value();
  const auto values = [&](const std::string& field) {
    std::vector<Json> all;
    collect(doc, field, all);
    return all;
  };
  const auto any = [&](const std::string& field, const auto& fits) {
    const std::vector<Json> all = values(field);
    return std::any_of(all.begin(), all.end(), fits);
  };
  if (name == "match_all") return true;
  if (name == "match_none") return false;
  if (name == "exists") return has_value_at(doc, body["field"]);
  if (name == "constant_score") return judge(body["filter"], doc);
  if (name == "ids") {
    return std::find(body["values"].begin(), body["values"].end(), doc["kibana.alert.uuid"]) != body["values"].end();
  }
  if (name == "bool") {
    const auto list = [&](const char* key) { return body.value(key, Json::array()); };
    for (const char* key : {"must", "filter"}) {
      for (const Json& child : list(key)) {
        if (!judge(child, doc)) return false;
      }
    }
    for (const Json& child : list("must_not")) {
      if (judge(child, doc)) return false;
    }
    const Json should = list("should");
    const bool optional = !list("must").empty() || !list("filter").empty();
    const int least = body.value("minimum_should_match", optional || should.empty() ? 0 : 1);
    return std::count_if(should.begin(), should.end(), [&](const Json& c) { return judge(c, doc); }) >= least;
  }
  const std::string& field = body.begin().key();
  const Json& how = body.begin().value();
  if (name == "terms") {
    return any(field, [&](const Json& v) {
      return std::any_of(how.begin(), how.end(), [&](const Json& w) { return equal(v, w); });
    });
  }
  if (name == "prefix") {
    const std::string start = how["value"];
    return any(field, [&](const Json& v) { return v.is_string() && v.get<std::string>().starts_with(start); });
  }
  if (name == "wildcard") {
    const std::string pattern = how["value"];
    return any(field,
               [&](const Json& v) { return v.is_string() && pattern_fits(pattern, 0, v.get<std::string>(), 0); });
  }
  if (name == "range") {
    return any(field, [&](const Json& v) {
      for (const auto& [bound, limit] : how.items()) {
        // Times of one format compare as texts do.
        const bool good = bound == "gt"    ? v > limit
                          : bound == "gte" ? v >= limit
                          : bound == "lt"  ? v < limit
                                           : v <= limit;
        if (!good) return false;
      }
      return true;
    });
  }
  const Json wanted = how.is_object() ? how[name == "term" ? "value" : "query"] : how;
  return any(field, [&](const Json& v) { return equal(v, wanted); });
}

class SignalsOracle : public SignalsApi {
 protected:
  template <class T>
  const T& one_of(const std::vector<T>& all) {
    return all[std::uniform_int_distribution<size_t>(0, all.size() - 1)(random_)];
  }
  bool chance(int percent) { return std::uniform_int_distribution<int>(0, 99)(random_) < percent; }
  int number(int most) { return std::uniform_int_distribution<int>(0, most)(random_); }

  // Nested or dotted, or in part each.
  void put(Json& doc, const std::string& path, const Json& value) {
    const size_t dot = path.find('.');
    if (dot == std::string::npos || chance(30)) {
      doc[path] = value;
      return;
    }
    Json& inner = doc[path.substr(0, dot)];
    if (!inner.is_object()) inner = Json::object();
    put(inner, path.substr(dot + 1), value);
  }

  void add(int i) {
    BatchOutcome b = batch(test::rule(one_of(rules_)), one_of(agents_), 10 + i);
    b.planned.clear();
    Alert& a = b.alerts.back();
    a.read_time_ms = 1'700'000'000'000 + number(50) * 1000;
    Json doc{{"@timestamp", iso8601(a.read_time_ms)},        {"kibana.alert.uuid", a.alert_id},
             {"kibana.alert.rule.rule_id", a.rule->rule_id}, {"kibana.alert.workflow_status", "open"},
             {"kibana.alert.workflow_tags", Json::array()},  {"kibana.alert.workflow_assignee_ids", Json::array()}};
    put(doc, "agent.id", a.target.agent_id);
    if (chance(80)) put(doc, "process.name", one_of(names_));
    if (chance(60)) put(doc, "user.name", one_of(names_));
    if (chance(40)) put(doc, "labels.team", Json::array({one_of(names_), one_of(names_)}));
    if (chance(70)) put(doc, "process.pid", number(9));
    if (chance(50)) put(doc, "kibana.alert.risk_score", number(9) * 10);
    if (chance(30)) put(doc, "labels.flag", chance(50));
    if (chance(10)) put(doc, "labels.none", nullptr);
    a.doc = doc.dump();
    keep(b);
    docs_[a.alert_id] = std::move(doc);
  }

  Json text_field() { return one_of<std::string>({"process.name", "user.name", "labels.team", "agent.id"}); }
  Json leaf() {
    const std::string field = text_field();
    switch (number(13)) {
      case 0:
        return {{"match_all", Json::object()}};
      case 1:
        return {{"exists",
                 {{"field", one_of<std::string>({"process.name", "labels.none", "labels", "process.pid", "user.name",
                                                 "nothing.here"})}}}};
      case 2:
        return {{"terms", {{field, {one_of(names_), one_of(names_), one_of(agents_)}}}}};
      case 3:
        return {{"prefix", {{field, {{"value", one_of(names_).substr(0, 2)}}}}}};
      case 4:
        return {
            {"wildcard", {{field, {{"value", one_of<std::string>({"*a*", "b?sh", "*", "c*d*", "??", "agent-?"})}}}}}};
      case 5: {
        const std::string of = one_of<std::string>({"process.pid", "kibana.alert.risk_score"});
        Json bounds;
        if (chance(70)) bounds[chance(50) ? "gt" : "gte"] = number(90) / (of == "process.pid" ? 10 : 1);
        if (chance(70) || bounds.empty())
          bounds[chance(50) ? "lt" : "lte"] = number(90) / (of == "process.pid" ? 10 : 1);
        return {{"range", {{of, bounds}}}};
      }
      case 6: {
        Json bounds;
        if (chance(70)) bounds[chance(50) ? "gt" : "gte"] = iso8601(1'700'000'000'000 + number(50) * 1000);
        if (chance(70) || bounds.empty()) {
          bounds[chance(50) ? "lt" : "lte"] = iso8601(1'700'000'000'000 + number(50) * 1000);
        }
        return {{"range", {{"@timestamp", bounds}}}};
      }
      case 7:
        return {{"term", {{"kibana.alert.rule.rule_id", one_of(rules_)}}}};
      case 8:
        return {{"term", {{"kibana.alert.workflow_status", one_of(statuses_)}}}};
      case 9: {
        Json values = Json::array({"none"});
        for (const auto& [id, doc] : docs_) {
          if (chance(10)) values.push_back(id);
        }
        return {{"ids", {{"values", values}}}};
      }
      case 10:
        return {{"term", {{"labels.flag", chance(50)}}}};
      case 11:
        return {{"match", {{field, {{"query", one_of(names_)}}}}}};
      case 12:
        return {{"match_phrase", {{field, one_of(names_)}}}};
      default:
        return {{"term", {{field, {{"value", chance(20) ? one_of(agents_) : one_of(names_)}}}}}};
    }
  }
  Json query(int depth) {
    if (depth == 0 || chance(30)) return leaf();
    if (chance(5)) return {{"constant_score", {{"filter", query(depth - 1)}}}};
    Json parts = Json::object();
    for (const char* key : {"must", "filter", "must_not", "should"}) {
      if (!chance(45)) continue;
      parts[key] = Json::array();
      for (int i = number(2); i >= 0; --i) parts[key].push_back(query(depth - 1));
    }
    if (parts.contains("should") && chance(30)) parts["minimum_should_match"] = number(1);
    return {{"bool", parts}};
  }

  std::mt19937 random_{20261122};
  const std::vector<std::string> rules_ = {"r1", "r2", "r3"};
  const std::vector<std::string> agents_ = {"agent-0", "agent-1", "agent-2"};
  const std::vector<std::string> names_ = {"bash", "bosh", "cmd.exe", "a", "ab", "Bash", "<b>", "'; --", "x y"};
  const std::vector<std::string> statuses_ = {"open", "acknowledged", "closed"};
  std::map<std::string, Json> docs_;
};

TEST_F(SignalsOracle, EveryQueryFindsWhatTheSlowJudgeFinds) {
  for (const auto& id : ids_) docs_[id] = Json::parse(ask("SELECT doc FROM alerts WHERE alert_id = '" + id + "'"));
  for (int i = 0; i < 90; ++i) add(i);
  for (auto& [id, doc] : docs_) {
    if (!chance(40)) continue;
    const std::string& status = one_of(statuses_);
    ASSERT_TRUE(Workflow(*store_).set_status({id}, status, "", "user:ada"));
    if (chance(50)) {
      ASSERT_TRUE(Workflow(*store_).change_tags({id}, {"<t>"}, {}, "user:ada"));
    }
    doc["kibana.alert.workflow_status"] = status;
  }
  size_t found_some = 0;
  size_t found_all = 0;
  for (int round = 0; round < 400; ++round) {
    const Json q = query(3);
    std::set<std::string> wanted;
    for (const auto& [id, doc] : docs_) {
      if (judge(q, doc)) wanted.insert(id);
    }
    const Json answer = search(Json{{"size", 200}, {"track_total_hits", true}, {"query", q}}.dump());
    std::set<std::string> got;
    for (const Json& hit : answer["hits"]["hits"]) got.insert(hit["_id"].get<std::string>());
    ASSERT_EQ(got, wanted) << q.dump(1);
    ASSERT_EQ(answer["hits"]["total"]["value"], wanted.size()) << q.dump(1);
    if (!wanted.empty()) ++found_some;
    if (wanted.size() == docs_.size()) ++found_all;
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(found_some, 130u) << "queries that find nothing prove little";
  EXPECT_LT(found_all, 200u) << "and so do those that find everything";
}

TEST_F(SignalsOracle, SortsAndCountsAsTheSlowWayDoes) {
  for (const auto& id : ids_) docs_[id] = Json::parse(ask("SELECT doc FROM alerts WHERE alert_id = '" + id + "'"));
  for (int i = 0; i < 90; ++i) add(i);
  const auto values = [&](const Json& doc, const std::string& field) {
    std::vector<Json> all;
    collect(doc, field, all);
    return all;
  };
  for (const std::string field : {"process.pid", "process.name", "labels.team", "kibana.alert.risk_score"}) {
    std::map<std::string, int64_t> counts;
    for (const auto& [id, doc] : docs_) {
      std::set<std::string> once;
      for (const Json& v : values(doc, field)) once.insert(v.dump());
      for (const std::string& v : once) ++counts[v];
    }
    for (const std::string order : {"asc", "desc"}) {
      const Json answer = search(Json{{"size", 200},
                                      {"sort", {{{field, {{"order", order}}}}}},
                                      {"aggs", {{"by", {{"terms", {{"field", field}, {"size", 100}}}}}}}}
                                     .dump());
      const Json& hits = answer["hits"]["hits"];
      ASSERT_EQ(hits.size(), docs_.size());
      for (size_t i = 1; i < hits.size(); ++i) {
        const Json& before = hits[i - 1]["sort"][0];
        const Json& after = hits[i]["sort"][0];
        if (before.is_null()) {
          EXPECT_TRUE(after.is_null()) << "what is missing comes last";
        }
        if (before.is_null() || after.is_null()) continue;
        EXPECT_TRUE(order == "asc" ? before <= after : after <= before) << field << " " << before << " " << after;
      }
      std::map<std::string, int64_t> got;
      for (const Json& bucket : answer["aggregations"]["by"]["buckets"])
        got[bucket["key"].dump()] = bucket["doc_count"];
      EXPECT_EQ(got, counts) << field;
    }
  }
}

}  // namespace
}  // namespace fb::api
