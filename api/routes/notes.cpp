// Notes on alerts: written, found in pages, deleted.
#include <algorithm>
#include <string_view>

#include "api/api.h"
#include "api/response/query_values.h"
#include "api/router.h"
#include "api/routes/answers.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/ir/typed.h"
#include "engine/record/workflow.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

bool is_texts(const Json& v) {
  return v.is_array() && std::all_of(v.begin(), v.end(), [](const Json& s) {
           return s.is_string() && !s.get_ref<const std::string&>().empty() &&
                  s.get_ref<const std::string&>().size() <= 1024;
         });
}

Json note_json(const AlertNote& note) {
  const auto who = [](const std::string& name) { return name.starts_with("user:") ? name.substr(5) : name; };
  return Json{{"noteId", note.id},
              {"version", std::to_string(note.updated_at_ms)},
              {"eventId", note.alert_id},
              {"timelineId", ""},
              {"note", note.text},
              {"created", note.created_at_ms},
              {"createdBy", who(note.created_by)},
              {"updated", note.updated_at_ms},
              {"updatedBy", who(note.updated_by)}};
}

net::Response put_note(const Call& call) {
  const Json body = parse_ordered_json(call.request.body);
  const auto text = [](const Json& object, const char* key) {
    const auto it = object.find(key);
    return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
  };
  if (!body.is_object() || !body.contains("note") || !body["note"].is_object()) {
    return problem(400, "[request body]: note: Required");
  }
  const Json& note = body["note"];
  const std::string id = text(body, "noteId");
  if (text(note, "note").empty() || (id.empty() && text(note, "eventId").empty())) {
    return problem(400, "[request body]: note: takes a text (note) and an alert (eventId)");
  }
  const auto kept = Workflow(call.parts.store).put_note(id, text(note, "eventId"), text(note, "note"), call.actor());
  if (!kept) return failed(kept.error());
  return json(200, dumped(Json{{"note", note_json(*kept)}}));
}

// By a field of the answer; notes that are alike there stay oldest first.
bool sort_notes(std::vector<AlertNote>& notes, const std::string& field, bool ascending) {
  const auto by = [&](auto key) {
    std::stable_sort(notes.begin(), notes.end(), [&](const AlertNote& a, const AlertNote& b) {
      return ascending ? key(a) < key(b) : key(b) < key(a);
    });
    return true;
  };
  if (field == "created") return by([](const AlertNote& n) { return n.created_at_ms; });
  if (field == "updated") return by([](const AlertNote& n) { return n.updated_at_ms; });
  if (field == "createdBy") return by([](const AlertNote& n) { return n.created_by; });
  if (field == "updatedBy") return by([](const AlertNote& n) { return n.updated_by; });
  if (field == "note") return by([](const AlertNote& n) { return n.text; });
  if (field == "eventId") return by([](const AlertNote& n) { return n.alert_id; });
  return false;
}

std::string folded(std::string_view text) {
  std::string out;
  ir::fold_case(text, out);
  return out;
}

net::Response list_notes(const Call& call) {
  constexpr int64_t kUsualPage = 10;    // as Kibana's
  constexpr int64_t kPageOfIds = 1000;  // the same, when documents are named
  constexpr int64_t kMostPerPage = 10'000;
  const auto asked =
      QueryValues::read(call.request.target, {"documentIds", "savedObjectIds", "page", "perPage", "search", "sortField",
                                              "sortOrder", "filter", "createdByFilter", "associatedFilter"});
  if (!asked) return problem(400, asked.error().message);
  const std::vector<std::string> ids = asked->list("documentIds");
  const auto page = asked->number("page", 1, 1, 1'000'000);
  if (!page) return problem(400, page.error().message);
  const auto per_page = asked->number("perPage", ids.empty() ? kUsualPage : kPageOfIds, 0, kMostPerPage);
  if (!per_page) return problem(400, per_page.error().message);
  const std::string order = asked->has("sortOrder") ? asked->text("sortOrder") : "asc";
  if (order != "asc" && order != "desc") return problem(400, "[request query.sortOrder]: must be asc or desc");
  if (!asked->text("filter").empty()) return problem(400, "[request query.filter]: is not supported; use search");
  const std::string about = asked->has("associatedFilter") ? asked->text("associatedFilter") : "all";
  static constexpr std::string_view kAbout[] = {"all", "document_only", "saved_object_only",
                                                "document_and_saved_object", "orphan"};
  if (std::find(std::begin(kAbout), std::end(kAbout), about) == std::end(kAbout)) {
    return problem(400, "[request query.associatedFilter]: there is no such word");
  }

  auto notes = Workflow(call.parts.store).notes(ids);
  if (!notes) return failed(notes.error());
  const std::string wanted = folded(asked->text("search"));
  const std::string author = asked->text("createdByFilter");
  std::erase_if(*notes, [&](const AlertNote& note) {
    // Every note is about an alert, and none about a timeline.
    if (about != "all" && about != "document_only") return true;
    if (asked->has("savedObjectIds") && ids.empty()) return true;
    if (!author.empty() && note.created_by != author && note.created_by != "user:" + author) return true;
    return !wanted.empty() && folded(note.text).find(wanted) == std::string::npos;
  });
  if (asked->has("sortField") && !sort_notes(*notes, asked->text("sortField"), order == "asc")) {
    return problem(400, "[request query.sortField]: one of created, updated, createdBy, updatedBy, note, eventId");
  }
  if (!asked->has("sortField") && order == "desc") std::reverse(notes->begin(), notes->end());
  Json list = Json::array();
  const auto first = static_cast<size_t>((*page - 1) * *per_page);
  for (size_t i = first; i < notes->size() && i < first + static_cast<size_t>(*per_page); ++i) {
    list.push_back(note_json((*notes)[i]));
  }
  return json(200, dumped(Json{{"totalCount", notes->size()}, {"notes", std::move(list)}}));
}

net::Response remove_notes(const Call& call) {
  const Json body = parse_ordered_json(call.request.body);
  std::vector<std::string> ids;
  if (body.is_object() && body.contains("noteId") && body["noteId"].is_string()) ids.push_back(body["noteId"]);
  if (body.is_object() && body.contains("noteIds") && is_texts(body["noteIds"])) {
    ids = body["noteIds"].get<std::vector<std::string>>();
  }
  if (ids.empty()) return problem(400, "[request body]: noteId or noteIds: Required");
  // Whoever manages people may take away what one of them wrote.
  const bool of_others = call.who.may(Privilege::users_manage);
  const auto removed = Workflow(call.parts.store).remove_notes(ids, call.actor(), of_others);
  if (!removed) return failed(removed.error());
  return json(200, "{}");
}

}  // namespace

void add_notes_routes(Router& router) {
  router.add("PATCH", "/api/note", Privilege::alerts_write, put_note);
  router.add("GET", "/api/note", Privilege::alerts_read, list_notes);
  router.add("DELETE", "/api/note", Privilege::alerts_write, remove_notes);
}

}  // namespace fb::api
