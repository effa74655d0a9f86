// firebreak audit verify and list: the audit chain, from a service's API or from the record, opened read-only.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <set>

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
constexpr int64_t kActionsPage = 10'000;
constexpr size_t kMostSingleActions = 100;   // more are asked for as a list
constexpr int kVerifyTimeoutMs = 3'600'000;  // every row is read
constexpr int kProbeTimeoutMs = 5'000;

// One host and what was done to it.
struct Host {
  std::string endpoint_id;
  std::vector<std::string> action_ids;
};

// The chain, wherever it is read.
class Chain {
 public:
  virtual ~Chain() = default;
  virtual std::string where() const = 0;
  virtual Result<record::AuditVerdict> verify() = 0;
  virtual Result<std::vector<record::AuditRow>> rows(int64_t after, int64_t limit) = 0;
  // No row has a higher number, and one has a number of the page before it.
  virtual Result<int64_t> end() = 0;
  // One alone, as a person names it.
  virtual Result<Host> host(const std::string& name) = 0;
  // Host names by endpoint id and by the ids of these actions.
  virtual Result<std::map<std::string, std::string>> names(const std::set<std::string>& action_ids) = 0;
};

class FileChain final : public Chain {
 public:
  explicit FileChain(std::string db) : db_(std::move(db)) {}

  std::string where() const override { return db_; }
  Result<record::AuditVerdict> verify() override { return record::verify_audit(db_); }

  Result<std::vector<record::AuditRow>> rows(int64_t after, int64_t limit) override {
    FB_TRY(record::Reader* const reader, opened());
    return reader->audit(after, limit);
  }

  Result<int64_t> end() override {
    FB_TRY(record::Reader* const reader, opened());
    FB_TRY(const record::RecordCounts counts, reader->counts());
    return counts.audit_rows;  // they have the numbers 1, 2, 3, ...
  }

  Result<Host> host(const std::string& name) override {
    FB_TRY(record::Reader* const reader, opened());
    FB_TRY(const std::vector<record::EndpointRow> hosts, reader->find_endpoints(name));
    if (hosts.empty()) return fail(ErrorCode::not_found, "no endpoint is called '" + name + "'");
    if (hosts.size() > 1) {
      std::string all;
      for (const record::EndpointRow& e : hosts) all += (all.empty() ? "" : ", ") + e.endpoint_id;
      return fail(ErrorCode::conflict, std::to_string(hosts.size()) + " endpoints are called '" + name + "': " + all);
    }
    Host out{hosts[0].endpoint_id, {}};
    record::ActionFilter filter;
    filter.endpoint_ids = {out.endpoint_id};
    filter.limit = kMostActions;
    FB_TRY(const std::vector<record::ActionRow> actions, reader->actions(filter));
    for (const record::ActionRow& a : actions) out.action_ids.push_back(a.action_id);
    return out;
  }

  Result<std::map<std::string, std::string>> names(const std::set<std::string>& action_ids) override {
    FB_TRY(record::Reader* const reader, opened());
    std::map<std::string, std::string> names;
    FB_TRY(const std::vector<record::EndpointRow> endpoints, reader->endpoints());
    for (const record::EndpointRow& e : endpoints) {
      names[e.endpoint_id] = e.hostname.empty() ? e.endpoint_id : e.hostname;
    }
    if (action_ids.empty()) return names;
    record::ActionFilter filter;
    filter.action_ids.assign(action_ids.begin(), action_ids.end());
    filter.limit = static_cast<int64_t>(action_ids.size());
    FB_TRY(const std::vector<record::ActionRow> actions, reader->actions(filter));
    for (const record::ActionRow& a : actions) {
      const auto name = names.find(a.endpoint_id);
      names[a.action_id] = name == names.end() ? a.endpoint_id : name->second;
    }
    return names;
  }

 private:
  Result<record::Reader*> opened() {
    if (reader_ == nullptr) {
      FB_TRY(reader_, record::Reader::open(db_));
    }
    return reader_.get();
  }

  std::string db_;
  std::unique_ptr<record::Reader> reader_;
};

std::string filled(const Json& line, const char* key) {
  const auto at = line.find(key);
  return at != line.end() && at->is_string() ? at->get<std::string>() : std::string();
}

int64_t number_of(const Json& line, const char* key) {
  const auto at = line.find(key);
  return at != line.end() && at->is_number_integer() ? at->get<int64_t>() : 0;
}

Result<std::vector<Json>> objects_of(const std::string& ndjson) {
  std::vector<Json> out;
  for (size_t at = 0; at < ndjson.size();) {
    const size_t end = std::min(ndjson.find('\n', at), ndjson.size());
    Json line = parse_ordered_json(std::string_view(ndjson).substr(at, end - at));
    at = end + 1;
    if (!line.is_object()) return fail(ErrorCode::corrupt, "the service's answer is not JSON");
    out.push_back(std::move(line));
  }
  return out;
}

class ServiceChain final : public Chain {
 public:
  explicit ServiceChain(ApiClient client) : client_(std::move(client)) {}

  std::string where() const override { return client_.where(); }

  Result<record::AuditVerdict> verify() override {
    FB_TRY(const std::string body, client_.get("/api/firebreak/audit/verify"));
    const Json answer = parse_ordered_json(body);
    const auto ok = answer.is_object() ? answer.find("ok") : answer.end();
    if (!answer.is_object() || ok == answer.end() || !ok->is_boolean()) {
      return fail(ErrorCode::corrupt, "the service's answer is no verdict", where());
    }
    record::AuditVerdict verdict;
    verdict.ok = ok->get<bool>();
    verdict.rows = number_of(answer, "rows");
    verdict.head = filled(answer, "head");
    verdict.bad_seq = number_of(answer, "bad_seq");
    verdict.why = filled(answer, "message");
    return verdict;
  }

  Result<std::vector<record::AuditRow>> rows(int64_t after, int64_t limit) override {
    FB_TRY(const std::vector<Json> lines,
           ask("/api/firebreak/audit?after=" + std::to_string(after) + "&limit=" + std::to_string(limit)));
    std::vector<record::AuditRow> out;
    for (const Json& line : lines) {
      out.push_back({number_of(line, "seq"), filled(line, "at"), filled(line, "actor"), filled(line, "what"),
                     filled(line, "ref"), filled(line, "detail"), filled(line, "hash")});
    }
    return out;
  }

  // The API tells no count; asked by doubling and halving, which is some twenty small requests for a million rows.
  Result<int64_t> end() override {
    int64_t low = 0;
    int64_t high = kPage;
    for (;; low = high, high *= 2) {
      FB_TRY(const bool more, any_after(high));
      if (!more) break;
    }
    while (high - low > kPage) {
      const int64_t middle = low + (high - low) / 2;
      FB_TRY(const bool more, any_after(middle));
      (more ? low : high) = middle;
    }
    return high;
  }

  Result<Host> host(const std::string& name) override {
    FB_TRY(const std::vector<Json> found, ask("/api/firebreak/endpoints?host=" + url_encoded(name)));
    if (found.size() != 1) return fail(ErrorCode::not_found, "no endpoint is called '" + name + "'");
    Host out{filled(found[0], "endpoint_id"), {}};
    FB_TRY_VOID(each_action("&host=" + url_encoded(name),
                            [&](const Json& action) { out.action_ids.push_back(filled(action, "action_id")); }));
    return out;
  }

  // Names are an extra: what this key may not ask is left out.
  Result<std::map<std::string, std::string>> names(const std::set<std::string>& action_ids) override {
    std::map<std::string, std::string> names;
    if (const auto endpoints = ask("/api/firebreak/endpoints")) {
      for (const Json& e : *endpoints) {
        const std::string id = filled(e, "endpoint_id");
        const std::string name = filled(e, "hostname");
        names[id] = name.empty() ? id : name;
      }
    }
    const auto add = [&](const Json& action) {
      const std::string id = filled(action, "action_id");
      const std::string endpoint_id = filled(action, "endpoint_id");
      if (action_ids.count(id) == 0) return;
      const auto name = names.find(endpoint_id);
      names[id] = name == names.end() ? endpoint_id : name->second;
    };
    if (action_ids.size() > kMostSingleActions) {
      (void)each_action("", add);
      return names;
    }
    for (const std::string& id : action_ids) {
      const auto body = client_.get("/api/firebreak/actions/" + url_encoded(id));
      const Json action = body ? parse_ordered_json(*body) : Json();
      if (action.is_object()) add(action);
    }
    return names;
  }

 private:
  Result<std::vector<Json>> ask(const std::string& path) {
    FB_TRY(const std::string body, client_.get(path));
    return objects_of(body);
  }

  Result<bool> any_after(int64_t seq) {
    FB_TRY(const std::vector<record::AuditRow> found, rows(seq, 1));
    return !found.empty();
  }

  template <class Each>
  Status each_action(const std::string& filter, const Each& each) {
    for (int64_t skip = 0; skip < kMostActions; skip += kActionsPage) {
      FB_TRY(const std::vector<Json> page, ask("/api/firebreak/actions?limit=" + std::to_string(kActionsPage) +
                                               "&skip=" + std::to_string(skip) + filter));
      for (const Json& action : page) each(action);
      if (static_cast<int64_t>(page.size()) < kActionsPage) break;
    }
    return {};
  }

  ApiClient client_;
};

bool answers(const ConnectOptions& service) {
  auto client = ApiClient::connect(service, kProbeTimeoutMs);
  if (!client) return false;
  (void)client->get("/healthz");
  return client->last_status() != 0;
}

using ChainOrCode = tl::expected<std::unique_ptr<Chain>, int>;

ChainOrCode of_service(const ConnectOptions& service) {
  auto client = ApiClient::connect(service, kVerifyTimeoutMs);
  if (!client) return tl::unexpected<int>(complain(client.error(), kCantRun));
  return std::make_unique<ServiceChain>(std::move(*client));
}

// The chain that is meant, or the exit code. What is named decides, and no other chain takes its place: a verdict is
// worth nothing when it is on another record.
ChainOrCode chain_of(const AuditOptions& options) {
  const ConnectOptions& connect = options.connect;
  if (!options.db.empty()) {
    if (connect.socket.empty() && connect.url.empty() && connect.profile.empty()) {
      return std::make_unique<FileChain>(options.db);
    }
    return tl::unexpected<int>(complain(
        "--db reads a file and the others ask a service: give --db, or --socket, --url or --profile", kCantRun));
  }
  const Target target = target_of(connect);
  if (target.by != Target::By::config && target.by != Target::By::nothing) return of_service(connect);

  // A service of this machine; its record can be read while it is down.
  std::string data_dir = default_data_dir();
  if (target.by == Target::By::config) {
    const Config::Loaded loaded = Config::load(connect.config);
    if (!loaded.ok()) {
      return tl::unexpected<int>(complain(loaded.problems[0].file + ": " + loaded.problems[0].message, kCantRun));
    }
    data_dir = loaded.config.text("data_dir");
  }
  const ServiceFiles files(data_dir);
  ConnectOptions here;
  here.socket = files.socket;
  if (answers(here)) return of_service(here);
  std::error_code error;
  const bool is_meant = target.by == Target::By::config || std::filesystem::exists(files.database, error);
  if (!is_meant && ApiClient::connect(connect)) return of_service(connect);  // the current profile
  return std::make_unique<FileChain>(files.database);
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

Result<Wanted> wanted_of(const AuditOptions& options, Chain& chain) {
  Wanted wanted;
  wanted.actor = options.actor;
  if (!options.since.empty()) {
    FB_TRY(const int64_t since, since_ms(options.since));
    wanted.from = iso8601(since);
  }
  if (options.host.empty()) return wanted;
  FB_TRY(Host host, chain.host(options.host));
  wanted.endpoint_id = std::move(host.endpoint_id);
  wanted.action_ids = std::move(host.action_ids);
  std::sort(wanted.action_ids.begin(), wanted.action_ids.end());
  return wanted;
}

// The newest that fit, newest first; read from the end in pages, so that the usual question about the last hours does
// not read the whole chain.
Result<std::vector<record::AuditRow>> newest_rows(Chain& chain, const Wanted& wanted, size_t limit) {
  FB_TRY(const int64_t last, chain.end());
  std::vector<record::AuditRow> out;
  for (int64_t end = last; end > 0 && out.size() < limit; end -= kPage) {
    const int64_t begin = std::max<int64_t>(0, end - kPage);
    FB_TRY(std::vector<record::AuditRow> page, chain.rows(begin, end - begin));
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
Result<std::map<std::string, std::string>> hosts_of(Chain& chain, const std::vector<record::AuditRow>& rows) {
  std::set<std::string> action_ids;
  for (const record::AuditRow& row : rows) {
    if (row.ref.size() == 64) action_ids.insert(row.ref);
  }
  return chain.names(action_ids);
}

}  // namespace

int run_audit_verify(const AuditOptions& options) {
  const auto chain = chain_of(options);
  if (!chain) return chain.error();
  const auto verdict = (*chain)->verify();
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
    std::printf("%s: %s rows, every link holds\nhead %s\n", (*chain)->where().c_str(),
                grouped(static_cast<uint64_t>(verdict->rows)).c_str(), verdict->head.c_str());
  } else {
    std::printf("%s\n", paint(Paint::red, "seq " + std::to_string(verdict->bad_seq) + ": " + verdict->why).c_str());
    std::printf("the %s rows before it are good\n", grouped(static_cast<uint64_t>(verdict->rows)).c_str());
  }
  return verdict->ok ? kDone : kFound;
}

int run_audit_list(const AuditOptions& options) {
  const auto chain = chain_of(options);
  if (!chain) return chain.error();
  const auto wanted = wanted_of(options, **chain);
  if (!wanted) return complain(wanted.error(), exit_code_of(wanted.error()));
  const auto rows = newest_rows(**chain, *wanted, static_cast<size_t>(options.limit));
  if (!rows) return complain(rows.error(), kCantRun);
  if (options.format == Format::json) {
    for (const record::AuditRow& row : *rows) std::printf("%s\n", record::json_line(row).c_str());
    return kDone;
  }
  if (rows->empty()) {
    std::printf("no row of the audit fits\n");
    return kDone;
  }
  const auto hosts = hosts_of(**chain, *rows);
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
