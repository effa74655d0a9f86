#include "apps/firebreak/notifications.h"

#include <unistd.h>

#include "engine/record/queries.h"

namespace fb::cli {
namespace {

class RecordTrail final : public notify::Trail {
 public:
  explicit RecordTrail(Store& store) : store_(store) {}

  Result<std::vector<notify::TrailRow>> rows(int64_t after_seq, int64_t limit) override {
    FB_TRY(record::Reader * reader, open());
    FB_TRY(std::vector<record::AuditRow> found, reader->audit(after_seq, limit));
    std::vector<notify::TrailRow> out;
    out.reserve(found.size());
    for (record::AuditRow& r : found) {
      out.push_back(
          {r.seq, std::move(r.at), std::move(r.actor), std::move(r.what), std::move(r.ref), std::move(r.detail)});
    }
    return out;
  }

  Result<int64_t> head() override { return store_.audit_seq(); }

  Result<std::optional<notify::ActionFacts>> action(const std::string& action_id) override {
    FB_TRY(record::Reader * reader, open());
    record::ActionFilter filter;
    filter.action_ids = {action_id};
    filter.limit = 1;
    FB_TRY(const std::vector<record::ActionRow> found, reader->actions(filter));
    if (found.empty()) return std::nullopt;
    const record::ActionRow& a = found.front();
    return notify::ActionFacts{a.endpoint_id, a.command, a.rule_id.value_or(""), a.comment, a.requested_by, a.verdict,
                               a.guard,       a.detail};
  }

  Result<std::optional<notify::EndpointFacts>> endpoint(const std::string& endpoint_id) override {
    FB_TRY(record::Reader * reader, open());
    FB_TRY(const std::vector<record::EndpointRow> found, reader->find_endpoints(endpoint_id));
    for (const record::EndpointRow& e : found) {
      if (e.endpoint_id == endpoint_id) {
        return notify::EndpointFacts{e.endpoint_id, e.hostname, e.desired, e.observed};
      }
    }
    return std::nullopt;
  }

  Result<std::vector<notify::Standing>> standing() override {
    FB_TRY(record::Reader * reader, open());
    FB_TRY(const std::vector<record::EndpointRow> all, reader->endpoints());
    std::vector<notify::Standing> out;
    for (const record::EndpointRow& e : all) {
      if (e.desired != "isolated" || e.observed != "isolated") continue;
      record::ActionFilter filter;
      filter.endpoint_ids = {e.endpoint_id};
      filter.commands = {"isolate"};
      filter.statuses = {"verified"};
      filter.limit = 1;
      FB_TRY(const std::vector<record::ActionRow> found, reader->actions(filter));
      if (!found.empty()) out.push_back({e.endpoint_id, e.hostname, found.front().finished_at_ms});
    }
    return out;
  }

  Result<std::optional<int64_t>> cursor(const std::string& name) override { return store_.cursor(name); }
  Status set_cursor(const std::string& name, int64_t value) override { return store_.set_cursor(name, value); }
  Status note(const std::string& what, const std::string& ref, const std::string& detail) override {
    return store_.note("notifier", what, ref, detail);
  }

 private:
  Result<record::Reader*> open() {
    if (!reader_) {
      FB_TRY(reader_, record::Reader::open(store_.db_path()));
    }
    return reader_.get();
  }

  Store& store_;
  std::unique_ptr<record::Reader> reader_;
};

notify::SinkContext sink_context(const Config& config, const Clock& clock) {
  notify::SinkContext context;
  // Sinks ask only while they are made, from the config that makes them.
  context.text = [&config](const std::string& key) { return config.text("notifications." + key); };
  context.list = [&config](const std::string& key) { return config.list("notifications." + key); };
  context.rules.allow_hosts = config.list("notifications.allow_hosts");
  context.rules.allow_private = config.list("notifications.allow_private");
  context.rules.allow_http = config.flag("notifications.allow_http");
  context.resolve = net::system_resolve();
  context.ca_file = config.text("notifications.ca_file");
  context.clock = &clock;
  char name[256] = "";
  if (gethostname(name, sizeof(name) - 1) == 0) context.hostname = name;
  return context;
}

}  // namespace

Result<std::vector<notify::Subscription>> notification_sinks(const Config& config, const Clock& clock) {
  return notify::make_subscriptions(sink_context(config, clock));
}

Status check_notifications(const Config& config, const Clock& clock) {
  FB_TRY_VOID(notification_sinks(config, clock));
  const notify::SinkContext context = sink_context(config, clock);
  // Any public address stands for what a name has: names are resolved when something is sent.
  const net::Resolve any = [](const std::string&) { return Result<std::vector<std::string>>({"9.9.9.9"}); };
  const auto check = [&](const std::string& url, const char* key) -> Status {
    if (url.empty()) return {};
    const auto target = net::guard_url(url, context.rules, any);
    if (target) return {};
    Error e = target.error();
    e.context = std::string("notifications.") + key;
    return tl::unexpected<Error>(std::move(e));
  };
  FB_TRY_VOID(check(config.text("notifications.webhook.url"), "webhook.url"));
  const std::string& file = config.text("notifications.slack.url_file");
  if (file.empty()) return {};
  FB_TRY(const std::string url, notify::read_secret_file(file));
  return check(url, "slack.url_file");
}

Result<std::unique_ptr<notify::Notifier>> start_notifications(const Config& config, Store& store, const Clock& clock,
                                                              Metrics& metrics) {
  FB_TRY(std::vector<notify::Subscription> sinks, notification_sinks(config, clock));
  notify::NotifierOptions options;
  options.max_per_minute = config.integer("notifications.max_per_minute");
  options.reminder_ms = *config.duration_ms("notifications.reminder");
  return std::make_unique<notify::Notifier>(
      std::move(sinks), [&store] { return std::make_unique<RecordTrail>(store); }, clock, metrics, options);
}

}  // namespace fb::cli
