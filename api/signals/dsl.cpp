#include "api/signals/dsl.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "api/signals/fields.h"
#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/text.h"
#include "engine/event/field_types.h"
#include "engine/ir/typed.h"
#include "engine/lang/kuery/kuery.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

struct Bad {
  std::string message;
};

constexpr int kMaxDepth = 50;
constexpr size_t kMaxTerms = 65'536;
constexpr size_t kMaxClauses = 4'096;
constexpr size_t kMaxQueryText = 32'768;
constexpr size_t kMaxChosen = 10;   // clauses of which more than one must hold
constexpr size_t kNameBytes = 256;  // so much of a text weighs as one node

// Times that Firebreak itself writes into alerts: no type of ECS covers them, so their literals are resolved here.
constexpr auto kTimes =
    std::to_array<std::string_view>({"kibana.alert.original_time", "kibana.alert.start", "kibana.alert.last_detected",
                                     "kibana.alert.intended_timestamp", "kibana.alert.workflow_status_updated_at"});

std::string literal_of(const Json& v, const std::string& at) {
  if (v.is_string()) return v.get<std::string>();
  if (v.is_boolean()) return v.get<bool>() ? "true" : "false";
  if (v.is_number()) return v.dump();
  throw Bad{at + ": a value must be a string, a number or a boolean"};
}

ir::Node field_test(const std::string& field, ir::Op op, std::string literal) {
  ir::Test t;
  t.field.name = field;
  t.op = op;
  t.literal = std::move(literal);
  return ir::test(std::move(t));
}

// Names of the fields of a parsed query as the alert's document has them.
void as_in_documents(ir::Node& node) {
  for (ir::Node& child : node.children) as_in_documents(child);
  if (node.kind == ir::Node::Kind::nested) node.path = alert_field(node.path);
  if (node.kind != ir::Node::Kind::test) return;
  ir::FieldRef& field = node.test.field;
  if (field.scope == ir::FieldRef::Scope::named) field.name = alert_field(field.name);
  if (field.scope != ir::FieldRef::Scope::pattern || field.glob.empty()) return;
  // A pattern is known by how it begins: signal.rule.*, or all of them.
  if (ir::GlobPart& first = field.glob.front(); first.kind == ir::GlobPart::Kind::literal) {
    first.text = first.text == "signal." ? "kibana.alert." : alert_field(first.text);
  }
}

// What a copy of the tree costs, in nodes.
size_t weight_of(const ir::Node& node) {
  const ir::Test& t = node.test;
  size_t all = 1 + t.glob.size() + (node.path.size() + t.field.name.size() + t.literal.size()) / kNameBytes;
  for (const ir::Node& child : node.children) all += weight_of(child);
  return all;
}

class Reader {
 public:
  Reader(int64_t now_ms, size_t& room) : now_ms_(now_ms), room_(room) {}

  // `top`: the clause is one that must hold, so it may narrow the pick.
  ir::Node clause(const Json& q, const std::string& at, bool top, int depth) {
    if (depth > kMaxDepth) throw Bad{at + ": the query is deeper than " + std::to_string(kMaxDepth)};
    if (++clauses_ > kMaxClauses) throw Bad{"query: more than " + std::to_string(kMaxClauses) + " clauses"};
    if (!q.is_object() || q.size() != 1) throw Bad{at + ": a query is an object with one clause"};
    const std::string& name = q.begin().key();
    const Json& body = q.begin().value();
    const std::string here = at + "." + printable(name.substr(0, 60));
    if (name == "match_all") return ir::always();
    if (name == "constant_score") {
      only_keys(body, here, {"filter"});
      return clause(value_of(body, "filter", here), here + ".filter", top, depth + 1);
    }
    if (name == "match_none") return inexact(ir::never());
    if (name == "bool") return boolean(body, here, top, depth);
    if (name == "ids") return ids(body, here, top);
    if (name == "exists") {
      if (!body.is_object() || !body.contains("field") || !body["field"].is_string()) {
        throw Bad{here + ": names a field"};
      }
      only_keys(body, here, {"field"});
      return inexact(field_test(alert_field(body["field"].get_ref<const std::string&>()), ir::Op::exists, ""));
    }
    if (name == "query_string" || name == "simple_query_string") return query_string(body, here);
    if (name == "multi_match") return multi_match(body, here);
    static constexpr auto kOneField =
        std::to_array<std::string_view>({"term", "terms", "match", "match_phrase", "range", "wildcard", "prefix"});
    if (std::find(kOneField.begin(), kOneField.end(), name) == kOneField.end()) {
      throw Bad{here + ": this clause is not supported"};
    }
    return one_field(name, body, here, top);
  }

  AlertPick pick;
  bool exact = true;

 private:
  // What else a clause says changes what it finds: it is refused, never passed over.
  static void only_keys(const Json& v, const std::string& at, std::initializer_list<std::string_view> known) {
    if (!v.is_object()) return;
    for (const auto& [key, value] : v.items()) {
      if (key == "boost" || key == "_name") continue;             // they only rank and label
      if (key == "case_insensitive" && value == false) continue;  // as it is without
      if (std::find(known.begin(), known.end(), key) != known.end()) continue;
      throw Bad{at + "." + printable(key.substr(0, 60)) + ": is not supported"};
    }
  }

  ir::Node inexact(ir::Node n) {
    exact = false;
    return n;
  }

  ir::Node boolean(const Json& body, const std::string& at, bool top, int depth) {
    if (!body.is_object()) throw Bad{at + ": must be an object"};
    std::vector<ir::Node> all;
    bool required = false;
    for (const auto& [key, value] : body.items()) {
      if (key == "must" || key == "filter" || key == "must_not") {
        const bool negated = key == "must_not";
        each(value, at + "." + key, [&](const Json& q, const std::string& here) {
          ir::Node n = clause(q, here, top && !negated, depth + 1);
          if (negated) exact = false;
          required = required || !negated;
          all.push_back(negated ? ir::negate(std::move(n)) : std::move(n));
        });
      } else if (key != "should" && key != "minimum_should_match" && key != "boost" && key != "_name" &&
                 key != "adjust_pure_negative") {
        throw Bad{at + "." + printable(key.substr(0, 60)) + ": there is no such key"};
      }
    }
    if (const auto should = body.find("should"); should != body.end()) {
      std::vector<ir::Node> any;
      each(*should, at + ".should",
           [&](const Json& q, const std::string& here) { any.push_back(clause(q, here, false, depth + 1)); });
      int64_t least = required ? 0 : 1;
      if (const auto m = body.find("minimum_should_match"); m != body.end()) {
        const auto number = m->is_string() ? parse_ordered_json(m->get_ref<const std::string&>()) : *m;
        if (!number.is_number_integer() || number < 0 || (number > 1 && any.size() > kMaxChosen)) {
          throw Bad{at + ".minimum_should_match: a number from 0, above 1 with at most 10 clauses"};
        }
        least = number.get<int64_t>();
      }
      if (!any.empty()) exact = false;
      if (least > 0 && !any.empty()) all.push_back(at_least(static_cast<size_t>(least), std::move(any), at));
    }
    if (all.empty()) return ir::always();
    return all.size() == 1 ? std::move(all.front()) : ir::all_of(std::move(all));
  }

  // A clause that stands several times in what it is read into, or over several fields, multiplies, and within another
  // such clause again: what comes of it is weighed before it is made.
  void spend(size_t weight, const std::string& at) {
    if (weight > room_) {
      throw Bad{at + ": comes to more than " + std::to_string(kMaxMadeNodes) +
                " tests; ask for fewer clauses, values or fields"};
    }
    room_ -= weight;
  }

  // So many of the clauses hold.
  ir::Node at_least(size_t least, std::vector<ir::Node> any, const std::string& at) {
    if (least > any.size()) return ir::never();
    if (least == 1) return ir::any_of(std::move(any));
    if (least == any.size()) return ir::all_of(std::move(any));
    std::vector<size_t> weights;
    for (const ir::Node& n : any) weights.push_back(weight_of(n));
    spend(weight_of_some(least, weights, 0), at + ".minimum_should_match");
    return some(least, any, 0);
  }

  // So many of the clauses from `first` on: with the first one fewer of the rest, or without it all of them.
  static ir::Node some(size_t least, const std::vector<ir::Node>& any, size_t first) {
    const size_t left = any.size() - first;
    if (least == 1 || least == left) {
      std::vector<ir::Node> rest(any.begin() + static_cast<std::ptrdiff_t>(first), any.end());
      return least == 1 ? ir::any_of(std::move(rest)) : ir::all_of(std::move(rest));
    }
    std::vector<ir::Node> with;
    with.push_back(any[first]);
    with.push_back(some(least - 1, any, first + 1));
    std::vector<ir::Node> either;
    either.push_back(ir::all_of(std::move(with)));
    either.push_back(some(least, any, first + 1));
    return ir::any_of(std::move(either));
  }

  // What some() makes of clauses that weigh so much.
  static size_t weight_of_some(size_t least, const std::vector<size_t>& weights, size_t first) {
    const size_t left = weights.size() - first;
    if (least == 1 || least == left) {
      return std::accumulate(weights.begin() + static_cast<std::ptrdiff_t>(first), weights.end(), size_t{1});
    }
    return 2 + weights[first] + weight_of_some(least - 1, weights, first + 1) +
           weight_of_some(least, weights, first + 1);
  }

  // The fields of a clause over several, without the weights that only rank.
  static std::vector<std::string> fields_of(const Json& list, const std::string& at) {
    std::vector<std::string> out;
    for (const Json& f : list.is_array() ? list : Json::array({list})) {
      std::string name = f.is_string() ? f.get<std::string>() : "";
      name.resize(std::min(name.find('^'), name.size()));
      if (name.empty() || name.find('*') != std::string::npos) throw Bad{at + ": names of fields, not patterns"};
      out.push_back(alert_field(name));
    }
    if (out.empty()) throw Bad{at + ": names of fields"};
    return out;
  }

  ir::Node multi_match(const Json& body, const std::string& at) {
    only_keys(body, at, {"query", "fields", "type", "operator", "lenient"});
    const std::string text = literal_of(value_of(body, "query", at), at + ".query");
    const Json type = body.value("type", Json("best_fields"));
    if (type != "best_fields" && type != "most_fields" && type != "phrase") {
      throw Bad{at + ".type: best_fields, most_fields or phrase"};
    }
    if (!body.contains("fields")) throw Bad{at + ": 'fields' is missing"};
    Json one{{"query", text}};
    if (body.contains("operator")) one["operator"] = body["operator"];
    std::vector<ir::Node> any;
    for (const std::string& field : fields_of(body["fields"], at + ".fields")) {
      any.push_back(type == "phrase" ? one_of(field, {text}, false) : match(field, one, at, false));
      spend(weight_of(any.back()), at + ".fields");
    }
    return inexact(ir::any_of(std::move(any)));
  }

  template <class Do>
  void each(const Json& value, const std::string& at, Do&& todo) {
    if (!value.is_array()) return todo(value, at);
    for (size_t i = 0; i < value.size(); ++i) todo(value[i], at + "[" + std::to_string(i) + "]");
  }

  ir::Node ids(const Json& body, const std::string& at, bool top) {
    if (!body.is_object() || !body.contains("values") || !body["values"].is_array()) {
      throw Bad{at + ".values: must be a list"};
    }
    std::vector<std::string> values;
    for (const Json& v : body["values"]) values.push_back(literal_of(v, at + ".values"));
    return one_of("kibana.alert.uuid", values, top);
  }

  // The field is one of these; narrows the pick where the record has a column for it.
  ir::Node one_of(const std::string& field, const std::vector<std::string>& values, bool top) {
    if (values.size() > kMaxTerms) throw Bad{"query: more than 65536 values"};
    spend(values.size() * (field.size() / kNameBytes), "query");  // each test names the field
    bool told = false;
    if (top && !values.empty()) {
      std::vector<std::string>* column = nullptr;
      if (field == "kibana.alert.uuid") column = &pick.alert_ids;
      if (field == "kibana.alert.rule.rule_id") column = &pick.rule_ids;
      if (field == "kibana.alert.workflow_status") column = &pick.statuses;
      if (field == "agent.id") column = &pick.agent_ids;
      if (column != nullptr && column->empty()) {
        *column = values;
        told = field != "agent.id";  // an event may name several agents
      }
    }
    if (!told) exact = false;
    std::vector<ir::Node> any;
    for (const std::string& v : values) any.push_back(field_test(field, ir::Op::phrase, v));
    if (any.empty()) return ir::never();
    return any.size() == 1 ? std::move(any.front()) : ir::any_of(std::move(any));
  }

  static const Json& value_of(const Json& v, const char* key, const std::string& at) {
    if (!v.is_object()) return v;
    if (!v.contains(key)) throw Bad{at + ": '" + key + "' is missing"};
    return v[key];
  }

  ir::Node one_field(const std::string& name, const Json& body, const std::string& at, bool top) {
    if (!body.is_object()) throw Bad{at + ": must be an object"};
    const Json* value = nullptr;
    std::string field;
    for (const auto& [key, v] : body.items()) {
      if (key == "boost" || key == "_name") continue;
      if (value != nullptr) throw Bad{at + ": one field a clause"};
      field = key;
      value = &v;
    }
    if (value == nullptr) throw Bad{at + ": names a field"};
    const std::string here = at + "." + printable(field.substr(0, 100));  // as the client wrote it
    field = alert_field(field);
    if (field.find('*') != std::string::npos) throw Bad{here + ": a clause takes one field, not a pattern"};
    if (name == "term") only_keys(*value, here, {"value"});
    if (name == "match_phrase") only_keys(*value, here, {"query"});
    if (name == "match") only_keys(*value, here, {"query", "operator", "lenient"});
    if (name == "prefix") only_keys(*value, here, {"value"});
    if (name == "wildcard") only_keys(*value, here, {"value", "wildcard"});
    if (name == "term") return one_of(field, {literal_of(value_of(*value, "value", here), here)}, top);
    if (name == "terms") {
      if (!value->is_array()) throw Bad{here + ": must be a list"};
      std::vector<std::string> values;
      for (const Json& v : *value) values.push_back(literal_of(v, here));
      return one_of(field, values, top);
    }
    if (name == "range") return range(field, *value, here, top);
    if (name == "match_phrase") {
      return one_of(field, {literal_of(value_of(*value, "query", here), here)}, top);
    }
    if (name == "match") return match(field, *value, here, top);
    const std::string text = literal_of(
        value_of(*value, value->is_object() && value->contains("wildcard") ? "wildcard" : "value", here), here);
    ir::Test t;
    t.field.name = field;
    t.op = ir::Op::glob;
    t.glob = name == "prefix" ? prefix(text) : wildcard(text);
    return inexact(ir::test(std::move(t)));
  }

  ir::Node match(const std::string& field, const Json& value, const std::string& at, bool top) {
    const std::string text = literal_of(value_of(value, "query", at), at);
    if (field_type(field) != FieldType::text) return one_of(field, {text}, top);
    // Over a text any one word is enough, or all with operator: and.
    const bool all =
        value.is_object() && (value.value("operator", "or") == "and" || value.value("operator", "or") == "AND");
    std::vector<ir::Node> parts;
    for (const std::string& word : ir::words(text)) parts.push_back(field_test(field, ir::Op::equal, word));
    exact = false;
    if (parts.empty()) return ir::never();
    return all ? ir::all_of(std::move(parts)) : ir::any_of(std::move(parts));
  }

  ir::Node range(const std::string& field, const Json& value, const std::string& at, bool top) {
    if (!value.is_object()) throw Bad{at + ": must be an object"};
    const bool is_time = std::find(kTimes.begin(), kTimes.end(), field) != kTimes.end();
    std::vector<ir::Node> all;
    for (const auto& [key, bound] : value.items()) {
      if (key == "format" || key == "time_zone" || key == "boost" || key == "relation") {
        if (key == "time_zone" && bound != "UTC" && bound != "+00:00" && bound != "Z") {
          throw Bad{at + ".time_zone: only UTC is supported"};
        }
        continue;
      }
      const bool low = key == "gt" || key == "gte" || key == "from";
      if (!low && key != "lt" && key != "lte" && key != "to") {
        throw Bad{at + "." + printable(key.substr(0, 40)) + ": there is no such bound"};
      }
      if (bound.is_null()) continue;
      const bool open = key == "gt" || key == "lt";
      std::string literal = literal_of(bound, at + "." + key);
      if (field == "@timestamp" || is_time) {
        const auto date = ir::parse_date_literal(literal);
        const auto ms = date ? std::nullopt : ir::parse_date_value(literal);
        if (!date && !ms) throw Bad{at + "." + key + ": not a date"};
        const ir::DateLiteral::Bounds b = date ? date->resolve(now_ms_) : ir::DateLiteral::Bounds{*ms, *ms};
        // gte and lt mean the first moment of the literal, gt and lte its last.
        const int64_t edge = low == open ? b.last_ms : b.first_ms;
        if (field == "@timestamp" && top) {
          if (low) pick.from_ms = std::max(pick.from_ms, open ? edge + 1 : edge);
          if (!low) pick.to_ms = std::min(pick.to_ms, open ? edge - 1 : edge);
        } else {
          exact = false;
        }
        literal = iso8601(edge);
      } else {
        exact = false;
      }
      const ir::Op op =
          low ? (open ? ir::Op::greater : ir::Op::greater_equal) : (open ? ir::Op::less : ir::Op::less_equal);
      all.push_back(field_test(field, op, std::move(literal)));
    }
    if (all.empty()) return inexact(field_test(field, ir::Op::exists, ""));
    return all.size() == 1 ? std::move(all.front()) : ir::all_of(std::move(all));
  }

  static ir::Glob prefix(const std::string& text) {
    ir::Glob glob;
    if (!text.empty()) glob.push_back({ir::GlobPart::Kind::literal, text});
    glob.push_back({ir::GlobPart::Kind::any_run, ""});
    return glob;
  }

  static ir::Glob wildcard(const std::string& text) {
    ir::Glob glob;
    std::string run;
    const auto flush = [&] {
      if (!run.empty()) glob.push_back({ir::GlobPart::Kind::literal, std::move(run)});
      run.clear();
    };
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\\' && i + 1 < text.size()) {
        run += text[++i];
      } else if (text[i] == '*') {
        flush();
        if (glob.empty() || glob.back().kind != ir::GlobPart::Kind::any_run) {
          glob.push_back({ir::GlobPart::Kind::any_run, ""});
        }
      } else if (text[i] == '?') {
        flush();
        glob.push_back({ir::GlobPart::Kind::any_one, ""});
      } else {
        run += text[i];
      }
    }
    flush();
    return glob;
  }

  // Lucene's syntax where it means the same in KQL; the rest is refused, not guessed.
  ir::Node query_string(const Json& body, const std::string& at) {
    if (!body.is_object()) throw Bad{at + ": must be an object"};
    const std::string text = literal_of(value_of(body, "query", at), at + ".query");
    if (text.size() > kMaxQueryText) throw Bad{at + ".query: is longer than 32768 bytes"};
    for (const auto& [key, value] : body.items()) {
      static constexpr auto kTaken =
          std::to_array<std::string_view>({"query", "analyze_wildcard", "time_zone", "default_operator", "lenient",
                                           "boost", "fields", "default_field"});
      if (std::find(kTaken.begin(), kTaken.end(), key) == kTaken.end()) {
        throw Bad{at + "." + printable(key.substr(0, 60)) + ": is not supported"};
      }
    }
    bool quoted = false;
    for (size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        quoted = !quoted;
      } else if (!quoted) {
        const bool starts = i == 0 || text[i - 1] == ' ' || text[i - 1] == '(';
        const bool lucene = c == '[' || c == ']' || c == '{' || c == '}' || c == '~' || c == '^' || c == '/' ||
                            c == '&' || c == '|' || c == '?' || (starts && (c == '+' || c == '-' || c == '!'));
        if (lucene) {
          throw Bad{at + ".query: character " + std::to_string(i + 1) + ": '" + std::string(1, c) +
                    "' has a meaning of its own in Lucene that is not supported; quote it, or write KQL"};
        }
      }
    }
    auto parsed = lang::parse_kuery(text);
    if (!parsed) {
      throw Bad{at + ".query: character " + std::to_string(parsed.error().begin + 1) + ": " + parsed.error().message};
    }
    blanks(*parsed, text, at);
    as_in_documents(*parsed);
    for (const char* key : {"fields", "default_field"}) {
      const auto it = body.find(key);
      if (it == body.end() || *it == "*" || *it == Json::array({"*"})) continue;
      const std::vector<std::string> fields = fields_of(*it, at + "." + key);
      size_t weight = 0;
      for (const std::string& field : fields) weight += 1 + (field.size() + longest_literal(*parsed)) / kNameBytes;
      spend(weight * without_field(*parsed), at + "." + key);
      in_fields(*parsed, fields);
    }
    return inexact(std::move(*parsed));
  }

  static bool names_no_field(const ir::Node& node) {
    return node.kind == ir::Node::Kind::test && node.test.field.scope == ir::FieldRef::Scope::any;
  }
  static size_t without_field(const ir::Node& node) {
    size_t all = names_no_field(node) ? 1 : 0;
    for (const ir::Node& child : node.children) all += without_field(child);
    return all;
  }
  static size_t longest_literal(const ir::Node& node) {
    size_t longest = node.test.literal.size();
    for (const ir::Node& child : node.children) longest = std::max(longest, longest_literal(child));
    return longest;
  }

  // What names no field is looked for in these.
  static void in_fields(ir::Node& node, const std::vector<std::string>& fields) {
    for (ir::Node& child : node.children) in_fields(child, fields);
    if (!names_no_field(node)) return;
    std::vector<ir::Node> any;
    for (const std::string& field : fields) {
      ir::Test t = node.test;
      t.field = ir::FieldRef{ir::FieldRef::Scope::named, field, {}};
      any.push_back(ir::test(std::move(t)));
    }
    node = ir::any_of(std::move(any));
  }

  // Words side by side are one value in KQL and several terms in Lucene.
  static void blanks(const ir::Node& node, const std::string& text, const std::string& at) {
    if (node.kind == ir::Node::Kind::test && node.test.op == ir::Op::equal &&
        node.test.literal.find(' ') != std::string::npos) {
      throw Bad{at + ".query: quote '" + printable(node.test.literal.substr(0, 60)) +
                "', or put AND or OR between its words"};
    }
    for (const ir::Node& child : node.children) blanks(child, text, at);
  }

  int64_t now_ms_;
  size_t& room_;
  size_t clauses_ = 0;
};

// What the conjuncts of a KQL say of columns that the record has. The condition is judged all the same.
void narrow(const ir::Node& node, AlertPick& pick) {
  if (node.kind == ir::Node::Kind::all_of) {
    for (const ir::Node& child : node.children) narrow(child, pick);
    return;
  }
  const ir::Test& t = node.test;
  if (node.kind != ir::Node::Kind::test || t.field.scope != ir::FieldRef::Scope::named) return;
  if (t.op != ir::Op::equal && t.op != ir::Op::phrase) return;
  std::vector<std::string>* column = nullptr;
  if (t.field.name == "kibana.alert.uuid") column = &pick.alert_ids;
  if (t.field.name == "kibana.alert.rule.rule_id") column = &pick.rule_ids;
  if (t.field.name == "kibana.alert.workflow_status") column = &pick.statuses;
  if (t.field.name == "agent.id") column = &pick.agent_ids;
  if (column != nullptr && column->empty()) column->push_back(t.literal);
}

}  // namespace

tl::expected<AlertQuery, std::string> read_alert_query(std::string_view query, int64_t now_ms) {
  size_t room = kMaxMadeNodes;
  return read_alert_query(query, now_ms, room);
}

tl::expected<AlertQuery, std::string> read_alert_query(std::string_view query, int64_t now_ms, size_t& room) {
  AlertQuery out;
  if (query.empty()) {
    out.condition = ir::always();
    out.exact = true;
    return out;
  }
  const Json json = parse_ordered_json(query);
  try {
    Reader reader(now_ms, room);
    out.condition = reader.clause(json, "query", true, 0);
    out.pick = std::move(reader.pick);
    out.exact = reader.exact;
    return out;
  } catch (const Bad& bad) {
    return tl::unexpected(bad.message);
  } catch (const Json::exception&) {
    return tl::unexpected(std::string("query: a key has the wrong type"));
  }
}

tl::expected<AlertQuery, std::string> read_alert_kuery(std::string_view kuery) {
  if (kuery.size() > kMaxQueryText) return tl::unexpected(std::string("kuery: is longer than 32768 bytes"));
  auto parsed = lang::parse_kuery(kuery);
  if (!parsed) {
    return tl::unexpected("kuery, character " + std::to_string(parsed.error().begin + 1) + ": " +
                          parsed.error().message);
  }
  AlertQuery out;
  out.condition = std::move(*parsed);
  as_in_documents(out.condition);
  narrow(out.condition, out.pick);
  return out;
}

}  // namespace fb::api
