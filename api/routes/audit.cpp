// The audit: who did what, when, in a chain of hashes; and whether the chain holds.
#include <charconv>

#include "api/api.h"
#include "api/router.h"
#include "api/routes/answers.h"
#include "engine/base/json.h"
#include "engine/record/queries.h"

namespace fb::api {
namespace {

constexpr int64_t kDefaultLimit = 100;
constexpr int64_t kMaxLimit = 10'000;

std::optional<int64_t> number(const std::string& text, int64_t otherwise, int64_t most) {
  if (text.empty()) return otherwise;
  int64_t v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc() || end != text.data() + text.size() || v < 0 || v > most) return std::nullopt;
  return v;
}

net::Response rows(const Call& call) {
  const auto after = number(call.query("after"), 0, INT64_MAX);
  const auto limit = number(call.query("limit"), kDefaultLimit, kMaxLimit);
  if (!after || !limit) return problem(400, "after takes a row's number, limit one from 0 to 10000");
  auto reader = call.reader();
  if (!reader) return failed(reader.error());
  const auto found = (*reader)->audit(*after, *limit);
  if (!found) return failed(found.error());
  std::string body;
  for (const record::AuditRow& row : *found) body += record::json_line(row) + '\n';
  return ndjson(std::move(body));
}

net::Response verify(const Call& call) {
  const auto verdict = record::verify_audit(call.parts.store.db_path());
  if (!verdict) return failed(verdict.error());
  using Json = nlohmann::ordered_json;
  return json(200, Json{{"ok", verdict->ok},
                        {"rows", verdict->rows},
                        {"head", verdict->head},
                        {"bad_seq", verdict->ok ? Json(nullptr) : Json(verdict->bad_seq)},
                        {"message", verdict->why}}
                       .dump());
}

}  // namespace

void add_audit_routes(Router& router) {
  router.add("GET", "/api/firebreak/audit", Privilege::audit_read, rows);
  router.add("GET", "/api/firebreak/audit/verify", Privilege::audit_read, verify).slow();
}

}  // namespace fb::api
