#include "api/rules/shape.h"

#include <algorithm>
#include <array>

#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"
#include "engine/event/field_types.h"
#include "engine/ir/typed.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

enum class Is : uint8_t {
  text,    // any string
  filled,  // a string of at least one character
  truth,
  score,    // 0..100
  counter,  // an integer from 1
  texts,    // a list of strings
  objects,  // a list of objects
  object,
  severity,
  type,
  language,
  block,   // "default"
  texts1,  // a string or a list of them
  interval,
  moment,    // now-6m, or a date
  throttle,  // no_actions, rule, or how often: 1h
  number,    // an integer from 0
  fields,    // a list of strings, or one
};

struct Key {
  std::string_view name;
  Is is;
};

// Everything a client may say of a rule, and Firebreak's own at the end.
constexpr auto kKeys = std::to_array<Key>({
    {"name", Is::filled},
    {"description", Is::filled},
    {"risk_score", Is::score},
    {"severity", Is::severity},
    {"type", Is::type},
    {"rule_id", Is::filled},
    {"enabled", Is::truth},
    {"interval", Is::interval},
    {"from", Is::moment},
    {"to", Is::moment},
    {"max_signals", Is::counter},
    {"version", Is::counter},
    {"risk_score_mapping", Is::objects},
    {"severity_mapping", Is::objects},
    {"exceptions_list", Is::objects},
    {"false_positives", Is::texts},
    {"actions", Is::objects},
    {"related_integrations", Is::objects},
    {"required_fields", Is::objects},
    {"references", Is::texts},
    {"threat", Is::objects},
    {"tags", Is::texts},
    {"author", Is::texts},
    {"setup", Is::text},
    {"output_index", Is::text},
    {"rule_name_override", Is::text},
    {"timestamp_override", Is::text},
    {"timestamp_override_fallback_disabled", Is::truth},
    {"timeline_id", Is::filled},
    {"timeline_title", Is::filled},
    {"license", Is::text},
    {"note", Is::text},
    {"building_block_type", Is::block},
    {"namespace", Is::text},
    {"meta", Is::object},
    {"investigation_fields", Is::object},
    {"throttle", Is::throttle},
    {"response_actions", Is::objects},
    {"outcome", Is::text},
    {"alias_target_id", Is::text},
    {"alias_purpose", Is::text},
    {"query", Is::text},
    {"language", Is::language},
    {"index", Is::texts},
    {"data_view_id", Is::text},
    {"filters", Is::objects},
    {"saved_id", Is::filled},
    {"alert_suppression", Is::object},
    {"event_category_override", Is::text},
    {"tiebreaker_field", Is::text},
    {"timestamp_field", Is::text},
    {"threshold", Is::object},
    {"new_terms_fields", Is::texts},
    {"history_window_start", Is::moment},
    {"threat_query", Is::text},
    {"threat_mapping", Is::objects},
    {"threat_index", Is::texts},
    {"threat_filters", Is::objects},
    {"threat_language", Is::language},
    {"threat_indicator_path", Is::text},
    {"concurrent_searches", Is::counter},
    {"items_per_search", Is::counter},
    {"anomaly_threshold", Is::score},
    {"machine_learning_job_id", Is::texts1},
    {"response", Is::object},
    {"tests", Is::objects},
    {"learn_period", Is::text},
});

constexpr auto kRequired = std::to_array<std::string_view>({"name", "description", "risk_score", "severity", "type"});

// An answer's own keys: what a client read, it may send back.
constexpr auto kAnswered =
    std::to_array<std::string_view>({"id", "immutable", "rule_source", "created_at", "created_by", "updated_at",
                                     "updated_by", "revision", "execution_summary", "firebreak"});

constexpr auto kTypes = std::to_array<std::string_view>(
    {"query", "saved_query", "eql", "esql", "threshold", "new_terms", "threat_match", "machine_learning"});
constexpr auto kLanguages = std::to_array<std::string_view>({"kuery", "lucene", "eql", "esql"});
// What a rule of a type can't do without.
struct Needed {
  std::string_view type;
  std::array<const char*, 4> keys;  // as far as there are so many
};
constexpr auto kNeeded = std::to_array<Needed>({
    {"saved_query", {{"saved_id"}}},
    {"eql", {{"query", "language"}}},
    {"esql", {{"query", "language"}}},
    {"threshold", {{"query", "threshold"}}},
    {"new_terms", {{"query", "new_terms_fields", "history_window_start"}}},
    {"threat_match", {{"query", "threat_query", "threat_mapping", "threat_index"}}},
    {"machine_learning", {{"anomaly_threshold", "machine_learning_job_id"}}},
});
constexpr auto kSeverities = std::to_array<std::string_view>({"low", "medium", "high", "critical"});

Json defaults() {
  return Json{{"enabled", false},
              {"interval", "5m"},
              {"from", "now-6m"},
              {"to", "now"},
              {"max_signals", 100},
              {"version", 1},
              {"risk_score_mapping", Json::array()},
              {"severity_mapping", Json::array()},
              {"exceptions_list", Json::array()},
              {"false_positives", Json::array()},
              {"actions", Json::array()},
              {"related_integrations", Json::array()},
              {"required_fields", Json::array()},
              {"references", Json::array()},
              {"threat", Json::array()},
              {"tags", Json::array()},
              {"author", Json::array()},
              {"setup", ""},
              {"output_index", ""}};
}

bool has(const auto& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// A key of an object within a rule.
struct Member {
  const char* key;
  bool required = true;
  Is is = Is::text;
};

// What Kibana's schema says, so that clients which look at texts find what they know.
class Checker {
 public:
  explicit Checker(std::vector<std::string>& problems) : problems_(problems) {}

  void value(const std::string& path, Is is, const Json& v) {
    switch (is) {
      case Is::text:
        expect(path, v.is_string(), "string", v);
        break;
      case Is::filled:
        if (expect(path, v.is_string(), "string", v) && v.get_ref<const std::string&>().empty()) {
          add(path, "String must contain at least 1 character(s)");
        }
        break;
      case Is::truth:
        expect(path, v.is_boolean(), "boolean", v);
        break;
      case Is::score:
        whole(path, v, 0, 100);
        break;
      case Is::counter:
        whole(path, v, 1, 1'000'000'000);
        break;
      case Is::texts1:
        if (v.is_string()) break;
        [[fallthrough]];
      case Is::texts:
        each(path, v,
             [this](const std::string& at, const Json& item) { expect(at, item.is_string(), "string", item); });
        break;
      case Is::objects:
        each(path, v,
             [this](const std::string& at, const Json& item) { expect(at, item.is_object(), "object", item); });
        break;
      case Is::object:
        expect(path, v.is_object(), "object", v);
        break;
      case Is::severity:
        word(path, v, kSeverities, "enum");
        break;
      case Is::type:
        word(path, v, kTypes, "discriminator");
        break;
      case Is::language:
        word(path, v, kLanguages, "enum");
        break;
      case Is::interval:
        if (expect(path, v.is_string(), "string", v) && !parse_duration_ms(v.get_ref<const std::string&>())) {
          add(path, "Failed to parse the interval; it is a number and a unit, such as 5m");
        }
        break;
      case Is::moment:
        if (expect(path, v.is_string(), "string", v) && !ir::parse_date_literal(v.get_ref<const std::string&>())) {
          add(path, "Failed to parse date-math expression");
        }
        break;
      case Is::block:
        word(path, v, kBlocks, "enum");
        break;
      case Is::throttle:
        if (expect(path, v.is_string(), "string", v) && !is_throttle(v.get_ref<const std::string&>())) {
          add(path, "Invalid value. Expected 'no_actions' | 'rule' | a number and s, m, h or d such as 1h, received '" +
                        printable(v.get_ref<const std::string&>().substr(0, 100)) + "'");
        }
        break;
      case Is::number:
        whole(path, v, 0, 1'000'000'000);
        break;
      case Is::fields:
        if (!v.is_string()) value(path, Is::texts, v);
        break;
    }
  }

  void members(const std::string& path, const Json& v, std::initializer_list<Member> wanted) {
    if (!v.is_object()) return;  // told already
    for (const Member& m : wanted) {
      const auto it = v.find(m.key);
      if (it == v.end()) {
        if (m.required) add(path + "." + m.key, "Required");
      } else {
        value(path + "." + m.key, m.is, *it);
      }
    }
  }
  // One of a few words; what is no string at all was told by members().
  void one_of(const std::string& path, const Json& object, const char* key, const auto& words) {
    const auto it = object.is_object() ? object.find(key) : object.end();
    if (object.is_object() && it != object.end() && it->is_string()) word(path + "." + key, *it, words, "enum");
  }
  void size(const std::string& path, const Json& object, const char* key, size_t least, size_t most) {
    if (!object.is_object() || !object.contains(key) || !object[key].is_array()) return;
    const size_t n = object[key].size();
    const auto told = [&](const char* edge, size_t limit) {
      add(path.empty() ? key : path + "." + key,
          std::string("Array must contain at ") + edge + " " + std::to_string(limit) + " element(s)");
    };
    if (n < least) told("least", least);
    if (n > most) told("most", most);
  }
  template <class Do>
  void each(const std::string& path, const Json& v, Do&& todo) {
    if (!expect(path, v.is_array(), "array", v)) return;
    for (size_t i = 0; i < v.size() && problems_.size() < kMostProblems; ++i)
      todo(path + "." + std::to_string(i), v[i]);
  }
  void add(const std::string& path, const std::string& problem) {
    if (problems_.size() < kMostProblems) problems_.push_back(path + ": " + problem);
  }

 private:
  static constexpr size_t kMostProblems = 20;
  static constexpr auto kBlocks = std::to_array<std::string_view>({"default"});

  static bool is_throttle(std::string_view text) {
    if (text == "no_actions" || text == "rule") return true;
    if (text.size() < 2 || text[0] < '1' || text[0] > '9') return false;
    if (std::string_view("smhd").find(text.back()) == std::string_view::npos) return false;
    return text.substr(0, text.size() - 1).find_first_not_of("0123456789") == std::string_view::npos;
  }
  static std::string name_of(const Json& v) { return v.is_null() ? "null" : v.is_number() ? "number" : v.type_name(); }
  bool expect(const std::string& path, bool good, const char* wanted, const Json& v) {
    if (!good) add(path, std::string("Expected ") + wanted + ", received " + name_of(v));
    return good;
  }
  void whole(const std::string& path, const Json& v, int64_t least, int64_t most) {
    if (!expect(path, v.is_number(), "number", v)) return;
    const double d = v.get<double>();
    if (!v.is_number_integer() && d != static_cast<double>(static_cast<int64_t>(std::clamp(d, -1e15, 1e15)))) {
      add(path, "Expected integer, received float");
    } else if (d < static_cast<double>(least)) {
      add(path, "Number must be greater than or equal to " + std::to_string(least));
    } else if (d > static_cast<double>(most)) {
      add(path, "Number must be less than or equal to " + std::to_string(most));
    }
  }
  void word(const std::string& path, const Json& v, const auto& words, const char* what) {
    if (v.is_string() && has(words, v.get_ref<const std::string&>())) return;
    std::string all;
    for (const std::string_view w : words) all += (all.empty() ? "'" : " | '") + std::string(w) + "'";
    std::string got = v.is_string() ? printable(v.get_ref<const std::string&>().substr(0, 100)) : name_of(v);
    add(path, std::string("Invalid ") + what + " value. Expected " + all + ", received '" + got + "'");
  }

  std::vector<std::string>& problems_;
};

// Suppression groups by fields, but for a threshold rule, which has its own.
void check_suppression(const Json& body, Checker& check) {
  static constexpr auto kUnits = std::to_array<std::string_view>({"s", "m", "h"});
  static constexpr auto kStrategies = std::to_array<std::string_view>({"suppress", "doNotSuppress"});
  const auto it = body.find("alert_suppression");
  if (it == body.end() || !it->is_object()) return;
  const bool threshold = body.contains("type") && body["type"] == "threshold";
  check.members(
      "alert_suppression", *it,
      {{"group_by", !threshold, Is::texts}, {"duration", threshold, Is::object}, {"missing_fields_strategy", false}});
  check.size("alert_suppression", *it, "group_by", 1, 3);
  check.one_of("alert_suppression", *it, "missing_fields_strategy", kStrategies);
  if (const auto duration = it->find("duration"); duration != it->end()) {
    check.members("alert_suppression.duration", *duration, {{"value", true, Is::counter}, {"unit"}});
    check.one_of("alert_suppression.duration", *duration, "unit", kUnits);
  }
}

// A member that is an object, or nothing.
const Json* object_in(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it != object.end() && it->is_object() ? &*it : nullptr;
}

// What a rule's type needs besides; whether Firebreak builds the type is the compiler's to say.
void check_type(const Json& body, Checker& check) {
  const auto type = body.find("type");
  if (type == body.end() || !type->is_string()) return;
  const auto needed = std::find_if(kNeeded.begin(), kNeeded.end(), [&](const Needed& n) { return *type == n.type; });
  if (needed == kNeeded.end()) return;
  for (const char* key : needed->keys) {
    if (key != nullptr && !body.contains(key)) check.add(key, "Required");
  }
  if (const Json* threshold = object_in(body, "threshold")) {
    check.members("threshold", *threshold,
                  {{"field", true, Is::fields}, {"value", true, Is::counter}, {"cardinality", false, Is::objects}});
    if (const auto all = threshold->find("cardinality"); all != threshold->end() && all->is_array()) {
      check.each("threshold.cardinality", *all, [&](const std::string& at, const Json& one) {
        check.members(at, one, {{"field"}, {"value", true, Is::number}});
      });
    }
  }
  check.size("", body, "new_terms_fields", 1, 3);
  if (const auto all = body.find("threat_mapping"); all != body.end() && all->is_array()) {
    check.each("threat_mapping", *all, [&](const std::string& at, const Json& one) {
      check.members(at, one, {{"entries", true, Is::objects}});
      if (!one.is_object() || !one.contains("entries") || !one["entries"].is_array()) return;
      check.each(at + ".entries", one["entries"], [&](const std::string& in, const Json& entry) {
        static constexpr auto kMapping = std::to_array<std::string_view>({"mapping"});
        check.members(in, entry, {{"field"}, {"type"}, {"value"}, {"negate", false, Is::truth}});
        check.one_of(in, entry, "type", kMapping);
      });
    });
  }
}

void check_action(const std::string& at, const Json& action, Checker& check) {
  static constexpr auto kWhen =
      std::to_array<std::string_view>({"onActiveAlert", "onThrottleInterval", "onActionGroupChange"});
  check.members(at, action,
                {{"action_type_id"},
                 {"id"},
                 {"params", true, Is::object},
                 {"group", false},
                 {"uuid", false},
                 {"alerts_filter", false, Is::object},
                 {"frequency", false, Is::object}});
  const Json* frequency = object_in(action, "frequency");
  if (frequency == nullptr) return;
  const std::string in = at + ".frequency";
  check.members(in, *frequency, {{"summary", true, Is::truth}, {"notifyWhen"}});
  check.one_of(in, *frequency, "notifyWhen", kWhen);
  const auto throttle = frequency->find("throttle");
  if (throttle == frequency->end()) {
    check.add(in + ".throttle", "Required");
  } else if (!throttle->is_null()) {
    check.value(in + ".throttle", Is::throttle, *throttle);
  }
}

// One of Kibana's response actions. That Firebreak runs only the isolation, and how often, is the compiler's to say.
void check_response_action(const std::string& at, const Json& action, Checker& check) {
  static constexpr auto kKinds = std::to_array<std::string_view>({".endpoint", ".osquery"});
  static constexpr auto kCommands =
      std::to_array<std::string_view>({"isolate", "kill-process", "suspend-process", "runscript"});
  check.members(at, action, {{"action_type_id"}, {"params", true, Is::object}});
  check.one_of(at, action, "action_type_id", kKinds);
  const Json* params = object_in(action, "params");
  if (params == nullptr || !action.contains("action_type_id")) return;
  const std::string in = at + ".params";
  if (action["action_type_id"] == ".osquery") {
    check.members(in, *params,
                  {{"query", false},
                   {"queries", false, Is::objects},
                   {"saved_query_id", false},
                   {"pack_id", false},
                   {"ecs_mapping", false, Is::object},
                   {"timeout", false, Is::number}});
    return;
  }
  if (action["action_type_id"] != ".endpoint") return;
  check.members(in, *params, {{"command"}, {"comment", false}});
  check.one_of(in, *params, "command", kCommands);
  const auto command = params->find("command");
  if (command == params->end() || !command->is_string() || !has(kCommands, command->get_ref<const std::string&>())) {
    return;
  }
  if (*command == "isolate") return;
  check.members(in, *params, {{"config", true, Is::object}});
  const Json* config = object_in(*params, "config");
  if (config == nullptr) return;
  if (*command != "runscript") {
    check.members(in + ".config", *config, {{"field"}, {"overwrite", false, Is::truth}});
    return;
  }
  for (const char* os : {"linux", "macos", "windows"}) {
    check.members(in + ".config", *config, {{os, false, Is::object}});
    if (const Json* script = object_in(*config, os)) {
      check.members(in + ".config." + os, *script,
                    {{"scriptId"}, {"scriptInput", false}, {"timeout", false, Is::number}});
    }
  }
}

// The members of lists and objects within a rule, as far as clients rely on them.
void check_members(const Json& body, Checker& check) {
  const auto list = [&](const char* key, auto&& todo) {
    const auto it = body.find(key);
    if (it != body.end() && it->is_array()) check.each(key, *it, todo);
  };
  const std::initializer_list<Member> named = {{"id"}, {"name"}, {"reference"}};
  list("threat", [&](const std::string& at, const Json& threat) {
    check.members(at, threat, {{"framework"}, {"tactic", true, Is::object}, {"technique", false, Is::objects}});
    if (!threat.is_object()) return;
    if (const auto tactic = threat.find("tactic"); tactic != threat.end())
      check.members(at + ".tactic", *tactic, named);
    const auto techniques = threat.find("technique");
    if (techniques == threat.end() || !techniques->is_array()) return;
    check.each(at + ".technique", *techniques, [&](const std::string& in, const Json& technique) {
      check.members(in, technique, {{"id"}, {"name"}, {"reference"}, {"subtechnique", false, Is::objects}});
      if (!technique.is_object()) return;
      const auto subs = technique.find("subtechnique");
      if (subs == technique.end() || !subs->is_array()) return;
      check.each(in + ".subtechnique", *subs,
                 [&](const std::string& sub, const Json& one) { check.members(sub, one, named); });
    });
  });
  list("required_fields", [&](const std::string& at, const Json& field) {
    check.members(at, field, {{"name", true, Is::filled}, {"type", true, Is::filled}});
  });
  list("related_integrations", [&](const std::string& at, const Json& one) {
    check.members(at, one,
                  {{"package", true, Is::filled}, {"version", true, Is::filled}, {"integration", false, Is::filled}});
  });
  list("actions", [&](const std::string& at, const Json& action) { check_action(at, action, check); });
  list("response_actions",
       [&](const std::string& at, const Json& action) { check_response_action(at, action, check); });
  list("exceptions_list", [&](const std::string& at, const Json& entry) {
    static constexpr auto kSpaces = std::to_array<std::string_view>({"agnostic", "single"});
    static constexpr auto kListTypes = std::to_array<std::string_view>(
        {"detection", "rule_default", "endpoint", "endpoint_trusted_apps", "endpoint_trusted_devices",
         "endpoint_events", "endpoint_host_isolation_exceptions", "endpoint_blocklists",
         "endpoint_custom_yara_signatures"});
    check.members(at, entry, {{"id", true, Is::filled}, {"list_id", true, Is::filled}, {"type"}, {"namespace_type"}});
    check.one_of(at, entry, "type", kListTypes);
    check.one_of(at, entry, "namespace_type", kSpaces);
  });
  static constexpr auto kEquals = std::to_array<std::string_view>({"equals"});
  list("risk_score_mapping", [&](const std::string& at, const Json& one) {
    check.members(at, one, {{"field"}, {"operator"}, {"value"}, {"risk_score", false, Is::score}});
    check.one_of(at, one, "operator", kEquals);
  });
  list("severity_mapping", [&](const std::string& at, const Json& one) {
    check.members(at, one, {{"field"}, {"operator"}, {"value"}, {"severity", true, Is::severity}});
    check.one_of(at, one, "operator", kEquals);
  });
  if (const auto fields = body.find("investigation_fields"); fields != body.end()) {
    check.members("investigation_fields", *fields, {{"field_names", true, Is::texts}});
    check.size("investigation_fields", *fields, "field_names", 1, 10'000);
  }
}

// What of Kibana's response actions is stored and not run: '.osquery', or the command for '.endpoint'. "" = anything
// else, which the compiler takes or refuses.
std::string_view kept_action(const Json& action) {
  static constexpr auto kCommands = std::to_array<std::string_view>({"kill-process", "suspend-process", "runscript"});
  if (!action.is_object()) return {};
  const auto kind = action.find("action_type_id");
  const auto params = action.find("params");
  if (kind == action.end() || params == action.end() || !params->is_object()) return {};
  if (*kind == ".osquery") return ".osquery";
  const auto command = params->find("command");
  if (*kind != ".endpoint" || command == params->end() || !command->is_string()) return {};
  const auto found = std::find(kCommands.begin(), kCommands.end(), command->get_ref<const std::string&>());
  return found == kCommands.end() ? std::string_view() : *found;
}

// Spellings that mean the same become one, as Kibana answers them.
void normalise(Json& doc) {
  if (const auto t = doc.find("threshold"); t != doc.end() && t->is_object()) {
    if (const auto f = t->find("field"); f != t->end() && f->is_string()) {
      *f = f->get_ref<const std::string&>().empty() ? Json::array() : Json::array({*f});
    }
  }
  for (const char* key :
       {"risk_score", "max_signals", "version", "anomaly_threshold", "concurrent_searches", "items_per_search"}) {
    if (const auto n = doc.find(key); n != doc.end() && n->is_number_float()) *n = n->get<int64_t>();  // 50.0
  }
  if (const auto fields = doc.find("required_fields"); fields != doc.end()) {
    for (Json& field : *fields) {
      field["ecs"] = field_type(field["name"].get_ref<const std::string&>()) != FieldType::dynamic;
    }
  }
  if (const auto actions = doc.find("actions"); actions != doc.end()) {
    for (Json& action : *actions) {
      if (!action.contains("group")) action["group"] = "default";
    }
  }
  if (const auto actions = doc.find("response_actions"); actions != doc.end()) {
    for (Json& action : *actions) {
      const std::string_view what = kept_action(action);
      if (what != "kill-process" && what != "suspend-process") continue;
      Json& config = action["params"]["config"];
      if (!config.contains("overwrite")) config["overwrite"] = true;
    }
  }
}

tl::expected<Json, RuleRefusal> object_of(std::string_view body) {
  Json j = parse_ordered_json(body);
  if (j.is_discarded()) return tl::unexpected(refuse_body({"is not JSON"}));
  if (!j.is_object()) return tl::unexpected(refuse_body({"Expected object, received " + std::string(j.type_name())}));
  return j;
}

// Keys in the order of kKeys, so that two texts of one rule compare line by line.
tl::expected<ShapedRule, RuleRefusal> shaped(Json body) {
  // Generated clients send null where they have nothing to say; of what must be there it is still refused.
  for (auto it = body.begin(); it != body.end();) {
    it = it->is_null() && !has(kRequired, it.key()) ? body.erase(it) : std::next(it);
  }
  std::vector<std::string> problems;
  Checker check(problems);
  for (const std::string_view key : kRequired) {
    if (!body.contains(key)) problems.push_back(std::string(key) + ": Required");
  }
  ShapedRule out;
  for (const auto& [key, value] : body.items()) {
    const auto known = std::find_if(kKeys.begin(), kKeys.end(), [&](const Key& k) { return k.name == key; });
    if (known == kKeys.end()) {
      if (!has(kAnswered, key)) out.left_out.push_back(printable(key.substr(0, 100)));
      continue;
    }
    check.value(key, known->is, value);
  }
  check_type(body, check);
  check_members(body, check);
  check_suppression(body, check);
  if (const auto id = body.find("id"); id != body.end()) {
    if (!id->is_string()) problems.emplace_back("id: Expected string, received " + std::string(id->type_name()));
    if (id->is_string()) out.id = id->get<std::string>();
  }
  if (!problems.empty()) return tl::unexpected(refuse_body(std::move(problems)));

  std::vector<std::string> meaning;  // of the whole rule, as Kibana's handlers tell it
  if (body.contains("timeline_id") != body.contains("timeline_title")) {
    meaning.push_back(body.contains("timeline_id") ? "when \"timeline_id\" exists, \"timeline_title\" must also exist"
                                                   : "when \"timeline_title\" exists, \"timeline_id\" must also exist");
  }
  if (body.contains("index") && body.contains("data_view_id") && !body["index"].empty() && body["data_view_id"] != "") {
    meaning.emplace_back("\"index\" and \"data_view_id\" can't both be set");
  }
  int defaults_lists = 0;
  if (const auto lists = body.find("exceptions_list"); lists != body.end()) {
    for (const Json& entry : *lists) {
      if (entry["type"] == "rule_default") ++defaults_lists;
    }
  }
  if (defaults_lists > 1) meaning.emplace_back("a rule has at most one exception list of type \"rule_default\"");
  if (!meaning.empty()) return tl::unexpected(refuse_meaning(std::move(meaning)));

  Json doc = Json::object();
  const Json filled = defaults();
  for (const Key& k : kKeys) {
    const std::string key(k.name);
    if (const auto it = body.find(key); it != body.end()) {
      doc[key] = *it;
    } else if (const auto d = filled.find(key); d != filled.end()) {
      doc[key] = *d;
    }
  }
  const std::string& type = doc["type"].get_ref<const std::string&>();
  if (!doc.contains("language") && type != "machine_learning" && type != "eql" && type != "esql") {
    doc["language"] = "kuery";
  }
  if (!doc.contains("query") && type == "query") doc["query"] = "";
  if (const auto id = doc.find("rule_id"); id != doc.end()) out.rule_id = id->get<std::string>();
  normalise(doc);
  out.doc = dumped(doc);
  return out;
}

}  // namespace

RuleRefusal refuse(int status, std::string message) {
  return {status, true, {std::move(message)}, false};
}

RuleRefusal refuse_meaning(std::vector<std::string> found) {
  return {400, true, std::move(found), true};
}

RuleRefusal refuse_body(std::vector<std::string> problems) {
  std::string all = "[request body]: ";
  for (size_t i = 0; i < problems.size(); ++i) all += (i == 0 ? "" : ", ") + problems[i];
  return {400, false, {std::move(all)}, false};
}

tl::expected<ShapedRule, RuleRefusal> shape_rule(std::string_view body) {
  auto object = object_of(body);
  if (!object) return tl::unexpected(object.error());
  return shaped(std::move(*object));
}

tl::expected<ShapedRule, RuleRefusal> patch_rule(std::string_view standing, std::string_view body) {
  auto change = object_of(body);
  if (!change) return tl::unexpected(change.error());
  Json rule = parse_ordered_json(standing);
  if (const auto type = change->find("type"); type != change->end() && *type != rule["type"]) {
    return tl::unexpected(refuse_meaning({"the type of a rule can't be changed by PATCH"}));
  }
  for (const auto& [key, value] : change->items()) {
    if (key == "rule_id" || key == "id") continue;  // they say which rule, not what of it changes
    if (value.is_null() && !has(kRequired, key)) {
      rule.erase(key);
    } else {
      rule[key] = value;
    }
  }
  return shaped(std::move(rule));
}

std::string engine_text(std::string_view doc) {
  Json rule = parse_ordered_json(doc);
  if (!rule.is_object()) return std::string(doc);
  for (const std::string_view key : kAnswered) {
    if (key != "id") rule.erase(std::string(key));
  }
  if (const auto actions = rule.find("response_actions"); actions != rule.end() && actions->is_array()) {
    Json run = Json::array();
    for (const Json& action : *actions) {
      if (kept_action(action).empty()) run.push_back(action);
    }
    *actions = std::move(run);
  }
  return dumped(rule);
}

std::vector<RuleNotice> notices_of(std::string_view doc) {
  struct Kept {
    const char* key;
    const char* message;
  };
  static constexpr auto kKept = std::to_array<Kept>({
      {"index", "kept; the rule looks at every event of every topic"},
      {"data_view_id", "kept; the rule looks at every event of every topic"},
      {"timeline_id", "kept; Firebreak has no timelines"},
      {"investigation_fields", "kept; no page of Firebreak reads it"},
      {"namespace", "kept; Firebreak has one space"},
      {"output_index", "kept; alerts go into the record and the alerts topic"},
      {"related_integrations", "kept; nothing is installed"},
      {"required_fields", "kept; an event without them simply does not match"},
      {"throttle", "kept; no connector is called"},
  });
  const Json rule = parse_ordered_json(doc);
  std::vector<RuleNotice> out;
  if (!rule.is_object()) return out;
  for (const Kept& kept : kKept) {
    const auto it = rule.find(kept.key);
    if (it == rule.end() || it->is_null() || *it == "" || (it->is_structured() && it->empty())) continue;
    out.push_back({kept.key, kept.message});
  }
  if (const auto actions = rule.find("response_actions"); actions != rule.end() && actions->is_array()) {
    for (const Json& action : *actions) {
      if (const std::string_view what = kept_action(action); !what.empty()) {
        out.push_back({"response_actions", "kept; '" + std::string(what) + "' is not run, a rule can only isolate"});
      }
    }
  }
  return out;
}

}  // namespace fb::api
