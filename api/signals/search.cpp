#include "api/signals/search.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>

#include "engine/base/json.h"
#include "engine/base/text.h"
#include "engine/event/json_tree.h"
#include "engine/ir/oracle.h"
#include "engine/ir/typed.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kBudgetMs = 5'000;
constexpr int64_t kCountedUnasked = 10'000;  // hits, as Elasticsearch's own
constexpr int64_t kMostHits = 10'000;        // from + size, as Elasticsearch's own window
constexpr size_t kMostBuckets = 65'536;

std::string dumped(const Json& j) {
  return j.dump(-1, ' ', false, Json::error_handler_t::replace);
}

tl::unexpected<Error> bad(std::string message) {
  return fail(ErrorCode::invalid_argument, std::move(message));
}

// The values at a dotted path, whatever mixture of dots and nesting spells it.
void values_at(const Json& node, std::string_view path, std::vector<Json>& out) {
  if (node.is_array()) {
    for (const Json& item : node) values_at(item, path, out);
    return;
  }
  if (path.empty()) {
    if (!node.is_null() && !node.is_object()) out.push_back(node);
    return;
  }
  if (!node.is_object()) return;
  for (const auto& [key, value] : node.items()) {
    if (path == key) {
      values_at(value, {}, out);
    } else if (path.size() > key.size() && path.starts_with(key) && path[key.size()] == '.') {
      values_at(value, path.substr(key.size() + 1), out);
    }
  }
}

std::vector<Json> values_of(const Json& doc, const std::string& field) {
  std::vector<Json> out;
  values_at(doc, field == "_id" ? "kibana.alert.uuid" : field, out);
  return out;
}

struct SortKey {
  std::string field;
  bool ascending = false;
};

Result<std::vector<SortKey>> read_sort(const Json& sort) {
  std::vector<SortKey> keys;
  const auto one = [&](const Json& s, const std::string& at) -> Status {
    if (s.is_string()) {
      keys.push_back({s.get<std::string>(), s != "_score"});
      return {};
    }
    if (!s.is_object() || s.size() != 1) return bad(at + ": a sort is a field or {field: order}");
    const Json& how = s.begin().value();
    const Json order = how.is_object() ? how.value("order", Json("asc")) : how;
    if (order != "asc" && order != "desc") return bad(at + ": the order is asc or desc");
    keys.push_back({s.begin().key(), order == "asc"});
    return {};
  };
  if (!sort.is_array()) {
    if (!sort.is_null()) FB_TRY_VOID(one(sort, "sort"));
  } else {
    for (size_t i = 0; i < sort.size(); ++i) FB_TRY_VOID(one(sort[i], "sort[" + std::to_string(i) + "]"));
  }
  std::erase_if(keys, [](const SortKey& k) { return k.field == "_score" || k.field == "_doc"; });
  return keys;
}

// Numbers before texts; what is missing comes last either way.
int compared(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) return a < b ? -1 : b < a ? 1 : 0;
  if (a.is_number() != b.is_number()) return a.is_number() ? -1 : 1;
  const std::string x = a.is_string() ? a.get<std::string>() : a.dump();
  const std::string y = b.is_string() ? b.get<std::string>() : b.dump();
  return x < y ? -1 : y < x ? 1 : 0;
}

struct Hit {
  std::string id;
  std::string document;
  std::vector<Json> keys;  // of the sort; null = missing
};

bool before(const Hit& a, const Hit& b, const std::vector<SortKey>& sort) {
  for (size_t i = 0; i < sort.size(); ++i) {
    if (a.keys[i].is_null() != b.keys[i].is_null()) return b.keys[i].is_null();
    if (a.keys[i].is_null()) continue;
    const int order = compared(a.keys[i], b.keys[i]);
    if (order != 0) return sort[i].ascending ? order < 0 : order > 0;
  }
  return false;
}

Json sort_key(const Json& doc, const SortKey& key) {
  const std::vector<Json> values = values_of(doc, key.field);
  if (values.empty()) return nullptr;
  const auto less = [](const Json& a, const Json& b) { return compared(a, b) < 0; };
  return key.ascending ? *std::min_element(values.begin(), values.end(), less)
                       : *std::max_element(values.begin(), values.end(), less);
}

// One aggregation: terms, or a number over the values of a field.
struct Agg {
  std::string name;
  std::string kind;  // terms, min, max, avg, sum, value_count, cardinality
  std::string field;
  size_t size = 10;
  std::map<std::string, int64_t> counts;  // terms, cardinality: by the value as JSON
  int64_t values = 0;
  double least = std::numeric_limits<double>::infinity();
  double most = -std::numeric_limits<double>::infinity();
  double sum = 0;
  bool is_time = false;

  void take(const std::vector<Json>& all) {
    if (kind == "terms" || kind == "cardinality") {
      std::vector<std::string> seen;
      for (const Json& v : all) {
        std::string key = dumped(v);
        if (std::find(seen.begin(), seen.end(), key) != seen.end()) continue;
        if (counts.size() < kMostBuckets || counts.contains(key)) ++counts[key];
        seen.push_back(std::move(key));
      }
      return;
    }
    for (const Json& v : all) {
      double number = 0;
      if (v.is_number()) {
        number = v.get<double>();
      } else if (const auto ms = v.is_string() ? ir::parse_date_value(v.get_ref<const std::string&>()) : std::nullopt) {
        number = static_cast<double>(*ms);
        is_time = true;
      } else if (kind != "value_count") {
        continue;
      }
      ++values;
      sum += number;
      least = std::min(least, number);
      most = std::max(most, number);
    }
  }
};

Result<std::vector<Agg>> read_aggs(const Json& aggs) {
  constexpr size_t kMostAggs = 20;
  static constexpr std::string_view kKinds[] = {"terms", "min", "max", "avg", "sum", "value_count", "cardinality"};
  std::vector<Agg> out;
  if (aggs.is_null()) return out;
  if (!aggs.is_object()) return bad("aggs: must be an object");
  if (aggs.size() > kMostAggs) return bad("aggs: at most " + std::to_string(kMostAggs));
  for (const auto& [name, agg] : aggs.items()) {
    const std::string at = "aggs." + printable(name.substr(0, 60));
    if (!agg.is_object() || agg.empty()) return bad(at + ": must be an object");
    for (const auto& [key, value] : agg.items()) {
      if (std::find(std::begin(kKinds), std::end(kKinds), key) == std::end(kKinds)) {
        return bad(at + "." + printable(key.substr(0, 60)) + ": is not supported");
      }
    }
    if (agg.size() != 1) return bad(at + ": one aggregation a name");
    const std::string& kind = agg.begin().key();
    const Json& how = agg.begin().value();
    if (!how.is_object() || !how.contains("field") || !how["field"].is_string()) {
      return bad(at + "." + kind + ".field: is missing");
    }
    Agg a;
    a.name = name;
    a.kind = kind;
    a.field = how["field"].get<std::string>();
    for (const auto& [key, value] : how.items()) {
      if (key == "field") continue;
      if (kind == "terms" && key == "order" && value == Json{{"_count", "desc"}}) continue;
      if (kind == "cardinality" && key == "precision_threshold") continue;  // it is exact
      if (kind != "terms" || key != "size") {
        return bad(at + "." + kind + "." + printable(key.substr(0, 60)) + ": is not supported");
      }
      if (!value.is_number_integer() || value < 1 || value > 10'000) return bad(at + ".terms.size: from 1 to 10000");
      a.size = value.get<size_t>();
    }
    out.push_back(std::move(a));
  }
  return out;
}

Json terms_answer(const Agg& agg) {
  std::vector<std::pair<std::string, int64_t>> all(agg.counts.begin(), agg.counts.end());
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  Json buckets = Json::array();
  int64_t others = 0;
  for (const auto& [key, count] : all) {
    if (buckets.size() >= agg.size) {
      others += count;
      continue;
    }
    const Json value = parse_ordered_json(key);
    if (value.is_boolean()) {
      buckets.push_back(
          Json{{"key", value.get<bool>() ? 1 : 0}, {"key_as_string", value.dump()}, {"doc_count", count}});
    } else {
      buckets.push_back(Json{{"key", value}, {"doc_count", count}});
    }
  }
  return Json{{"doc_count_error_upper_bound", 0}, {"sum_other_doc_count", others}, {"buckets", std::move(buckets)}};
}

Json answer_of(const Agg& agg) {
  if (agg.kind == "terms") return terms_answer(agg);
  if (agg.kind == "cardinality") return Json{{"value", agg.counts.size()}};
  if (agg.kind == "value_count") return Json{{"value", agg.values}};
  if (agg.kind == "sum") return Json{{"value", agg.sum}};
  if (agg.values == 0) return Json{{"value", nullptr}};
  const double value = agg.kind == "min"   ? agg.least
                       : agg.kind == "max" ? agg.most
                                           : agg.sum / static_cast<double>(agg.values);
  Json out{{"value", value}};
  if (agg.is_time) out["value_as_string"] = iso8601(static_cast<int64_t>(value));
  return out;
}

bool name_fits(std::string_view pattern, std::string_view name) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) {
    return name == pattern || (name.starts_with(pattern) && name[pattern.size()] == '.');
  }
  return name.starts_with(pattern.substr(0, star)) && name.ends_with(pattern.substr(star + 1)) &&
         name.size() + 1 >= pattern.size();
}

// Which fields of a document come back.
struct SourceFilter {
  bool none = false;
  std::vector<std::string> includes;
  std::vector<std::string> excludes;
};

Result<SourceFilter> read_source(const Json& source) {
  SourceFilter f;
  const auto list = [](const Json& v, std::vector<std::string>& out) {
    if (v.is_string()) out.push_back(v.get<std::string>());
    if (v.is_array()) {
      for (const Json& s : v) {
        if (!s.is_string()) return false;
        out.push_back(s.get<std::string>());
      }
    }
    return v.is_string() || v.is_array();
  };
  if (source.is_null()) return f;
  if (source.is_boolean()) {
    f.none = !source.get<bool>();
    return f;
  }
  bool good = true;
  if (source.is_object()) {
    for (const auto& [key, value] : source.items()) {
      good =
          good && (key == "includes" || key == "excludes") && list(value, key == "includes" ? f.includes : f.excludes);
    }
  } else {
    good = list(source, f.includes);
  }
  if (!good) return bad("_source: a boolean, a field, a list of fields, or {includes, excludes}");
  return f;
}

// Leaves whose whole path is asked for; objects on the way stay.
Json filtered(const Json& node, const std::string& path, const SourceFilter& f) {
  Json out = Json::object();
  for (const auto& [key, value] : node.items()) {
    const std::string name = path.empty() ? key : path + "." + key;
    const auto fits = [&](const std::vector<std::string>& list) {
      return std::any_of(list.begin(), list.end(), [&](const std::string& p) { return name_fits(p, name); });
    };
    if (fits(f.excludes)) continue;
    if (value.is_object()) {
      Json inner = fits(f.includes) && f.excludes.empty() ? value : filtered(value, name, f);
      if (!inner.empty()) out[key] = std::move(inner);
    } else if (f.includes.empty() || fits(f.includes)) {
      out[key] = value;
    }
  }
  return out;
}

Result<int64_t> whole(const Json& body, const char* key, int64_t otherwise) {
  const auto it = body.find(key);
  if (it == body.end()) return otherwise;
  if (!it->is_number_integer() || *it < 0 || *it > kMostHits) return bad(std::string(key) + ": from 0 to 10000");
  return it->get<int64_t>();
}

// How many hits are counted before "at least so many" is enough.
Result<int64_t> hits_to_count(const Json& body) {
  const auto it = body.find("track_total_hits");
  if (it == body.end() || it->is_null() || *it == false) return kCountedUnasked;
  if (*it == true) return std::numeric_limits<int64_t>::max();
  if (!it->is_number_integer() || *it < 0) return bad("track_total_hits: a boolean or a number");
  return it->get<int64_t>();
}

}  // namespace

Result<AlertView> one_alert(Store& store, const std::string& id) {
  AlertPick pick;
  pick.alert_ids = {id};
  std::optional<AlertView> found;
  FB_TRY_VOID(Workflow(store).each(pick, [&](const AlertView& alert) {
    found = alert;
    return false;
  }));
  if (!found) return fail(ErrorCode::not_found, "there is no alert '" + printable(id.substr(0, 100)) + "'");
  return std::move(*found);
}

std::string merged_document(const AlertView& alert) {
  if (!alert.noted) return alert.doc;
  Json doc = parse_ordered_json(alert.doc);
  if (!doc.is_object()) return alert.doc;
  doc["kibana.alert.workflow_status"] = alert.status;
  doc["kibana.alert.workflow_tags"] = alert.tags;
  doc["kibana.alert.workflow_assignee_ids"] = alert.assignees;
  if (!alert.reason.empty()) doc["kibana.alert.workflow_reason"] = alert.reason;
  doc["kibana.alert.workflow_status_updated_at"] = iso8601(alert.changed_at_ms);
  doc["kibana.alert.workflow_user"] =
      alert.changed_by.starts_with("user:") ? alert.changed_by.substr(5) : alert.changed_by;
  return dumped(doc);
}

Result<bool> each_match(Store& store, const Clock& clock, const AlertQuery& query,
                        const std::function<bool(const AlertView& alert, const std::string& document)>& take) {
  const int64_t end = clock.mono_ms() + kBudgetMs;
  const ir::OracleContext context{clock.wall_ms(), {}};
  bool whole_way = true;
  FB_TRY_VOID(Workflow(store).each(query.pick, [&](const AlertView& alert) {
    if (clock.mono_ms() > end) {
      whole_way = false;
      return false;
    }
    const std::string document = merged_document(alert);
    if (!query.exact) {
      const auto tree = parse_json_tree(document);
      if (!tree || !ir::matches(query.condition, *tree, context)) return true;
    }
    return take(alert, document);
  }));
  return whole_way;
}

Result<std::string> search_alerts(Store& store, const Clock& clock, std::string_view text) {
  const int64_t began = clock.mono_ms();
  const Json body = text.empty() ? Json::object() : parse_ordered_json(text);
  if (!body.is_object()) return bad("[request body]: is not a JSON object");
  static constexpr std::string_view kKnown[] = {"query",
                                                "aggs",
                                                "aggregations",
                                                "size",
                                                "from",
                                                "sort",
                                                "_source",
                                                "track_total_hits",
                                                "runtime_mappings",
                                                "fields",
                                                "kuery",
                                                "timeout",
                                                "version",
                                                "seq_no_primary_term"};
  for (const auto& [key, value] : body.items()) {
    if (std::find(std::begin(kKnown), std::end(kKnown), key) == std::end(kKnown)) {
      return bad(printable(key.substr(0, 60)) + ": there is no such key");
    }
  }
  if (const auto r = body.find("runtime_mappings"); r != body.end() && !r->empty()) {
    return bad("runtime_mappings: is not supported");
  }
  const auto asked = body.find("query");
  const auto kuery = body.find("kuery");
  if (asked != body.end() && kuery != body.end()) return bad("query, kuery: only one of them");
  if (kuery != body.end() && !kuery->is_string()) return bad("kuery: must be a string");
  auto query = kuery != body.end()
                   ? read_alert_kuery(kuery->get_ref<const std::string&>())
                   : read_alert_query(asked == body.end() || asked->is_null() ? "" : dumped(*asked), clock.wall_ms());
  if (!query) return bad(query.error());
  FB_TRY(const int64_t most_counted, hits_to_count(body));
  FB_TRY(const int64_t size, whole(body, "size", 10));
  FB_TRY(const int64_t from, whole(body, "from", 0));
  if (from + size > kMostHits) return bad("from + size: at most 10000");
  FB_TRY(const std::vector<SortKey> sort, read_sort(body.value("sort", Json())));
  FB_TRY(const SourceFilter source, read_source(body.value("_source", Json())));
  FB_TRY(std::vector<Agg> aggs, read_aggs(body.value("aggs", body.value("aggregations", Json()))));
  std::vector<std::string> fields;
  for (const Json& f : body.value("fields", Json::array())) {
    const Json name = f.is_object() ? f.value("field", Json()) : f;
    if (!name.is_string()) return bad("fields: a list of field names");
    fields.push_back(name.get<std::string>());
  }

  // What the record can count and page by itself.
  const bool by_time = sort.empty() || (sort.size() == 1 && sort[0].field == "@timestamp");
  const bool direct = query->exact && by_time && aggs.empty();
  std::vector<Hit> hits;
  int64_t total = 0;
  query->pick.newest_first = sort.empty() || !sort[0].ascending;
  if (direct) {
    FB_TRY(total, Workflow(store).count(query->pick));
    query->pick.limit = size;
    query->pick.skip = from;
  }
  const auto keep = static_cast<size_t>(from + size);
  bool counted_all = true;
  FB_TRY(
      const bool whole_way, each_match(store, clock, *query, [&](const AlertView& alert, const std::string& document) {
        if (!direct && total >= most_counted && by_time && aggs.empty() && hits.size() >= keep) {
          counted_all = false;
          return false;
        }
        if (!direct) ++total;
        Hit hit{alert.alert_id, document, {}};
        if (!aggs.empty() || !sort.empty()) {
          const Json doc = parse_ordered_json(document);
          for (Agg& agg : aggs) agg.take(values_of(doc, agg.field));
          for (const SortKey& key : sort) hit.keys.push_back(sort_key(doc, key));
        }
        if (direct || (by_time && hits.size() < keep)) {
          hits.push_back(std::move(hit));
        } else if (!by_time && keep > 0) {
          // A few more than are wanted, cut back now and then: memory follows the page, not the alerts.
          hits.push_back(std::move(hit));
          if (hits.size() >= 2 * keep + 1000) {
            std::stable_sort(hits.begin(), hits.end(), [&](const Hit& a, const Hit& b) { return before(a, b, sort); });
            hits.resize(keep);
          }
        }
        return true;
      }));
  if (!by_time) {
    std::stable_sort(hits.begin(), hits.end(), [&](const Hit& a, const Hit& b) { return before(a, b, sort); });
  }
  std::string list;
  const size_t first = direct ? 0 : static_cast<size_t>(from);
  for (size_t i = first; i < hits.size() && i < first + static_cast<size_t>(size); ++i) {
    Json head{{"_index", kAlertIndex}, {"_id", hits[i].id}, {"_score", nullptr}};
    const bool cut = !source.includes.empty() || !source.excludes.empty();
    if (cut || !fields.empty()) {
      const Json doc = parse_ordered_json(hits[i].document);
      if (!fields.empty()) {
        Json named = Json::object();
        for (const std::string& f : fields) {
          if (std::vector<Json> values = values_of(doc, f); !values.empty()) named[f] = std::move(values);
        }
        head["fields"] = std::move(named);
      }
      if (cut && !source.none) head["_source"] = filtered(doc, "", source);
    }
    if (!sort.empty()) head["sort"] = hits[i].keys;
    std::string one = dumped(head);
    if (!cut && !source.none) {
      one.pop_back();
      one += ",\"_source\":" + hits[i].document + "}";
    }
    list += (list.empty() ? "" : ",") + one;
  }
  Json answer{{"took", clock.mono_ms() - began},
              {"timed_out", !whole_way},
              {"_shards", {{"total", 1}, {"successful", 1}, {"skipped", 0}, {"failed", 0}}}};
  std::string out = dumped(answer);
  out.pop_back();
  out += ",\"hits\":{";
  if (body.value("track_total_hits", Json(true)) != false) {
    out += "\"total\":{\"value\":" + std::to_string(total) + ",\"relation\":\"" +
           (whole_way && counted_all ? "eq" : "gte") + "\"},";
  }
  out += "\"max_score\":null,\"hits\":[" + list + "]}";
  if (!aggs.empty()) {
    Json named = Json::object();
    for (const Agg& agg : aggs) named[agg.name] = answer_of(agg);
    out += ",\"aggregations\":" + dumped(named);
  }
  return out + "}";
}

}  // namespace fb::api
