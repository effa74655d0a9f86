#include "api/signals/aggregations.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "api/signals/dsl.h"
#include "api/signals/fields.h"
#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"
#include "engine/event/json_tree.h"
#include "engine/ir/oracle.h"
#include "engine/ir/typed.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostAggs = 50;
constexpr int kMostDepth = 5;
constexpr size_t kMostBuckets = 65'536;  // in all; as many as Elasticsearch's own
constexpr int64_t kDayMs = 86'400'000;
constexpr double kLastTime = 2.5e14;  // ms; numbers beyond the year 9000 are no times

enum class Kind : uint8_t { terms, dates, numbers, filters, missing, metric, cardinality };

struct Order {
  std::string by;  // _count, _key, or the name of a number within
  bool ascending = false;
};

// What is asked for; does not change while documents come.
struct Spec {
  std::string name;
  Kind kind = Kind::terms;
  std::string metric;  // min, max, avg, sum, value_count, stats
  std::string field;
  size_t size = 10;
  int64_t least_count = 1;
  std::vector<Order> order;
  std::string missing;  // terms: the key of what has no value, as JSON; "" = none
  double step = 0;      // numbers; dates: in ms, unless `calendar` says it
  char calendar = 0;    // w, M, q, y
  bool one_filter = false;
  bool keyed = true;
  std::vector<std::pair<std::string, ir::Node>> conditions;
  std::vector<Spec> within;
};

tl::unexpected<Error> bad(std::string message) {
  return fail(ErrorCode::invalid_argument, std::move(message));
}

// --- reading ---------------------------------------------------------------------------------------------------------

Status read_order(const Json& value, const std::string& at, Spec& spec) {
  const auto one = [&](const Json& o) -> Status {
    if (!o.is_object() || o.size() != 1 || (o.begin().value() != "asc" && o.begin().value() != "desc")) {
      return bad(at + ": an order is {name: asc or desc}");
    }
    spec.order.push_back({o.begin().key(), o.begin().value() == "asc"});
    return {};
  };
  if (!value.is_array()) return one(value);
  for (const Json& o : value) FB_TRY_VOID(one(o));
  return {};
}

Status read_step(const std::string& key, const Json& value, const std::string& at, Spec& spec) {
  if (spec.kind == Kind::numbers) {
    if (!value.is_number() || value.get<double>() <= 0) return bad(at + ": a number above 0");
    spec.step = value.get<double>();
    return {};
  }
  const std::string text = value.is_string() ? value.get<std::string>() : "";
  static const std::map<std::string, char> kCalendar = {{"week", 'w'},    {"1w", 'w'}, {"month", 'M'}, {"1M", 'M'},
                                                        {"quarter", 'q'}, {"1q", 'q'}, {"year", 'y'},  {"1y", 'y'}};
  static const std::map<std::string, int64_t> kWords = {
      {"second", 1000}, {"minute", 60'000}, {"hour", 3'600'000}, {"day", kDayMs}};
  const auto calendar = kCalendar.find(text);
  if (key != "fixed_interval" && calendar != kCalendar.end()) {
    spec.calendar = calendar->second;
    return {};
  }
  const auto word = kWords.find(text);
  if (key != "fixed_interval" && word != kWords.end()) {
    spec.step = static_cast<double>(word->second);
    return {};
  }
  const auto ms = parse_duration_ms(text);
  if (!ms || *ms < 1 || text.ends_with('w')) return bad(at + ": an interval such as 1h");
  spec.step = static_cast<double>(*ms);
  return {};
}

// What is read of one request.
struct Reading {
  int64_t now_ms = 0;
  size_t count = 0;             // of aggregations
  size_t room = kMaxMadeNodes;  // for all queries together
};

Result<ir::Node> read_filter(const Json& query, const std::string& at, Reading& reading) {
  auto read = read_alert_query(dumped(query), reading.now_ms, reading.room);
  if (!read) return bad(at + ": " + read.error());
  return std::move(read->condition);
}

Status read_filters(const Json& how, const std::string& at, Reading& reading, Spec& spec) {
  if (!how.is_object() || how.size() != 1 || !how.contains("filters")) return bad(at + ": takes filters alone");
  const Json& list = how["filters"];
  spec.keyed = list.is_object();
  if (!list.is_structured() || list.size() > kMostAggs) return bad(at + ".filters: at most 50 queries");
  size_t i = 0;
  for (const auto& [key, query] : list.items()) {
    FB_TRY(ir::Node condition, read_filter(query, at + ".filters." + printable(key.substr(0, 60)), reading));
    spec.conditions.emplace_back(spec.keyed ? key : std::to_string(i), std::move(condition));
    ++i;
  }
  return {};
}

Status read_terms_key(const std::string& key, const Json& value, const std::string& at, Spec& spec) {
  static constexpr std::string_view kHints[] = {"shard_size",   "show_term_doc_count_error", "execution_hint",
                                                "collect_mode", "shard_min_doc_count",       "value_type"};
  if (std::find(std::begin(kHints), std::end(kHints), key) != std::end(kHints)) return {};  // how, not what
  if (key == "order") return read_order(value, at + ".order", spec);
  if (key == "size") {
    if (!value.is_number_integer() || value < 1 || value > 10'000) return bad(at + ".size: from 1 to 10000");
    spec.size = value.get<size_t>();
    return {};
  }
  if (key == "missing") {
    if (!value.is_primitive() || value.is_null()) return bad(at + ".missing: a value");
    spec.missing = dumped(value);
    return {};
  }
  return bad(at + "." + printable(key.substr(0, 60)) + ": is not supported");
}

Status read_one(const std::string& kind, const Json& how, const std::string& at, Reading& reading, Spec& spec) {
  if (kind == "filter") {
    spec.kind = Kind::filters;
    spec.one_filter = true;
    FB_TRY(ir::Node condition, read_filter(how, at, reading));
    spec.conditions.emplace_back("", std::move(condition));
    return {};
  }
  if (kind == "filters") {
    spec.kind = Kind::filters;
    return read_filters(how, at, reading, spec);
  }
  static constexpr std::string_view kMetrics[] = {"min", "max", "avg", "sum", "value_count", "stats"};
  if (kind == "terms") {
    spec.kind = Kind::terms;
  } else if (kind == "date_histogram" || kind == "histogram") {
    spec.kind = kind == "histogram" ? Kind::numbers : Kind::dates;
    spec.least_count = 0;
  } else if (kind == "missing") {
    spec.kind = Kind::missing;
  } else if (kind == "cardinality") {
    spec.kind = Kind::cardinality;
  } else if (std::find(std::begin(kMetrics), std::end(kMetrics), kind) != std::end(kMetrics)) {
    spec.kind = Kind::metric;
    spec.metric = kind;
  } else {
    return bad(at + ": is not supported");
  }
  if (!how.is_object() || !how.contains("field") || !how["field"].is_string()) return bad(at + ".field: is missing");
  spec.field = alert_field(how["field"].get_ref<const std::string&>());
  const bool histogram = spec.kind == Kind::dates || spec.kind == Kind::numbers;
  for (const auto& [key, value] : how.items()) {
    const std::string here = at + "." + printable(key.substr(0, 60));
    if (key == "field") continue;
    if (key == "precision_threshold" && spec.kind == Kind::cardinality) continue;  // it is exact
    if (key == "min_doc_count" && (histogram || spec.kind == Kind::terms)) {
      if (!value.is_number_integer() || value < (histogram ? 0 : 1)) {
        return bad(here + (histogram ? ": a whole number" : ": at least 1: what no alert has is not known"));
      }
      spec.least_count = value.get<int64_t>();
    } else if (spec.kind == Kind::terms) {
      FB_TRY_VOID(read_terms_key(key, value, at, spec));
    } else if (histogram && (key == "interval" ||
                             (spec.kind == Kind::dates && (key == "fixed_interval" || key == "calendar_interval")))) {
      FB_TRY_VOID(read_step(key, value, here, spec));
    } else if (spec.kind == Kind::dates && key == "time_zone" &&
               (value == "UTC" || value == "+00:00" || value == "Z")) {
      continue;
    } else {
      return bad(here + ": is not supported");
    }
  }
  if (histogram && spec.step == 0 && spec.calendar == 0) return bad(at + ": needs an interval");
  return {};
}

Result<std::vector<Spec>> read_specs(const Json& aggs, const std::string& at, int depth, Reading& reading) {
  std::vector<Spec> out;
  if (aggs.is_null()) return out;
  if (!aggs.is_object()) return bad(at + ": must be an object");
  if (depth > kMostDepth) return bad(at + ": deeper than " + std::to_string(kMostDepth));
  for (const auto& [name, agg] : aggs.items()) {
    const std::string here = at + "." + printable(name.substr(0, 60));
    if (++reading.count > kMostAggs) return bad(at + ": at most " + std::to_string(kMostAggs));
    if (!agg.is_object() || agg.empty()) return bad(here + ": must be an object");
    Spec spec;
    spec.name = name;
    bool known = false;
    Json within;
    for (const auto& [key, value] : agg.items()) {
      if (key == "meta") continue;
      if (key == "aggs" || key == "aggregations") {
        within = value;
        continue;
      }
      if (known) return bad(here + ": one aggregation a name");
      known = true;
      FB_TRY_VOID(read_one(key, value, here + "." + printable(key.substr(0, 60)), reading, spec));
    }
    if (!known) return bad(here + ": names no aggregation");
    if (!within.is_null() && (spec.kind == Kind::metric || spec.kind == Kind::cardinality)) {
      return bad(here + ".aggs: a number holds no aggregations");
    }
    FB_TRY(spec.within, read_specs(within, here + ".aggs", depth + 1, reading));
    for (const Order& order : spec.order) {
      const auto number =
          std::find_if(spec.within.begin(), spec.within.end(), [&](const Spec& s) { return s.name == order.by; });
      const bool is_number =
          number != spec.within.end() &&
          ((number->kind == Kind::metric && number->metric != "stats") || number->kind == Kind::cardinality);
      if (order.by != "_count" && order.by != "_key" && !is_number) {
        return bad(here + ".order: by _count, _key or a number within, not '" + printable(order.by.substr(0, 60)) +
                   "'");
      }
    }
    out.push_back(std::move(spec));
  }
  return out;
}

// --- counting --------------------------------------------------------------------------------------------------------

struct State;

struct Bucket {
  int64_t count = 0;
  std::vector<State> within;  // one a Spec::within
};

struct State {
  std::map<std::string, Bucket> terms;  // by the key as JSON
  std::map<double, Bucket> steps;
  std::vector<Bucket> fixed;  // filters, missing
  std::set<std::string> seen;
  int64_t values = 0;
  double least = std::numeric_limits<double>::infinity();
  double most = -std::numeric_limits<double>::infinity();
  double sum = 0;
  bool is_time = false;
};

// One document, taken apart once.
struct Document {
  const Json& json;
  const JsonNode* tree;  // null: no condition asks for it
};

std::optional<double> number_of(const Json& v, bool* is_time) {
  if (v.is_number()) return v.get<double>();
  if (!v.is_string()) return std::nullopt;
  const auto ms = ir::parse_date_value(v.get_ref<const std::string&>());
  if (!ms) return std::nullopt;
  *is_time = true;
  return static_cast<double>(*ms);
}

double calendar_start(double ms, char unit) {
  using namespace std::chrono;
  const auto day = floor<days>(sys_time<milliseconds>(milliseconds(static_cast<int64_t>(ms))));
  if (unit == 'w') return static_cast<double>((day - (weekday(day) - Monday)).time_since_epoch() / milliseconds(1));
  const year_month_day date(day);
  const unsigned month_now = static_cast<unsigned>(date.month());
  const unsigned first = unit == 'y' ? 1 : unit == 'q' ? (month_now - 1) / 3 * 3 + 1 : month_now;
  return static_cast<double>(sys_days(date.year() / month(first) / 1).time_since_epoch() / milliseconds(1));
}

double step_start(const Spec& spec, double v) {
  return spec.calendar != 0 ? calendar_start(v, spec.calendar) : std::floor(v / spec.step) * spec.step;
}

double next_step(const Spec& spec, double start) {
  if (spec.calendar == 0) return start + spec.step;
  const double far = spec.calendar == 'w' ? 7 : spec.calendar == 'M' ? 32 : spec.calendar == 'q' ? 93 : 367;
  return calendar_start(start + far * static_cast<double>(kDayMs), spec.calendar);
}

class Counter {
 public:
  Counter(int64_t now_ms, size_t& buckets) : now_ms_(now_ms), buckets_(buckets) {}

  void take(const std::vector<Spec>& specs, std::vector<State>& states, const Document& doc) {
    states.resize(specs.size());
    for (size_t i = 0; i < specs.size(); ++i) one(specs[i], states[i], doc);
  }

 private:
  void one(const Spec& spec, State& state, const Document& doc) {
    if (spec.kind == Kind::filters) {
      state.fixed.resize(spec.conditions.size());
      for (size_t i = 0; i < spec.conditions.size(); ++i) {
        if (doc.tree != nullptr && ir::matches(spec.conditions[i].second, *doc.tree, {now_ms_, {}})) {
          put(spec, state.fixed[i], doc);
        }
      }
      return;
    }
    const std::vector<Json> values = values_of(doc.json, spec.field);
    switch (spec.kind) {
      case Kind::missing:
        state.fixed.resize(1);
        if (values.empty()) put(spec, state.fixed.front(), doc);
        return;
      case Kind::terms: {
        std::set<std::string> keys;
        for (const Json& v : values) keys.insert(dumped(v));
        if (keys.empty() && !spec.missing.empty()) keys.insert(spec.missing);
        for (const std::string& key : keys) put(spec, bucket(state.terms, key), doc);
        return;
      }
      case Kind::dates:
      case Kind::numbers: {
        std::set<double> starts;
        for (const Json& v : values) {
          const auto n = number_of(v, &state.is_time);
          if (!n || (spec.kind == Kind::dates && std::abs(*n) > kLastTime)) continue;
          starts.insert(step_start(spec, *n));
        }
        for (const double start : starts) put(spec, bucket(state.steps, start), doc);
        return;
      }
      case Kind::cardinality:
        for (const Json& v : values) {
          if (state.seen.insert(dumped(v)).second) ++buckets_;
        }
        return;
      default:
        numbers(spec, state, values);
    }
  }

  static void numbers(const Spec& spec, State& state, const std::vector<Json>& values) {
    for (const Json& v : values) {
      const auto number = number_of(v, &state.is_time);
      if (!number && spec.metric != "value_count") continue;
      ++state.values;
      if (!number) continue;
      state.sum += *number;
      state.least = std::min(state.least, *number);
      state.most = std::max(state.most, *number);
    }
  }

  template <class Map, class Key>
  Bucket* bucket(Map& map, const Key& key) {
    const auto it = map.find(key);
    if (it != map.end()) return &it->second;
    if (++buckets_ > kMostBuckets) return nullptr;
    return &map[key];
  }

  void put(const Spec& spec, Bucket* bucket, const Document& doc) {
    if (bucket != nullptr) put(spec, *bucket, doc);
  }
  void put(const Spec& spec, Bucket& bucket, const Document& doc) {
    ++bucket.count;
    if (!spec.within.empty()) take(spec.within, bucket.within, doc);
  }

  int64_t now_ms_;
  size_t& buckets_;
};

// --- answering -------------------------------------------------------------------------------------------------------

Json answers(const std::vector<Spec>& specs, const std::vector<State>& states);

double single(const Spec& spec, const State& state) {
  if (spec.kind == Kind::cardinality) return static_cast<double>(state.seen.size());
  if (spec.metric == "value_count") return static_cast<double>(state.values);
  if (spec.metric == "sum") return state.sum;
  if (spec.metric == "min") return state.least;
  if (spec.metric == "max") return state.most;
  return state.values == 0 ? 0 : state.sum / static_cast<double>(state.values);
}

Json metric(const Spec& spec, const State& state) {
  if (spec.kind == Kind::cardinality) return Json{{"value", state.seen.size()}};
  if (spec.metric == "value_count") return Json{{"value", state.values}};
  const bool none = state.values == 0;
  const double average = none ? 0 : state.sum / static_cast<double>(state.values);
  if (spec.metric == "stats") {
    return Json{{"count", state.values},
                {"min", none ? Json() : Json(state.least)},
                {"max", none ? Json() : Json(state.most)},
                {"avg", none ? Json() : Json(average)},
                {"sum", state.sum}};
  }
  if (none && spec.metric != "sum") return Json{{"value", nullptr}};
  const double value = single(spec, state);
  Json out{{"value", value}};
  if (state.is_time && spec.metric != "sum" && std::abs(value) < kLastTime)
    out["value_as_string"] = iso8601(static_cast<int64_t>(value));
  return out;
}

void finish(Json& out, const Spec& spec, const Bucket& bucket) {
  out["doc_count"] = bucket.count;
  if (spec.within.empty()) return;
  std::vector<State> none;
  const std::vector<State>* states = &bucket.within;
  if (states->size() != spec.within.size()) {  // no document came
    none.resize(spec.within.size());
    states = &none;
  }
  const Json inner = answers(spec.within, *states);
  for (const auto& [name, value] : inner.items()) out[name] = value;
}

// Numbers by their value, texts by their bytes.
int compare_keys(const std::string& a, const std::string& b) {
  const Json x = parse_ordered_json(a);
  const Json y = parse_ordered_json(b);
  if (x.is_number() && y.is_number()) return x < y ? -1 : y < x ? 1 : 0;
  if (x.is_string() && y.is_string()) return x.get_ref<const std::string&>().compare(y.get_ref<const std::string&>());
  return a.compare(b);
}

Json terms(const Spec& spec, const State& state) {
  std::vector<std::pair<const std::string*, const Bucket*>> all;
  for (const auto& [key, bucket] : state.terms) {
    if (bucket.count >= spec.least_count) all.emplace_back(&key, &bucket);
  }
  std::vector<Order> order = spec.order;
  if (order.empty()) order.push_back({"_count", false});
  const auto before = [&](const auto& a, const auto& b) {
    for (const Order& o : order) {
      double difference = 0;
      if (o.by == "_key") {
        difference = compare_keys(*a.first, *b.first);
      } else if (o.by == "_count") {
        difference = static_cast<double>(a.second->count) - static_cast<double>(b.second->count);
      } else {
        const auto number =
            std::find_if(spec.within.begin(), spec.within.end(), [&](const Spec& s) { return s.name == o.by; });
        const auto at = static_cast<size_t>(number - spec.within.begin());
        const double x = single(*number, a.second->within[at]);
        const double y = single(*number, b.second->within[at]);
        difference = x < y ? -1 : y < x ? 1 : 0;
      }
      if (difference != 0) return o.ascending ? difference < 0 : difference > 0;
    }
    return false;  // the map has them by key
  };
  std::stable_sort(all.begin(), all.end(), before);
  Json buckets = Json::array();
  int64_t others = 0;
  for (const auto& [key, bucket] : all) {
    if (buckets.size() >= spec.size) {
      others += bucket->count;
      continue;
    }
    const Json value = parse_ordered_json(*key);
    Json out;
    if (value.is_boolean()) {
      out = Json{{"key", value.get<bool>() ? 1 : 0}, {"key_as_string", value.dump()}};
    } else {
      out = Json{{"key", value}};
    }
    finish(out, spec, *bucket);
    buckets.push_back(std::move(out));
  }
  return Json{{"doc_count_error_upper_bound", 0}, {"sum_other_doc_count", others}, {"buckets", std::move(buckets)}};
}

Json histogram(const Spec& spec, const State& state) {
  Json buckets = Json::array();
  const auto add = [&](double start, const Bucket& bucket) {
    if (bucket.count < spec.least_count) return;
    Json out = Json::object();
    if (spec.kind == Kind::dates) {
      out["key_as_string"] = iso8601(static_cast<int64_t>(start));
      out["key"] = static_cast<int64_t>(start);
    } else {
      out["key"] = start;
    }
    finish(out, spec, bucket);
    buckets.push_back(std::move(out));
  };
  const Bucket empty;
  double expected = 0;
  bool first = true;
  for (const auto& [start, bucket] : state.steps) {
    if (spec.least_count == 0 && !first) {
      // Between the first and the last no step is missing.
      for (; expected < start && buckets.size() <= kMostBuckets; expected = next_step(spec, expected))
        add(expected, empty);
    }
    first = false;
    add(start, bucket);
    expected = next_step(spec, start);
    if (buckets.size() > kMostBuckets) break;
  }
  return Json{{"buckets", std::move(buckets)}};
}

Json filters(const Spec& spec, const State& state) {
  const Bucket none;
  const auto at = [&](size_t i) -> const Bucket& { return i < state.fixed.size() ? state.fixed[i] : none; };
  if (spec.one_filter || spec.kind == Kind::missing) {
    Json out = Json::object();
    finish(out, spec, at(0));
    return out;
  }
  Json buckets = spec.keyed ? Json::object() : Json::array();
  for (size_t i = 0; i < spec.conditions.size(); ++i) {
    Json out = Json::object();
    finish(out, spec, at(i));
    if (spec.keyed) {
      buckets[spec.conditions[i].first] = std::move(out);
    } else {
      buckets.push_back(std::move(out));
    }
  }
  return Json{{"buckets", std::move(buckets)}};
}

Json answers(const std::vector<Spec>& specs, const std::vector<State>& states) {
  Json out = Json::object();
  for (size_t i = 0; i < specs.size(); ++i) {
    switch (specs[i].kind) {
      case Kind::terms:
        out[specs[i].name] = terms(specs[i], states[i]);
        break;
      case Kind::dates:
      case Kind::numbers:
        out[specs[i].name] = histogram(specs[i], states[i]);
        break;
      case Kind::filters:
      case Kind::missing:
        out[specs[i].name] = filters(specs[i], states[i]);
        break;
      default:
        out[specs[i].name] = metric(specs[i], states[i]);
    }
  }
  return out;
}

// Steps without an alert count too: a year in seconds is more than anybody reads.
size_t steps_of(const std::vector<Spec>& specs, const std::vector<State>& states) {
  size_t all = 0;
  for (size_t i = 0; i < specs.size() && i < states.size(); ++i) {
    const State& s = states[i];
    if (!s.steps.empty() && specs[i].least_count == 0) {
      const double width = specs[i].calendar == 0 ? specs[i].step : 7.0 * static_cast<double>(kDayMs);
      all += static_cast<size_t>(std::min(1e9, (s.steps.rbegin()->first - s.steps.begin()->first) / width));
    }
    const auto inner = [&](const Bucket& b) { all += steps_of(specs[i].within, b.within); };
    for (const auto& [key, bucket] : s.terms) inner(bucket);
    for (const auto& [key, bucket] : s.steps) inner(bucket);
    for (const Bucket& bucket : s.fixed) inner(bucket);
  }
  return all;
}

bool asks_conditions(const std::vector<Spec>& specs) {
  return std::any_of(specs.begin(), specs.end(),
                     [](const Spec& s) { return s.kind == Kind::filters || asks_conditions(s.within); });
}

}  // namespace

struct Aggregations::Impl {
  std::vector<Spec> specs;
  std::vector<State> states;
  int64_t now_ms = 0;
  size_t buckets = 0;
  bool conditions = false;
};

Aggregations::Aggregations(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Aggregations::Aggregations(Aggregations&&) noexcept = default;
Aggregations& Aggregations::operator=(Aggregations&&) noexcept = default;
Aggregations::~Aggregations() = default;

Result<Aggregations> Aggregations::read(const Json& aggs, int64_t now_ms) {
  auto impl = std::make_unique<Impl>();
  Reading reading;
  reading.now_ms = now_ms;
  FB_TRY(impl->specs, read_specs(aggs, "aggs", 1, reading));
  impl->states.resize(impl->specs.size());
  impl->now_ms = now_ms;
  impl->conditions = asks_conditions(impl->specs);
  return Aggregations(std::move(impl));
}

bool Aggregations::empty() const {
  return impl_->specs.empty();
}

void Aggregations::take(const Json& doc, const std::string& text) {
  if (impl_->buckets > kMostBuckets) return;
  std::optional<JsonNode> tree;
  if (impl_->conditions) {
    if (auto parsed = parse_json_tree(text)) tree = std::move(*parsed);
  }
  Counter(impl_->now_ms, impl_->buckets).take(impl_->specs, impl_->states, {doc, tree ? &*tree : nullptr});
}

Result<Json> Aggregations::answer() const {
  if (impl_->buckets > kMostBuckets || steps_of(impl_->specs, impl_->states) > kMostBuckets) {
    return bad("aggs: more than " + std::to_string(kMostBuckets) + " buckets; narrow the query or widen the interval");
  }
  return answers(impl_->specs, impl_->states);
}

}  // namespace fb::api
