// firebreak audit verify and list: the audit chain in the record, opened read-only, whether the service runs or not.
#include <algorithm>
#include <cstdio>
#include <map>

#include "apps/firebreak/action_view.h"
#include "apps/firebreak/client.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/service_files.h"
#include "apps/firebreak/terminal.h"
#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/config/config.h"
#include "engine/record/queries.h"

namespace fb::cli {
namespace {

constexpr int64_t kPage = 1000;
constexpr int64_t kMostActions = 100'000;

// The database that is meant, or the exit code.
tl::expected<std::string, int> database_of(const AuditOptions& options) {
  if (!options.db.empty()) return options.db;
  if (options.connect.config.empty()) return ServiceFiles(default_data_dir()).database;
  const Config::Loaded loaded = Config::load(options.connect.config);
  if (!loaded.ok()) {
    return tl::unexpected<int>(complain(loaded.problems[0].file + ": " + loaded.problems[0].message, kCantRun));
  }
  return ServiceFiles(loaded.config.text("data_dir")).database;
}

// What to look for.
struct Wanted {
  std::string from;  // ISO 8601 UTC in ms, so that texts compare as times do; "" = any
  std::string actor;
  std::string endpoint_id;
  std::vector<std::string> action_ids;  // of that endpoint, sorted

  bool takes(const record::AuditRow& row) const {
    if (row.at < from) return false;
    if (!actor.empty() && row.actor.find(actor) == std::string::npos) return false;
    if (endpoint_id.empty()) return true;
    return row.ref == endpoint_id || row.actor == "agent:" + endpoint_id ||
           std::binary_search(action_ids.begin(), action_ids.end(), row.ref);
  }
};

Result<Wanted> wanted_of(const AuditOptions& options, record::Reader& reader) {
  Wanted wanted;
  wanted.actor = options.actor;
  if (!options.since.empty()) {
    FB_TRY(const int64_t since, since_ms(options.since));
    wanted.from = iso8601(since);
  }
  if (options.host.empty()) return wanted;
  FB_TRY(const std::vector<record::EndpointRow> hosts, reader.find_endpoints(options.host));
  if (hosts.empty()) return fail(ErrorCode::not_found, "no endpoint is called '" + options.host + "'");
  if (hosts.size() > 1) {
    std::string all;
    for (const record::EndpointRow& e : hosts) all += (all.empty() ? "" : ", ") + e.endpoint_id;
    return fail(ErrorCode::conflict,
                std::to_string(hosts.size()) + " endpoints are called '" + options.host + "': " + all);
  }
  wanted.endpoint_id = hosts[0].endpoint_id;
  record::ActionFilter filter;
  filter.endpoint_ids = {wanted.endpoint_id};
  filter.limit = kMostActions;
  FB_TRY(const std::vector<record::ActionRow> actions, reader.actions(filter));
  for (const record::ActionRow& a : actions) wanted.action_ids.push_back(a.action_id);
  std::sort(wanted.action_ids.begin(), wanted.action_ids.end());
  return wanted;
}

// The newest that fit, newest first. Rows have the numbers 1, 2, 3, ...; read from the end in pages, so that the usual
// question about the last hours does not read the whole chain.
Result<std::vector<record::AuditRow>> newest_rows(record::Reader& reader, const Wanted& wanted, size_t limit) {
  FB_TRY(const record::RecordCounts counts, reader.counts());
  std::vector<record::AuditRow> out;
  for (int64_t end = counts.audit_rows; end > 0 && out.size() < limit; end -= kPage) {
    const int64_t begin = std::max<int64_t>(0, end - kPage);
    FB_TRY(std::vector<record::AuditRow> page, reader.audit(begin, end - begin));
    bool all_older = true;
    for (auto row = page.rbegin(); row != page.rend() && out.size() < limit; ++row) {
      all_older = all_older && row->at < wanted.from;
      if (wanted.takes(*row)) out.push_back(std::move(*row));
    }
    // A clock may have been set back for a while, hardly for a whole page.
    if (all_older) break;
  }
  return out;
}

// Which host a row is about, where its reference is an endpoint or an action on one.
Result<std::map<std::string, std::string>> hosts_of(record::Reader& reader, const std::vector<record::AuditRow>& rows) {
  std::map<std::string, std::string> names;  // by endpoint id
  FB_TRY(const std::vector<record::EndpointRow> endpoints, reader.endpoints());
  for (const record::EndpointRow& e : endpoints) names[e.endpoint_id] = e.hostname.empty() ? e.endpoint_id : e.hostname;
  record::ActionFilter filter;
  for (const record::AuditRow& row : rows) {
    if (row.ref.size() == 64) filter.action_ids.push_back(row.ref);
  }
  if (filter.action_ids.empty()) return names;
  filter.limit = static_cast<int64_t>(filter.action_ids.size());
  FB_TRY(const std::vector<record::ActionRow> actions, reader.actions(filter));
  for (const record::ActionRow& a : actions) {
    const auto name = names.find(a.endpoint_id);
    names[a.action_id] = name == names.end() ? a.endpoint_id : name->second;
  }
  return names;
}

}  // namespace

int run_audit_verify(const AuditOptions& options) {
  const auto db = database_of(options);
  if (!db) return db.error();
  const auto verdict = record::verify_audit(*db);
  if (!verdict) return complain(verdict.error(), kCantRun);
  if (options.format == Format::json) {
    const nlohmann::ordered_json line{
        {"ok", verdict->ok},
        {"rows", verdict->rows},
        {"head", verdict->head},
        {"bad_seq", verdict->ok ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(verdict->bad_seq)},
        {"message", verdict->why}};
    std::printf("%s\n", line.dump().c_str());
  } else if (verdict->ok) {
    std::printf("%s: %s rows, every link holds\nhead %s\n", db->c_str(),
                grouped(static_cast<uint64_t>(verdict->rows)).c_str(), verdict->head.c_str());
  } else {
    std::printf("%s\n", paint(Paint::red, "seq " + std::to_string(verdict->bad_seq) + ": " + verdict->why).c_str());
    std::printf("the %s rows before it are good\n", grouped(static_cast<uint64_t>(verdict->rows)).c_str());
  }
  return verdict->ok ? kDone : kFound;
}

int run_audit_list(const AuditOptions& options) {
  const auto db = database_of(options);
  if (!db) return db.error();
  auto reader = record::Reader::open(*db);
  if (!reader) return complain(reader.error(), kCantRun);
  const auto wanted = wanted_of(options, **reader);
  if (!wanted) return complain(wanted.error(), exit_code_of(wanted.error()));
  const auto rows = newest_rows(**reader, *wanted, static_cast<size_t>(options.limit));
  if (!rows) return complain(rows.error(), kCantRun);
  if (options.format == Format::json) {
    for (const record::AuditRow& row : *rows) std::printf("%s\n", record::json_line(row).c_str());
    return kDone;
  }
  if (rows->empty()) {
    std::printf("no row of the audit fits\n");
    return kDone;
  }
  const auto hosts = hosts_of(**reader, *rows);
  if (!hosts) return complain(hosts.error(), kCantRun);
  Table table({"TIME", "SEQ", "WHO", "WHAT", "HOST", "ABOUT", "DETAIL"});
  for (const record::AuditRow& row : *rows) {
    const auto host = hosts->find(row.ref);
    const auto shown = [](const std::string& text, size_t most) { return text.empty() ? "-" : shortened(text, most); };
    table.row({time_or_ago(row.at, INT64_MIN), std::to_string(row.seq), shown(row.actor, 40), shown(row.what, 30),
               host == hosts->end() ? "-" : shortened(host->second, 30), shown(row.ref, row.ref.size() == 64 ? 13 : 36),
               shown(row.detail, 80)});
  }
  table.print();
  return kDone;
}

}  // namespace fb::cli
