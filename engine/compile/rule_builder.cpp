#include "engine/compile/rule_builder.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "engine/base/digest.h"
#include "engine/compile/checks.h"
#include "engine/compile/filters.h"
#include "engine/event/json_tree.h"
#include "engine/lang/kuery/kuery.h"

namespace fb::compile {
namespace {

using Kind = FileNode::Kind;
using Need = Checks::Need;

constexpr size_t kMaxCommentLength = 30'000;
constexpr int64_t kMinLeaseMs = 1000;
constexpr int64_t kMaxLeaseMs = int64_t{365} * 24 * 3600 * 1000;

// Every key of an Elastic detection rule, as created, exported or answered, and Firebreak's own at the end.
constexpr std::array<std::string_view, 77> kKnownKeys = {"id",
                                                         "rule_id",
                                                         "name",
                                                         "description",
                                                         "risk_score",
                                                         "severity",
                                                         "type",
                                                         "language",
                                                         "query",
                                                         "index",
                                                         "data_view_id",
                                                         "filters",
                                                         "saved_id",
                                                         "enabled",
                                                         "interval",
                                                         "from",
                                                         "to",
                                                         "max_signals",
                                                         "risk_score_mapping",
                                                         "severity_mapping",
                                                         "exceptions_list",
                                                         "false_positives",
                                                         "actions",
                                                         "related_integrations",
                                                         "required_fields",
                                                         "references",
                                                         "threat",
                                                         "tags",
                                                         "author",
                                                         "setup",
                                                         "output_index",
                                                         "version",
                                                         "immutable",
                                                         "rule_source",
                                                         "rule_name_override",
                                                         "timestamp_override",
                                                         "timestamp_override_fallback_disabled",
                                                         "timeline_id",
                                                         "timeline_title",
                                                         "license",
                                                         "note",
                                                         "building_block_type",
                                                         "namespace",
                                                         "meta",
                                                         "investigation_fields",
                                                         "throttle",
                                                         "response_actions",
                                                         "outcome",
                                                         "alias_target_id",
                                                         "alias_purpose",
                                                         "created_at",
                                                         "created_by",
                                                         "updated_at",
                                                         "updated_by",
                                                         "revision",
                                                         "execution_summary",
                                                         "alert_suppression",
                                                         "threshold",
                                                         "new_terms_fields",
                                                         "new_terms",
                                                         "history_window_start",
                                                         "threat_query",
                                                         "threat_mapping",
                                                         "threat_index",
                                                         "threat_filters",
                                                         "threat_language",
                                                         "threat_indicator_path",
                                                         "concurrent_searches",
                                                         "items_per_search",
                                                         "anomaly_threshold",
                                                         "machine_learning_job_id",
                                                         "event_category_override",
                                                         "tiebreaker_field",
                                                         "timestamp_field",
                                                         "response",
                                                         "tests",
                                                         "learn_period"};

// Keys that mean something for some types only: to skip one elsewhere would run another rule than was written.
struct TypedKey {
  std::string_view key;
  std::array<std::string_view, 2> types;
};
constexpr std::array<TypedKey, 18> kTypedKeys = {{
    {"threshold", {"threshold", ""}},
    {"new_terms_fields", {"new_terms", ""}},
    {"new_terms", {"new_terms", ""}},
    {"history_window_start", {"new_terms", ""}},
    {"learn_period", {"new_terms", ""}},
    {"threat_query", {"threat_match", ""}},
    {"threat_mapping", {"threat_match", ""}},
    {"threat_index", {"threat_match", ""}},
    {"threat_filters", {"threat_match", ""}},
    {"threat_language", {"threat_match", ""}},
    {"threat_indicator_path", {"threat_match", ""}},
    {"concurrent_searches", {"threat_match", ""}},
    {"items_per_search", {"threat_match", ""}},
    {"anomaly_threshold", {"machine_learning", ""}},
    {"machine_learning_job_id", {"machine_learning", ""}},
    {"event_category_override", {"eql", ""}},
    {"tiebreaker_field", {"eql", ""}},
    {"timestamp_field", {"eql", ""}},
}};

// What Kibana fills in for absent keys; part of the parameters that alerts carry.
constexpr std::array<std::pair<std::string_view, std::string_view>, 17> kDefaults = {{
    {"author", "[]"},
    {"exceptions_list", "[]"},
    {"false_positives", "[]"},
    {"from", "\"now-6m\""},
    {"immutable", "false"},
    {"interval", "\"5m\""},
    {"max_signals", "100"},
    {"references", "[]"},
    {"related_integrations", "[]"},
    {"required_fields", "[]"},
    {"risk_score_mapping", "[]"},
    {"setup", "\"\""},
    {"severity_mapping", "[]"},
    {"tags", "[]"},
    {"threat", "[]"},
    {"to", "\"now\""},
    {"version", "1"},
}};

// Does the condition hold for every event whatever it has?
bool is_always(const ir::Node& n) {
  using NodeKind = ir::Node::Kind;
  const auto open_glob = [](const ir::Glob& g) { return g.size() == 1 && g[0].kind == ir::GlobPart::Kind::any_run; };
  switch (n.kind) {
    case NodeKind::always:
      return true;
    case NodeKind::all_of:
      return std::all_of(n.children.begin(), n.children.end(), is_always);
    case NodeKind::any_of:
      return std::any_of(n.children.begin(), n.children.end(), is_always);
    case NodeKind::negate:
      return n.children.front().kind == NodeKind::never;
    case NodeKind::test:
      return n.test.op == ir::Op::exists &&
             (n.test.field.scope == ir::FieldRef::Scope::any ||
              (n.test.field.scope == ir::FieldRef::Scope::pattern && open_glob(n.test.field.glob)));
    default:
      return false;
  }
}

// The N of "offset N".
size_t offset_in(std::string_view context) {
  constexpr std::string_view kWord = "offset ";
  size_t offset = 0;
  if (context.substr(0, kWord.size()) == kWord) {
    std::from_chars(context.data() + kWord.size(), context.data() + context.size(), offset);
  }
  return offset;
}

class RuleBuilder {
 public:
  RuleBuilder(const SourceText& source, const FileNode& rule, const BuildContext& context)
      : source_(source), rule_(rule), context_(context), checks_(source, loaded_.diagnostics) {}

  LoadedRule build() {
    loaded_.file = source_.file();
    loaded_.line = source_.locate(rule_.begin).line;
    auto meta = std::make_shared<RuleMeta>();
    meta->file = loaded_.file;
    meta->line = loaded_.line;
    checks_.only_keys(rule_, "a rule", kKnownKeys);
    names(*meta);
    type_and_language(*meta);
    scores(*meta);
    described();
    time(*meta);
    actions(*meta);
    response(*meta);
    ir::Node condition = query(*meta);
    std::string items;
    condition = without_exceptions(std::move(condition), items);
    not_applied();
    tests();
    meta->parameters = parameters(*meta);
    meta->hash = hex(sha256("{\"exception_items\":[" + items + "],\"rule\":" + meta->parameters + "}"));
    loaded_.ok = !checks_.failed();
    if (loaded_.ok) {
      loaded_.input.condition = std::move(condition);
      loaded_.input.meta = std::move(meta);
    }
    return std::move(loaded_);
  }

 private:
  // Kibana takes any text for a name or an id, and its clients get back what they sent. Whatever shows a rule makes it
  // fit to be shown; a file is held to more, since people read it with tools of their own.
  bool takes_any_name() const { return context_.any_names; }

  // An id or name is shown on terminals, in file names and in web pages.
  bool is_safe(const FileNode& node, std::string_view key) {
    if (node.text.size() > context_.limits.max_rule_name_bytes) {
      checks_.error(code::kUnsafeText, node,
                    "'" + std::string(key) + "' is longer than " + std::to_string(context_.limits.max_rule_name_bytes) +
                        " bytes (limits.max_rule_name_bytes)");
      return false;
    }
    if (!takes_any_name() && printable(node.text) != node.text) {
      checks_.error(code::kUnsafeText, node, "'" + std::string(key) + "' holds control characters");
      return false;
    }
    return true;
  }

  void names(RuleMeta& meta) {
    if (const std::string* id = checks_.filled_string(rule_, "rule_id", Need::required)) {
      const FileNode& node = rule_.find("rule_id")->value;
      if (is_safe(node, "rule_id")) {
        const bool climbs = id->find("../") != std::string::npos || id->find("..\\") != std::string::npos ||
                            *id == ".." || id->front() == '/' || id->front() == ' ' || id->back() == ' ';
        if (climbs && !takes_any_name()) {
          checks_.error(code::kUnsafeText, node, "'rule_id' must not be a path and has no blanks around it");
        } else {
          meta.rule_id = loaded_.rule_id = *id;
        }
      }
    }
    if (const std::string* name = checks_.filled_string(rule_, "name", Need::required)) {
      if (is_safe(rule_.find("name")->value, "name")) meta.name = loaded_.name = *name;
    }
    if (const std::string* text = checks_.filled_string(rule_, "description")) meta.description = *text;
    meta.enabled = checks_.boolean(rule_, "enabled").value_or(true);
    meta.tags = checks_.strings(rule_, "tags");
  }

  void type_and_language(RuleMeta& meta) {
    const std::string* type = checks_.word(
        rule_, "type",
        {"query", "saved_query", "eql", "esql", "threshold", "new_terms", "threat_match", "machine_learning"},
        Need::required);
    const std::string* language = checks_.word(rule_, "language", {"kuery", "lucene", "eql", "esql"});
    if (type != nullptr) loaded_.type = *type;
    if (language != nullptr) {
      loaded_.language = *language;
    } else if (rule_.find("language") == nullptr && loaded_.type != "machine_learning") {
      loaded_.language = loaded_.type == "eql" || loaded_.type == "esql" ? loaded_.type : "kuery";
    }
    meta.type = loaded_.type;
    meta.language = loaded_.language;
    if (type == nullptr) return;

    for (const TypedKey& typed : kTypedKeys) {
      const FileMember* m = rule_.find(typed.key);
      if (m == nullptr || std::find(typed.types.begin(), typed.types.end(), *type) != typed.types.end()) continue;
      checks_.error(code::kKeyNotForType, *m,
                    "'" + m->key + "' belongs to a rule of type " + std::string(typed.types[0]) + ", not " + *type);
    }
    const bool own_language = *type == "eql" || *type == "esql";
    if (language != nullptr && own_language != (*language == "eql" || *language == "esql")) {
      checks_.error(code::kBadValue, rule_.find("language")->value,
                    "a rule of type " + *type + " has no language '" + *language + "'");
      return;
    }
    const FileNode& type_node = rule_.find("type")->value;
    if (own_language) {
      const FileNode& at = language != nullptr ? rule_.find("language")->value : type_node;
      checks_.error(code::kUnsupportedLanguage, at,
                    (*type == "eql" ? "EQL" : "ES|QL") + std::string(" rules are not built yet"));
    } else if (*type != "query") {
      checks_.error(code::kUnsupportedType, type_node, "rules of type '" + *type + "' are not built yet");
    } else if (loaded_.language == "lucene") {
      checks_.error(code::kUnsupportedLanguage, rule_.find("language")->value, "Lucene queries are not built yet",
                    "write the query in kuery");
    }
  }

  void scores(RuleMeta& meta) {
    if (const auto score = checks_.integer(rule_, "risk_score", 0, 100, Need::required)) {
      meta.risk_score = static_cast<int>(*score);
    }
    if (const std::string* word =
            checks_.word(rule_, "severity", {"low", "medium", "high", "critical"}, Need::required)) {
      meta.severity = from_string<Severity>(*word).value_or(Severity::low);
    }
  }

  // Keys that are carried into alerts as they are: only their shape is checked.
  void described() {
    for (const std::string_view key : {"false_positives", "references", "author", "index"}) checks_.strings(rule_, key);
    for (const std::string_view key : {"id", "data_view_id", "saved_id", "setup", "output_index", "rule_name_override",
                                       "timeline_id", "timeline_title", "license", "note", "namespace", "interval",
                                       "from", "to", "created_at", "created_by", "updated_at", "updated_by"}) {
      checks_.string(rule_, key);
    }
    for (const std::string_view key :
         {"risk_score_mapping", "severity_mapping", "actions", "related_integrations", "required_fields", "threat"}) {
      if (const FileNode* list = checks_.get(rule_, key, Kind::array)) {
        for (const FileNode& item : list->items) checks_.is(item, std::string(key) + "[]", Kind::object);
      }
    }
    checks_.word(rule_, "building_block_type", {"default"});
    checks_.boolean(rule_, "immutable");
    checks_.integer(rule_, "version", 1, INT64_MAX);
    checks_.integer(rule_, "max_signals", 1, INT64_MAX);
    threats();
    suppression();
  }

  void threats() {
    const FileMember* m = rule_.find("threat");
    if (m == nullptr) return;
    for (const FileNode& threat : m->value.items) {
      if (!threat.is(Kind::object)) continue;
      checks_.only_keys(threat, "a threat", {"framework", "tactic", "technique"});
      checks_.filled_string(threat, "framework", Need::required);
      if (const FileNode* tactic = checks_.get(threat, "tactic", Kind::object, Need::required))
        attack_entry(*tactic, "a tactic");
      const FileNode* techniques = checks_.get(threat, "technique", Kind::array);
      if (techniques == nullptr) continue;
      for (const FileNode& technique : techniques->items) {
        if (!checks_.is(technique, "technique[]", Kind::object)) continue;
        attack_entry(technique, "a technique");
        if (const FileNode* subs = checks_.get(technique, "subtechnique", Kind::array)) {
          for (const FileNode& sub : subs->items) {
            if (checks_.is(sub, "subtechnique[]", Kind::object)) attack_entry(sub, "a subtechnique");
          }
        }
      }
    }
  }

  void attack_entry(const FileNode& entry, std::string_view what) {
    static constexpr std::array<std::string_view, 4> kKeys = {"id", "name", "reference", "subtechnique"};
    checks_.only_keys(entry, what, std::span(kKeys).first(what == "a technique" ? 4 : 3));
    checks_.filled_string(entry, "id", Need::required);
    checks_.filled_string(entry, "name", Need::required);
    checks_.string(entry, "reference");
  }

  void suppression() {
    const FileNode* node = checks_.get(rule_, "alert_suppression", Kind::object);
    if (node == nullptr) return;
    checks_.only_keys(*node, "alert_suppression", {"group_by", "duration", "missing_fields_strategy"});
    checks_.strings(*node, "group_by");
    checks_.word(*node, "missing_fields_strategy", {"suppress", "doNotSuppress"});
    if (const FileNode* duration = checks_.get(*node, "duration", Kind::object)) {
      checks_.only_keys(*duration, "duration", {"value", "unit"});
      checks_.integer(*duration, "value", 1, 1'000'000, Need::required);
      checks_.word(*duration, "unit", {"s", "m", "h"}, Need::required);
    }
  }

  void time(RuleMeta& meta) {
    if (const std::string* field = checks_.string(rule_, "timestamp_override")) meta.timestamp_override = *field;
    checks_.boolean(rule_, "timestamp_override_fallback_disabled");
  }

  void actions(RuleMeta& meta) {
    const FileNode* list = checks_.get(rule_, "response_actions", Kind::array);
    if (list == nullptr) return;
    for (const FileNode& action : list->items) {
      if (checks_.is(action, "response_actions[]", Kind::object)) one_action(action, meta);
    }
  }

  void one_action(const FileNode& action, RuleMeta& meta) {
    checks_.only_keys(action, "a response action", {"action_type_id", "params"});
    const std::string* kind = checks_.string(action, "action_type_id", Need::required);
    const FileNode* params = checks_.get(action, "params", Kind::object, Need::required);
    if (kind == nullptr || params == nullptr) return;
    if (*kind != ".endpoint") {
      checks_.error(code::kUnsupportedAction, action.find("action_type_id")->value,
                    "response actions of type '" + kind->substr(0, 60) + "' can't be run", "only '.endpoint' is built");
      return;
    }
    const std::string* command = checks_.string(*params, "command", Need::required);
    if (command == nullptr) return;
    if (*command != "isolate") {
      checks_.error(code::kUnsupportedAction, params->find("command")->value,
                    "the command '" + command->substr(0, 60) + "' can't be run by a rule",
                    "a rule can isolate; a host is released by a person or when its lease ends");
      return;
    }
    // The endpoint is always the event's own: a target named in the rule would let an event choose whom to cut off.
    checks_.only_keys(*params, "the isolate command", {"command", "comment"});
    ResponseAction out;
    if (const std::string* comment = checks_.string(*params, "comment")) {
      if (code_points(*comment) > kMaxCommentLength) {
        checks_.error(code::kBadValue, params->find("comment")->value,
                      "'comment' is longer than " + std::to_string(kMaxCommentLength) + " characters");
      }
      out.comment = *comment;
    }
    if (!meta.actions.empty()) {
      checks_.error(code::kBadValue, action, "the rule isolates twice", "keep one of the two");
      return;
    }
    meta.actions.push_back(std::move(out));
  }

  void response(RuleMeta& meta) {
    const FileNode* node = checks_.get(rule_, "response", Kind::object);
    if (node == nullptr) return;
    checks_.only_keys(*node, "response", {"mode", "lease", "corroboration", "confidence"});
    if (const auto rules = checks_.integer(*node, "corroboration", 1, 100)) {
      meta.response.corroboration = static_cast<int>(*rules);
    }
    if (checks_.word(*node, "confidence", {"certain"}) != nullptr) meta.response.certain = true;
    if (meta.response.certain && meta.response.corroboration > 1) {
      checks_.error(code::kBadValue, node->find("corroboration")->value,
                    "a rule with 'confidence: certain' acts alone; it can't want other rules to agree");
    }
    if (const std::string* mode = checks_.word(*node, "mode", {"dry_run", "approve", "enforce"})) {
      meta.response.mode = from_string<Mode>(*mode).value_or(Mode::dry_run);
    }
    if (const std::string* lease = checks_.string(*node, "lease")) {
      meta.response.lease_ms = parse_duration_ms(*lease);
      if (!meta.response.lease_ms || *meta.response.lease_ms < kMinLeaseMs || *meta.response.lease_ms > kMaxLeaseMs) {
        checks_.error(code::kBadValue, node->find("lease")->value,
                      "'lease' must be a duration such as 4h, from 1s to 365d");
      }
    }
  }

  // Parses a kuery in the value of `key`; its errors point into the file.
  std::optional<ir::Node> kuery(std::string_view key) {
    const FileNode* node = checks_.get(rule_, key, Kind::string);
    if (node == nullptr) return std::nullopt;
    tl::expected<ir::Node, lang::QueryError> parsed = lang::parse_kuery(node->text, context_.limits);
    if (parsed) return std::move(*parsed);
    const lang::QueryError& e = parsed.error();
    const size_t begin = place_of(source_.text(), *node, e.begin);
    const size_t end = e.end > e.begin ? place_of(source_.text(), *node, e.end) : begin + 1;
    checks_.add(source_.error(e.code, begin, std::max(end, begin + 1), e.message, e.help));
    return std::nullopt;
  }

  ir::Node query(const RuleMeta& meta) {
    if (loaded_.language != "kuery") checks_.string(rule_, "query");
    const bool needs_query = loaded_.type == "eql" || loaded_.type == "esql" || loaded_.type == "threshold" ||
                             loaded_.type == "new_terms" || loaded_.type == "threat_match";
    const bool has_filters = rule_.find("filters") != nullptr && !rule_.find("filters")->value.items.empty();
    if (rule_.find("query") == nullptr && (needs_query || (loaded_.type == "query" && !has_filters))) {
      checks_.error(code::kMissingKey, rule_, "'query' is missing");
    }
    ir::Node condition = ir::always();
    if (loaded_.language == "kuery") {
      if (std::optional<ir::Node> parsed = kuery("query")) condition = std::move(*parsed);
    }
    const FileMember* threat_language = rule_.find("threat_language");
    if (threat_language == nullptr || threat_language->value.text == "kuery") kuery("threat_query");

    if (const FileNode* filters = checks_.get(rule_, "filters", Kind::array);
        filters != nullptr && loaded_.type == "query") {
      ir::Node filtered = read_filters(*filters, context_.limits.max_pattern_bytes, checks_);
      if (filtered.kind != ir::Node::Kind::always) {
        std::vector<ir::Node> both;
        if (!is_always(condition)) both.push_back(std::move(condition));
        both.push_back(std::move(filtered));
        condition = both.size() == 1 ? std::move(both.front()) : ir::all_of(std::move(both));
      }
    }
    if (loaded_.type == "query" && loaded_.language == "kuery" && !checks_.failed() && is_always(condition)) {
      const FileMember* m = rule_.find("query");
      const std::string message = "the rule matches every event";
      if (!meta.actions.empty() && meta.response.mode != Mode::dry_run) {
        checks_.error(code::kMatchesEverything, m == nullptr ? rule_ : m->value,
                      message + " and would isolate every host", "narrow the query, or set response.mode: dry_run");
      } else {
        checks_.warning(code::kMatchesEverything, m == nullptr ? *rule_.find("name") : *m, message);
      }
    }
    return condition;
  }

  ir::Node without_exceptions(ir::Node condition, std::string& canonical) {
    const FileNode* lists = checks_.get(rule_, "exceptions_list", Kind::array);
    if (lists == nullptr) return condition;
    EventTime time;
    if (const FileMember* m = rule_.find("timestamp_override")) time.override_field = m->value.text;
    if (const FileMember* m = rule_.find("timestamp_override_fallback_disabled")) time.fallback = !m->value.truth;
    loaded_.time_fallback = time.fallback;
    std::vector<ir::Node> any;
    const auto take = [&](const ExceptionItem& item) {
      any.push_back(applies(item, time));
      if (!canonical.empty()) canonical += ',';
      canonical += item.canonical;
    };
    for (const FileNode& entry : lists->items) {
      if (!checks_.is(entry, "exceptions_list[]", Kind::object)) continue;
      checks_.only_keys(entry, "an exceptions_list entry", {"id", "list_id", "type", "namespace_type", "items"});
      for (const std::string_view key : {"id", "type", "namespace_type"}) checks_.string(entry, key);
      const FileNode* inline_items = checks_.get(entry, "items", Kind::array);
      const std::string* list_id =
          checks_.filled_string(entry, "list_id", inline_items == nullptr ? Need::required : Need::optional);
      if (inline_items != nullptr) {
        const std::string name = list_id == nullptr ? std::string("inline") : *list_id;
        for (const FileNode& item : inline_items->items) {
          if (!checks_.is(item, "items[]", Kind::object)) continue;
          take(read_exception_item(item, name, context_.limits.max_pattern_bytes, checks_));
        }
      }
      if (list_id == nullptr) continue;
      const FileMember* space = entry.find("namespace_type");
      const auto found = context_.exceptions.items.find(*list_id);
      const bool in_files = inline_items != nullptr || found != context_.exceptions.items.end() ||
                            context_.exceptions.known.contains(*list_id);
      loaded_.exception_lists.push_back({space != nullptr && space->value.text == "agnostic", *list_id, in_files});
      if (found != context_.exceptions.items.end()) {
        for (const ExceptionItem& item : found->second) {
          if (item.broken) {
            checks_.error(code::kExceptionBroken, entry.find("list_id")->value,
                          "an item of the exception list '" + list_id->substr(0, 100) + "' can't be run",
                          "see " + item.place);
          } else {
            take(item);
          }
        }
      } else if (!in_files && !context_.lists_elsewhere) {
        checks_.add(source_.warning(
            code::kExceptionListMissing, entry.find("list_id")->value.begin, entry.find("list_id")->value.end,
            "the exception list '" + list_id->substr(0, 100) + "' was not given: the rule runs without it"));
      }
    }
    if (any.empty()) return condition;
    std::vector<ir::Node> both;
    both.push_back(std::move(condition));
    both.push_back(ir::negate(any.size() == 1 ? std::move(any.front()) : ir::any_of(std::move(any))));
    return ir::all_of(std::move(both));
  }

  // What is kept but changes nothing yet must be said, or the rule would seem to do more than it does.
  void not_applied() {
    struct Kept {
      std::string_view key;
      std::string_view effect;
    };
    static constexpr std::array<Kept, 6> kKept = {{
        {"alert_suppression", "every matching event gives its own alert"},
        {"risk_score_mapping", "alerts have the rule's own risk score"},
        {"severity_mapping", "alerts have the rule's own severity"},
        {"rule_name_override", "alerts have the rule's own name"},
        {"actions", "no connector is called"},
        {"max_signals", "the number of alerts is not capped"},
    }};
    for (const Kept& kept : kKept) {
      const FileMember* m = rule_.find(kept.key);
      if (m == nullptr || m->value.is(Kind::null)) continue;
      if (m->value.is(Kind::array) && m->value.items.empty()) continue;
      if (m->value.is(Kind::string) && m->value.text.empty()) continue;
      if (kept.key == "max_signals" && m->value.text == "100") continue;  // Kibana's default, in every export
      checks_.warning(code::kNotApplied, *m,
                      "'" + std::string(kept.key) + "' is kept but not applied yet: " + std::string(kept.effect));
    }
  }

  void tests() {
    const FileNode* list = checks_.get(rule_, "tests", Kind::array);
    if (list == nullptr) return;
    for (const FileNode& node : list->items) {
      if (checks_.is(node, "tests[]", Kind::object)) one_test(node);
    }
  }

  void one_test(const FileNode& node) {
    RuleTest test;
    test.line = source_.locate(node.begin).line;
    checks_.only_keys(node, "a test", {"name", "events", "expect"});
    if (const std::string* name = checks_.filled_string(node, "name", Need::required)) test.name = printable(*name);
    if (const FileNode* events = checks_.get(node, "events", Kind::array, Need::required)) {
      for (const FileNode& event : events->items) {
        if (event.is(Kind::object)) {
          test.events.push_back(to_json(event));
        } else if (checks_.is(event, "events[]", Kind::string)) {
          const Result<JsonNode> tree = parse_json_tree(event.text);
          if (!tree || tree->kind != JsonNode::Kind::object) {
            const size_t place = place_of(source_.text(), event, tree ? 0 : offset_in(tree.error().context));
            checks_.add(source_.error(code::kJsonSyntax, place, place + 1,
                                      "an event written as text must be one JSON object" +
                                          (tree ? std::string() : ": " + tree.error().message)));
          }
          test.events.push_back(event.text);
        }
      }
    }
    if (const FileNode* expect = checks_.get(node, "expect", Kind::object, Need::required)) {
      checks_.only_keys(*expect, "expect", {"alerts", "isolate"});
      if (const auto n = checks_.integer(*expect, "alerts", 0, 1'000'000, Need::required))
        test.alerts = static_cast<int>(*n);
      test.isolate = checks_.strings(*expect, "isolate");
      test.checks_isolate = expect->find("isolate") != nullptr;
    }
    loaded_.tests.push_back(std::move(test));
  }

  std::string parameters(const RuleMeta& meta) const {
    std::map<std::string, std::string> all;
    for (const auto& [key, value] : kDefaults) all.emplace(key, value);
    for (const FileMember& m : rule_.members) {
      if (m.key == "tests") continue;
      all[m.key] = to_json(m.value);
    }
    all["enabled"] = meta.enabled ? "true" : "false";
    if (!meta.language.empty()) all["language"] = json_string(meta.language);
    std::string out = "{";
    for (const auto& [key, value] : all) {
      if (out.size() > 1) out += ',';
      out += json_string(key) + ":" + value;
    }
    return out + "}";
  }

  const SourceText& source_;
  const FileNode& rule_;
  const BuildContext& context_;
  LoadedRule loaded_;
  Checks checks_;
};

}  // namespace

LoadedRule build_rule(const SourceText& source, const FileNode& rule, const BuildContext& context) {
  return RuleBuilder(source, rule, context).build();
}

bool looks_like_sigma(const FileNode& object) {
  return object.find("query") == nullptr && object.find("rule_id") == nullptr &&
         (object.find("detection") != nullptr || object.find("logsource") != nullptr ||
          object.find("correlation") != nullptr);
}

LoadedRule refuse_sigma_rule(const SourceText& source, const FileNode& rule) {
  LoadedRule loaded;
  loaded.file = source.file();
  loaded.line = source.locate(rule.begin).line;
  loaded.type = "sigma";
  loaded.language = "sigma";
  Checks checks(source, loaded.diagnostics);
  const auto text = [&](std::string_view key) {
    const FileMember* m = rule.find(key);
    return m != nullptr && m->value.is(Kind::string) ? printable(m->value.text) : std::string();
  };
  loaded.rule_id = text("id");
  loaded.name = text("title");
  const FileMember* at = rule.find("detection");
  if (at == nullptr) at = rule.find("logsource");
  if (at == nullptr) at = rule.find("correlation");
  checks.error(code::kUnsupportedLanguage, *at, "Sigma rules are not built yet");
  return loaded;
}

}  // namespace fb::compile
