#include "api/signals/search.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <span>

#include "api/page_room.h"
#include "api/signals/aggregations.h"
#include "api/signals/fields.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/json_text.h"
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
constexpr size_t kReadAtOnce = 100;          // documents of a sorted page

tl::unexpected<Error> bad(std::string message) {
  return fail(ErrorCode::invalid_argument, std::move(message));
}

struct SortKey {
  std::string field;
  bool ascending = false;
  bool missing_first = false;
};

Result<std::vector<SortKey>> read_sort(const Json& sort) {
  std::vector<SortKey> keys;
  const auto one = [&](const Json& s, const std::string& at) -> Status {
    if (s.is_string()) {
      // name, or as in a query string name:desc
      std::string name = s.get<std::string>();
      bool ascending = name != "_score";
      for (const char* order : {":asc", ":desc"}) {
        if (!name.ends_with(order)) continue;
        ascending = order == std::string_view(":asc");
        name.resize(name.size() - std::string_view(order).size());
      }
      keys.push_back({alert_field(name), ascending, false});
      return {};
    }
    if (!s.is_object() || s.size() != 1) return bad(at + ": a sort is a field or {field: order}");
    const Json& how = s.begin().value();
    const Json order = how.is_object() ? how.value("order", Json("asc")) : how;
    if (order != "asc" && order != "desc") return bad(at + ": the order is asc or desc");
    const Json missing = how.is_object() ? how.value("missing", Json("_last")) : Json("_last");
    if (missing != "_first" && missing != "_last") return bad(at + ": missing is _first or _last");
    const std::string& field = s.begin().key();
    if (field.starts_with('_') && field != "_id" && field != "_score" && field != "_doc") {
      return bad(at + ": there is no sort by '" + printable(field.substr(0, 60)) + "'");
    }
    keys.push_back({alert_field(field), order == "asc", missing == "_first"});
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

// Numbers before texts.
int compared(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) return a < b ? -1 : b < a ? 1 : 0;
  if (a.is_number() != b.is_number()) return a.is_number() ? -1 : 1;
  const std::string x = a.is_string() ? a.get<std::string>() : a.dump();
  const std::string y = b.is_string() ? b.get<std::string>() : b.dump();
  return x < y ? -1 : y < x ? 1 : 0;
}

struct Hit {
  std::string id;
  std::vector<Json> keys;  // of the sort; null = missing
};

size_t bytes_of(const Hit& hit) {
  size_t all = sizeof(Hit) + hit.id.size() + hit.keys.size() * sizeof(Json);
  for (const Json& key : hit.keys) all += key.is_string() ? key.get_ref<const std::string&>().size() : 0;
  return all;
}

bool before(const Hit& a, const Hit& b, const std::vector<SortKey>& sort) {
  for (size_t i = 0; i < sort.size(); ++i) {
    if (a.keys[i].is_null() != b.keys[i].is_null()) return a.keys[i].is_null() == sort[i].missing_first;
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

// "fields": names and patterns, with or without a format.
struct FieldAsked {
  std::string pattern;
  bool epoch_millis = false;
};

Result<std::vector<FieldAsked>> read_fields(const Json& fields) {
  std::vector<FieldAsked> out;
  for (const Json& f : fields.is_array() ? fields : Json::array({fields})) {
    if (f.is_null()) continue;
    FieldAsked asked;
    const Json name = f.is_object() ? f.value("field", Json()) : f;
    if (!name.is_string()) return bad("fields: a list of field names");
    asked.pattern = name.get<std::string>();
    if (f.is_object()) {
      const std::string format = f.contains("format") && f["format"].is_string() ? f["format"].get<std::string>() : "";
      asked.epoch_millis = format == "epoch_millis";
      if (!format.empty() && !asked.epoch_millis && !format.starts_with("strict_date") &&
          !format.starts_with("date_")) {
        return bad("fields: the format '" + printable(format.substr(0, 60)) + "' is not supported");
      }
    }
    out.push_back(std::move(asked));
  }
  return out;
}

Json fields_of(const Json& doc, const std::vector<FieldAsked>& asked) {
  Json out = Json::object();
  for (const FieldAsked& f : asked) {
    for (const std::string& name : fields_like(doc, f.pattern)) {
      std::vector<Json> values = values_of(doc, alert_field(name));
      if (values.empty()) values = values_of(doc, name);  // the event's own field of that name
      if (values.empty()) continue;
      for (Json& v : values) {
        const auto ms =
            f.epoch_millis && v.is_string() ? ir::parse_date_value(v.get_ref<const std::string&>()) : std::nullopt;
        if (ms) v = std::to_string(*ms);  // as Elasticsearch: a text
      }
      out[name] = std::move(values);
    }
  }
  return out;
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

// The hits of an answer, as they are sent. What is too much for one answer is left out, and `cut` says so.
class Page {
 public:
  Page(SourceFilter source, std::vector<FieldAsked> fields, bool sorted, size_t most_hits, size_t most_bytes)
      : source_(std::move(source)),
        fields_(std::move(fields)),
        sorted_(sorted),
        most_hits_(most_hits),
        most_bytes_(most_bytes) {}

  bool cut = false;

  void add(const Hit& hit, const std::string& document) {
    if (cut) return;
    const bool in_part = !source_.includes.empty() || !source_.excludes.empty();
    std::string one;
    JsonText head(one);
    head.begin().text("_index", kAlertIndex).text("_id", hit.id).null("_score");
    if (in_part || !fields_.empty()) {
      const Json doc = parse_ordered_json(document);
      if (!fields_.empty()) head.json("fields", dumped(fields_of(doc, fields_)));
      if (in_part && !source_.none) head.json("_source", dumped(filtered(doc, "", source_)));
    }
    if (sorted_) {
      head.begin_array("sort");
      for (const Json& key : hit.keys) head.json_item(dumped(key));
      head.end_array();
    }
    head.end();
    const bool whole = !in_part && !source_.none;
    constexpr std::string_view kSource = ",\"_source\":";
    if (!list_.empty() && list_.size() + one.size() + (whole ? kSource.size() + document.size() : 0) > most_bytes_) {
      cut = true;
      return;
    }
    if (list_.empty()) {
      make_room_for_page(list_, one.size() + (whole ? document.size() : 0), most_hits_);
    } else {
      list_ += ',';
    }
    list_ += one;
    if (!whole) return;
    list_.back() = ',';
    list_ += kSource.substr(1);
    list_ += document;
    list_ += '}';
  }
  std::string take_list() { return std::move(list_); }

 private:
  SourceFilter source_;
  std::vector<FieldAsked> fields_;
  bool sorted_;
  size_t most_hits_;
  size_t most_bytes_;
  std::string list_;
};

// The best hits by the sort: no more than a few beside those that are wanted, and no documents.
class Best {
 public:
  Best(const std::vector<SortKey>& sort, size_t keep, size_t most_bytes)
      : sort_(sort), keep_(keep), most_bytes_(most_bytes) {}

  // False: what there is to sort by is too much.
  bool take(Hit hit) {
    if (keep_ == 0) return true;
    bytes_ += bytes_of(hit);
    hits_.push_back(std::move(hit));
    if (hits_.size() < 2 * keep_ + 1000 && bytes_ <= most_bytes_) return true;
    cut_back();
    return bytes_ <= most_bytes_;
  }
  const std::vector<Hit>& sorted() {
    cut_back();
    return hits_;
  }

 private:
  void cut_back() {
    std::stable_sort(hits_.begin(), hits_.end(), [&](const Hit& a, const Hit& b) { return before(a, b, sort_); });
    if (hits_.size() > keep_) hits_.resize(keep_);
    bytes_ = 0;
    for (const Hit& hit : hits_) bytes_ += bytes_of(hit);
  }

  const std::vector<SortKey>& sort_;
  size_t keep_;
  size_t most_bytes_;
  size_t bytes_ = 0;
  std::vector<Hit> hits_;
};

// The documents of these hits onto the page. One that is gone meanwhile is left out.
Status read_page(Store& store, std::span<const Hit> hits, Page& page) {
  for (size_t first = 0; first < hits.size() && !page.cut; first += kReadAtOnce) {
    const auto some = hits.subspan(first, std::min(kReadAtOnce, hits.size() - first));
    AlertPick pick;
    std::map<std::string_view, std::string> documents;
    for (const Hit& hit : some) {
      pick.alert_ids.push_back(hit.id);
      documents.emplace(hit.id, "");
    }
    FB_TRY_VOID(Workflow(store).each(pick, [&](const AlertView& alert) {
      if (const auto it = documents.find(alert.alert_id); it != documents.end()) it->second = merged_document(alert);
      return true;
    }));
    for (const Hit& hit : some) {
      if (const std::string& document = documents.find(hit.id)->second; !document.empty()) page.add(hit, document);
    }
  }
  return {};
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
    std::string merged;
    if (alert.noted) merged = merged_document(alert);
    const std::string& document = alert.noted ? merged : alert.doc;
    if (!query.exact) {
      const auto tree = parse_json_tree(document);
      if (!tree || !ir::matches(query.condition, *tree, context)) return true;
    }
    return take(alert, document);
  }));
  return whole_way;
}

Result<std::string> search_alerts(Store& store, const Clock& clock, std::string_view text, size_t page_bytes) {
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
  FB_TRY(Aggregations aggs,
         Aggregations::read(body.value("aggs", body.value("aggregations", Json())), clock.wall_ms()));
  FB_TRY(const std::vector<FieldAsked> fields, read_fields(body.value("fields", Json())));

  // What the record can count and page by itself.
  const bool by_time = sort.empty() || (sort.size() == 1 && sort[0].field == "@timestamp");
  const bool direct = query->exact && by_time && aggs.empty();
  int64_t total = 0;
  query->pick.newest_first = sort.empty() || !sort[0].ascending;
  if (direct) {
    FB_TRY(total, Workflow(store).count(query->pick));
    query->pick.limit = size;
    query->pick.skip = from;
  }
  const auto keep = static_cast<size_t>(from + size);
  const size_t first = direct ? 0 : static_cast<size_t>(from);
  Page page(source, fields, !sort.empty(), static_cast<size_t>(size), page_bytes);
  Best best(sort, keep, page_bytes);
  size_t seen = 0;
  bool counted_all = true;
  bool sorted_all = true;
  FB_TRY(const bool in_time, each_match(store, clock, *query, [&](const AlertView& alert, const std::string& document) {
           if (!direct && total >= most_counted && by_time && aggs.empty() && seen >= keep) {
             counted_all = false;
             return false;
           }
           if (!direct) ++total;
           Hit hit{alert.alert_id, {}};
           if (by_time && aggs.empty()) {
             if (!sort.empty()) hit.keys.emplace_back(iso8601(alert.read_time_ms));  // what its document says
           } else {
             const Json doc = parse_ordered_json(document);
             aggs.take(doc, document);
             for (const SortKey& key : sort) hit.keys.push_back(sort_key(doc, key));
           }
           if (!by_time) {
             sorted_all = best.take(std::move(hit));
             return sorted_all;
           }
           if (direct || (seen >= first && seen < keep)) page.add(hit, document);
           ++seen;
           return !(direct && page.cut);
         }));
  if (!by_time) {
    const std::span<const Hit> hits(best.sorted());
    FB_TRY_VOID(read_page(store, hits.subspan(std::min(first, hits.size())), page));
  }
  const bool whole_way = in_time && sorted_all;
  Json answer{{"took", clock.mono_ms() - began},
              {"timed_out", !whole_way || page.cut},
              {"_shards", {{"total", 1}, {"successful", 1}, {"skipped", 0}, {"failed", 0}}}};
  std::string out = dumped(answer);
  out.pop_back();
  out += ",\"hits\":{";
  if (body.value("track_total_hits", Json(true)) != false) {
    // What is told ends where counting was to end, even if more of them were counted at no cost.
    const bool exactly = whole_way && counted_all && total <= most_counted;
    out += "\"total\":{\"value\":" + std::to_string(std::min(total, most_counted)) + ",\"relation\":\"" +
           (exactly ? "eq" : "gte") + "\"},";
  }
  out += "\"max_score\":null,\"hits\":[";
  // The list is most of the answer: it stays where it was written, and what goes before it is put there.
  std::string list = page.take_list();
  list.insert(0, out);
  out = std::move(list);
  out += "]}";
  if (!aggs.empty()) {
    FB_TRY(const Json named, aggs.answer());
    out += ",\"aggregations\":" + dumped(named);
  }
  return out + "}";
}

}  // namespace fb::api
