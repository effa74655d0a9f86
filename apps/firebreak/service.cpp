#include "apps/firebreak/service.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "actions/endpoint/endpoint_plugin.h"
#include "actions/endpoint/wire.h"
#include "api/api.h"
#include "api/api_keys.h"
#include "api/exceptions/rule_item.h"
#include "api/rules/desk.h"
#include "apps/firebreak/bounded_stop.h"
#include "apps/firebreak/config_changes.h"
#include "apps/firebreak/endpoint_policy.h"
#include "apps/firebreak/front_door.h"
#include "apps/firebreak/isolation_policy.h"
#include "apps/firebreak/load_config.h"
#include "apps/firebreak/notifications.h"
#include "apps/firebreak/rules_health.h"
#include "apps/firebreak/service_files.h"
#include "apps/firebreak/version.h"
#include "connectors/kafka/alert_publisher.h"
#include "connectors/kafka/kafka_source.h"
#include "connectors/kafka/range_reader.h"
#include "engine/base/digest.h"
#include "engine/base/log.h"
#include "engine/model/ids.h"
#include "engine/net/tls_files.h"
#include "engine/pipeline/pipeline.h"
#include "engine/record/queries.h"
#include "engine/respond/dispatcher.h"
#include "engine/respond/guard.h"

namespace fb::cli {
namespace {

constexpr int kExitRecordFailed = 75;  // the supervisor starts us again and the record on disk decides
constexpr int kRulePollMs = 1000;
constexpr int kRuleSettleMs = 300;
constexpr int kDrainMs = 10'000;
// For all of the end, the closing of the record included: above all drains one after the other, below the supervisor's
// patience (60 s).
constexpr int64_t kStopMs = 45'000;
constexpr int64_t kWatchdogMs = 60'000;  // a turn that makes no progress for so long is told loudly

void raise_limit_of_open_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

void end_hanging_stop(const std::string& part) {
  end_late(part, kStopMs, kExitRecordFailed);
}

}  // namespace

struct Service::Impl {
  explicit Impl(ServiceStart s) : start(std::move(s)), last_read(start.config), files(start.config.text("data_dir")) {}

  Status open_record();
  Status load_rules_once();
  Status start_response();
  Status load_secrets();
  bool is_proven(const std::string& endpoint_id, const LocalRelease& release) const;
  Result<std::string> rotate_signing_key();
  Status start_source();
  Status start_publisher();
  Status start_api();
  void run_pipeline();
  void fail_for_good(const Error& error);
  void stop();
  void note_reload(const ReloadReport& report, const char* cause);
  void note_config(const Config& fresh);
  void refresh_gauges();
  std::vector<api::PartHealth> health() const;

  ServiceStart start;
  Config last_read;  // by reload_policy()
  const ServiceFiles files;
  const Clock& clock = system_clock();
  Metrics metrics;
  std::atomic<int> fatal{0};
  std::atomic<bool> stopping{false};
  std::atomic<int64_t> last_turn_ms{0};
  std::atomic<uint64_t> events{0};
  std::once_flag stopped;
  StopTime stop_time{kStopMs};

  // In the order they are made; destroyed the other way round.
  std::unique_ptr<KillSwitch> kill_switch;
  std::unique_ptr<ActionGuard> guard;
  std::unique_ptr<IsolationPolicies> policies;  // the store's hook tells it of changes
  std::unique_ptr<Store> store;
  std::unique_ptr<RuleBook> rules;
  std::unique_ptr<api::RuleDesk> rule_desk;
  RulesHealth rules_health;
  endpoint::Signers signers;
  std::string break_glass_secret;
  std::unique_ptr<Dispatcher> dispatcher;
  std::unique_ptr<endpoint::EndpointPlugin> agents;
  std::unique_ptr<KafkaSource> source;
  std::unique_ptr<AlertPublisher> publisher;
  std::mutex outbox_mutex;
  std::unique_ptr<record::Reader> outbox;
  std::unique_ptr<Pipeline> pipeline;
  std::unique_ptr<net::HttpServer> api_socket;
  std::unique_ptr<net::HttpServer> api_tcp;
  std::unique_ptr<notify::Notifier> notifier;
  std::mutex gauges_mutex;
  std::thread pipeline_thread;
};

Status Service::Impl::open_record() {
  const Config& c = start.config;
  FB_TRY(GuardSettings settings, guard_settings(c));
  kill_switch = std::make_unique<KillSwitch>(c.text("response.stop_file"));
  guard = std::make_unique<ActionGuard>(settings, *kill_switch);

  StoreOptions options;
  options.data_dir = c.text("data_dir");
  options.clock = &clock;
  options.judge = guard.get();
  for (const std::string& entry : c.list("response.protected")) {
    if (entry.rfind("tag:", 0) == 0) {
      options.protected_tags.push_back(entry.substr(4));
    } else {
      options.protected_hosts.push_back(entry);
    }
  }
  options.lease_ms = c.duration_ms("response.lease").value_or(0);
  options.local_release_proven = [this](const std::string& endpoint_id, const LocalRelease& release) {
    return is_proven(endpoint_id, release);
  };
  options.unhealthy_drift_events = c.integer("agents.unhealthy_drift_events");
  options.drift_window_ms = *c.duration_ms("agents.unhealthy_drift_window");
  options.approval_expiry_ms = settings.approval_expiry_ms;
  options.intent_expiry_ms = settings.intent_expiry_ms;
  options.outbox = !c.text("kafka.alerts_topic").empty();
  options.open_addresses_changed = [this] {
    policies->changed();
    if (agents) agents->policy_changed();
  };
  FB_TRY(store, Store::open(options));
  policies->use(*store);
  return kill_switch->refresh(*store);
}

Status Service::Impl::load_secrets() {
  FB_TRY_VOID(make_missing_secrets(files));
  FB_TRY(signers, load_signers(files));
  FB_TRY(break_glass_secret, load_break_glass_secret(files));
  policies = std::make_unique<IsolationPolicies>(isolation_policy(start.config), clock);
  return {};
}

// A host that let itself back in: by the code of that isolation, or because it was locked out and the policy says so.
bool Service::Impl::is_proven(const std::string& endpoint_id, const LocalRelease& release) const {
  if (release.how == "rollback") return policies->may_roll_back(endpoint_id);
  if (release.how != "break_glass") return false;
  const std::string code = endpoint::break_glass_code(break_glass_secret, endpoint_id, release.generation);
  return equal_secret(endpoint::break_glass_hash(code, endpoint_id, release.generation),
                      endpoint::break_glass_hash(release.proof, endpoint_id, release.generation));
}

Result<std::string> Service::Impl::rotate_signing_key() {
  FB_TRY_VOID(add_signing_key(files, clock.wall_ms()));
  FB_TRY(endpoint::Signers now, load_signers(files));
  const std::string kid = now.front()->kid();
  agents->replace_signers(std::move(now));
  return kid;
}

Status Service::Impl::load_rules_once() {
  const Config& c = start.config;
  RuleBookOptions options;
  options.paths = c.list("rules");
  options.load.limits = c.limits().rule;
  options.load.exception_files = c.list("exceptions");
  options.allow_broken = start.allow_broken;
  options.allow_empty = true;
  options.lists = api::record_lists(*store);
  rules = std::make_unique<RuleBook>(std::move(options));
  const ReloadReport report = rules->reload();
  for (const LoadedRule& rule : report.loaded.rules) {
    for (const Diagnostic& d : rule.diagnostics) std::fputs(render(d).c_str(), stderr);
  }
  for (const Diagnostic& d : report.loaded.file_diagnostics) std::fputs(render(d).c_str(), stderr);
  if (!report.swapped) {
    return fail(ErrorCode::invalid_argument,
                report.problem + " (nothing was started; --allow-broken leaves broken rules out)");
  }
  note_reload(report, "start");
  rule_desk = std::make_unique<api::RuleDesk>(
      *store, *rules, clock, [this](const ReloadReport& r) { note_reload(r, "changed through the API"); });
  FB_TRY(const std::vector<std::string> broken, rule_desk->load());
  for (const std::string& problem : broken) {
    log(LogLevel::error, "rule_left_out", "a rule that came through the API can't be run any more",
        {{"problem", problem}});
  }
  rules_health.left_out(broken);
  for (const auto& [rule_id, problem] : *rules->waiting()) {
    log(LogLevel::error, "rule_waits", "a rule does not run until its exceptions can be taken",
        {{"rule_id", rule_id}, {"problem", problem}});
  }
  note_reload(
      {.of = ReloadReport::Of::lists, .swapped = true, .changed = true, .problem = "", .loaded = {}, .behind = {}},
      "rules of the record");
  if (rules->current()->rules().empty()) {
    log(LogLevel::warn, "no_rules",
        c.list("rules").empty()
            ? "no rule runs: 'rules' names no file, and none came through the API yet"
            : "no rule runs: those of the files are switched off or none stand there, and none came "
              "through the API yet");
  }
  rules->watch(kRulePollMs, kRuleSettleMs, [this](const ReloadReport& r) {
    note_reload(r, r.of == ReloadReport::Of::lists ? "exception lists read again" : "files changed");
  });
  return {};
}

void Service::Impl::note_reload(const ReloadReport& report, const char* cause) {
  rules_health.took(report);
  metrics
      .counter("firebreak_rule_reloads_total", "Times the rules were loaded",
               {{"result", report.swapped ? "ok" : "refused"}})
      .add_one();
  if (!report.behind.empty()) {
    log(LogLevel::error, "exceptions_behind",
        "an exception list can't be taken as it stands in the record; its old content stays in force",
        {{"cause", cause}, {"problem", report.behind.front().problem}});
  } else if (!report.swapped) {
    log(LogLevel::error, "rules_refused", "the changed rules have a problem; the old set stays in force",
        {{"cause", cause}, {"problem", report.problem}});
    return;
  }
  for (const std::string& warning : report.warnings) {
    log(LogLevel::warn, "exception_without_effect", "an exception excepts nothing", {{"problem", warning}});
  }
  const RuleSetPtr now = rules->current();
  metrics.gauge("firebreak_rules", "Rules in force").set(static_cast<double>(now->rules().size()));
  std::vector<RuleMetaPtr> texts;
  for (const auto& rule : now->rules()) texts.push_back(rule.meta);
  if (const Status noted = store->note_rules(texts); !noted) {
    log(LogLevel::error, "rules_not_noted", noted.error().describe());
  }
  if (!report.changed) return;
  log(LogLevel::info, "rules_loaded", "the rules in force",
      {{"cause", cause}, {"rules", std::to_string(now->rules().size())}, {"hash", now->hash()}});
  (void)store->note("service", "rules_loaded", now->hash(), std::to_string(now->rules().size()) + " rules, " + cause);
}

// Every key that the config file now says otherwise; names only, since a value may be a secret.
void Service::Impl::note_config(const Config& fresh) {
  const std::vector<ConfigChange> changes = config_changes(start.config, last_read, fresh);
  if (changes.empty()) {
    log(LogLevel::info, "config_unchanged", "the config file says what the service runs with");
  }
  for (const ConfigChange& change : changes) {
    log(change.takes_effect ? LogLevel::info : LogLevel::warn,
        change.takes_effect ? "config_changed" : "config_needs_restart",
        change.takes_effect ? change.key + " has changed and takes effect now"
                            : change.key + " has changed in the file; it takes effect when the service is restarted",
        {{"key", change.key}});
  }
  last_read = fresh;
}

Status Service::Impl::start_response() {
  const Config& c = start.config;
  DispatchSettings settings;
  settings.heartbeat_ms = *c.duration_ms("agents.heartbeat");
  settings.missed_heartbeats = std::max<int64_t>(1, *c.duration_ms("agents.offline_after") / settings.heartbeat_ms);
  settings.connector_per_minute = guard->settings().connector_per_minute;
  dispatcher = std::make_unique<Dispatcher>(*store, *kill_switch, clock, metrics, settings, new_uuid());

  endpoint::EndpointOptions options;
  options.listen = c.text("agents.listen");
  options.certificate_file = files.certificate;
  options.private_key_file = files.key;
  options.ca_file = files.ca_certificate;
  options.ca_key_file = files.ca_key;
  options.certificate_days = static_cast<int>(c.integer("agents.certificate_days"));
  options.signers = signers;
  options.break_glass_secret = break_glass_secret;
  options.policy = [this](const std::string& endpoint_id) { return policies->of(endpoint_id); };
  options.may_isolate = [this] { return !kill_switch->on(); };
  options.heartbeat_interval_ms = static_cast<int>(settings.heartbeat_ms);
  options.offline_after_ms = static_cast<int>(*c.duration_ms("agents.offline_after"));
  options.limits.max_connections = static_cast<uint32_t>(c.integer("agents.max_connections"));
  options.limits.max_connections_per_address = static_cast<uint32_t>(c.integer("agents.max_connections_per_address"));
  FB_TRY(agents, endpoint::make_action_plugin_endpoint(options, *store, *store, clock, dispatcher->sink(), &metrics));
  dispatcher->start(*agents, [this](const Error& error) { fail_for_good(error); });
  return {};
}

Status Service::Impl::start_source() {
  const Config& c = start.config;
  KafkaSourceConfig k;
  k.properties = c.map("kafka.properties");
  k.topics = c.list("kafka.topics");
  k.group = c.text("kafka.group");
  k.start = c.text("kafka.start") == "latest" ? StartPolicy::latest : StartPolicy::earliest;
  k.gap = c.text("kafka.gap_policy") == "stop" ? GapPolicy::stop : GapPolicy::carry_on;
  k.epoch = static_cast<int32_t>(c.integer("kafka.epoch"));
  k.from_record = start.from_record;
  k.embedded = start.embedded_broker;
  KafkaSourceHooks hooks;
  hooks.stored = [this](const std::string& cluster, const std::string& topic, int32_t epoch, int32_t partition) {
    return store->next_offset(cluster, topic, epoch, partition);
  };
  hooks.on_gap = [this](const KafkaGap& gap) {
    metrics.counter("firebreak_kafka_gaps_total", "Ranges of records that were gone before they were read").add_one();
    (void)store->note("service", "kafka_gap", gap.topic + "/" + std::to_string(gap.partition), gap.message);
  };
  hooks.on_regression = [this](const KafkaRegression& r) {
    metrics.counter("firebreak_kafka_regressions_total", "Records whose offset was below the next one").add_one();
    log(LogLevel::error, "offset_regression", "the broker gave an offset again; the record was skipped",
        {{"topic", r.topic},
         {"partition", std::to_string(r.partition)},
         {"expected", std::to_string(r.expected)},
         {"got", std::to_string(r.got)}});
    (void)store->note("service", "offset_regression", r.topic + "/" + std::to_string(r.partition),
                      "expected " + std::to_string(r.expected) + ", got " + std::to_string(r.got));
  };
  FB_TRY(source, KafkaSource::open(std::move(k), std::move(hooks), clock));

  PipelineOptions options;
  FB_TRY(options.identity_bound, IdentityBindings::parse(c.map("kafka.identity_bound")));
  options.batch.max_records = static_cast<uint32_t>(c.integer("limits.batch_records"));
  options.batch.max_bytes = static_cast<size_t>(c.integer("limits.batch_bytes"));
  options.batch.max_wait_ms = static_cast<int>(*c.duration_ms("limits.batch_wait"));
  options.events = c.limits().event;
  pipeline = std::make_unique<Pipeline>(
      PipelineParts{*source, *rules, store->directory(), *store, clock, metrics, [this] { dispatcher->wake(); }},
      options);
  pipeline_thread = std::thread([this] { run_pipeline(); });
  return {};
}

void Service::Impl::run_pipeline() {
  const auto keep_going = [this] { return !stopping.load(); };
  while (keep_going()) {
    const Result<TurnStats> turn = pipeline->turn(keep_going);
    last_turn_ms.store(clock.mono_ms());
    if (!turn) {
      if (keep_going()) fail_for_good(turn.error());
      break;
    }
    events.fetch_add(turn->records);
    if (turn->alerts > 0 && publisher) publisher->wake();
  }
  source->close();
}

void Service::Impl::fail_for_good(const Error& error) {
  log(LogLevel::error, "fatal", "the service can't go on and ends; what is on disk decides after the restart",
      {{"cause", error.describe()}});
  int none = 0;
  fatal.compare_exchange_strong(none, kExitRecordFailed);
}

Status Service::Impl::start_publisher() {
  const Config& c = start.config;
  if (c.text("kafka.alerts_topic").empty()) return {};
  AlertPublisherConfig config;
  config.properties = c.map("kafka.properties");
  config.topic = c.text("kafka.alerts_topic");
  AlertPublisherHooks hooks;
  FB_TRY(outbox, record::Reader::open(store->db_path()));
  hooks.take = [this](int64_t after, size_t max) -> Result<std::vector<OutboxRow>> {
    const std::lock_guard lock(outbox_mutex);
    FB_TRY(const std::vector<record::OutboxRow> rows, outbox->outbox(static_cast<int64_t>(max), after));
    std::vector<OutboxRow> out;
    for (const record::OutboxRow& row : rows) out.push_back({row.seq, row.key, row.doc});
    return out;
  };
  hooks.delivered = [this](const std::vector<int64_t>& seqs) { return store->mark_published(seqs); };
  hooks.refused = [this](int64_t seq, const std::string& why) {
    log(LogLevel::error, "alert_not_published", "the broker will not take this alert; it stays in the record",
        {{"seq", std::to_string(seq)}, {"cause", why}});
    (void)store->note("service", "alert_not_published", std::to_string(seq), why);
  };
  FB_TRY(publisher, AlertPublisher::start(std::move(config), std::move(hooks)));
  return {};
}

Status Service::Impl::start_api() {
  const Config& c = start.config;
  FB_TRY_VOID(api::take_over_keys(files.api_keys, *store));
  std::string fingerprint;
  if (const auto f = net::certificate_fingerprint(files.ca_certificate)) fingerprint = *f;
  api::AgentControl control;
  control.forget = [this](const std::string& id) { agents->forget(id); };
  control.ask_renewal = [this](const std::string& id) { agents->ask_renewal(id); };
  control.rotate_signing_key = [this] { return rotate_signing_key(); };
  control.break_glass_code = [this](const std::string& id, int64_t generation) {
    return endpoint::break_glass_code(break_glass_secret, id, generation);
  };
  api::IsolationControl isolation;
  isolation.fit_in = [this](const std::vector<OpenAddress>& items, bool emptied) {
    return policies->fit_in(items, emptied);
  };
  isolation.leaves_open = [this](const std::string& id, const std::string& address) {
    return policies->leaves_open(id, address);
  };
  isolation.policy_fits = policy_fits;
  isolation.wanted_digest = [this](const std::string& id) { return policies->of(id)->digest; };
  api::AccessSettings access;
  access.session_idle_ms = *c.duration_ms("http.session_idle");
  access.session_max_ms = *c.duration_ms("http.session_max");
  FB_TRY(access.oidc, oidc_settings(c));
  RangeReaderConfig past;
  past.properties = c.map("kafka.properties");
  past.topics = c.list("kafka.topics");
  past.embedded = start.embedded_broker;
  std::vector<std::string> names = c.list("http.names");
  for (const std::string& name : c.list("agents.names")) names.push_back(name);
  const net::Handler handler = api::make_api(
      api::Parts{.store = *store,
                 .clock = clock,
                 .metrics = metrics,
                 .wake_dispatcher = [this] { dispatcher->wake(); },
                 .health = [this] { return health(); },
                 .refresh_gauges = [this] { refresh_gauges(); },
                 .service_version = kVersion,
                 .ca_fingerprint = fingerprint,
                 .new_token = [fingerprint] { return endpoint::make_token(fingerprint); },
                 .token_hash = endpoint::token_hash,
                 .agents = control,
                 .isolation = isolation,
                 .access = access,
                 .rules = rule_desk.get(),
                 .past_events = [this, past](const EventRange& range,
                                             const auto& take) { return read_range(past, range, take, clock); },
                 .host_names = std::move(names)});
  net::ServerOptions socket;
  socket.unix_socket = files.socket;
  socket.threads = kDoorThreads;
  socket.body_limit =
      api::body_limits(socket.limits.max_body_bytes, static_cast<size_t>(c.integer("http.limits.max_import_bytes")));
  FB_TRY(api_socket, net::start_http_server(socket, handler));
  if (!c.text("http.listen").empty()) {
    FB_TRY(const net::ServerOptions tcp, front_door(c, files));
    FB_TRY(api_tcp, net::start_http_server(tcp, handler));
  }
  return {};
}

std::vector<api::PartHealth> Service::Impl::health() const {
  std::vector<api::PartHealth> parts;
  const Source::Health kafka = source->health();
  parts.push_back({"kafka", kafka.connected, kafka.detail});
  const bool stalled = pipeline->storage_stalled();
  parts.push_back(
      {"record", !stalled && fatal.load() == 0, stalled ? "the record refuses writes (disk full or locked)" : ""});
  parts.push_back({"rules", true, rules_health.problems(rules->lists_problem(), rules->lists_warning())});
  const int64_t silent = clock.mono_ms() - last_turn_ms.load();
  parts.push_back({"pipeline", silent < kWatchdogMs, silent < kWatchdogMs ? "" : "no turn ended for a minute"});
  return parts;
}

void Service::Impl::refresh_gauges() {
  const std::lock_guard lock(gauges_mutex);
  const auto reader = record::Reader::open(store->db_path());
  if (!reader) return;
  const auto counts = (*reader)->counts();
  if (!counts) return;
  const auto set = [this](const char* name, const char* help, int64_t v) {
    metrics.gauge(name, help).set(static_cast<double>(v));
  };
  set("firebreak_record_alerts", "Alerts in the record", counts->alerts);
  set("firebreak_record_dead_letters", "Dead letters in the record", counts->dead_letters);
  set("firebreak_actions_open", "Actions being carried out", counts->open_actions);
  set("firebreak_actions_awaiting_approval", "Actions that wait for a person", counts->awaiting_approval);
  set("firebreak_endpoints", "Enrolled endpoints", counts->endpoints);
  set("firebreak_endpoints_isolated", "Endpoints observed isolated", counts->isolated);
  set("firebreak_endpoints_drifted", "Endpoints whose state differs from the wanted one", counts->drifted);
  set("firebreak_outbox", "Alerts that wait to be published", counts->outbox);
  set("firebreak_exceptions_behind", "1 while an exception list is not in force as it stands in the record",
      rules->lists_problem().empty() ? 0 : 1);
  set("firebreak_log_lines_lost", "Log lines nobody took", static_cast<int64_t>(log_lines_lost()));
}

// First no more input, then no more decisions, then no more sending; the record closes last.
void Service::Impl::stop() {
  std::call_once(stopped, [this] {
    stopping.store(true);
    BoundedStop bound(stop_time, end_hanging_stop);
    bound.part("the watch over the rule files");
    if (rules) rules->stop_watching();
    bound.part("the pipeline, or Kafka's client in it");
    if (pipeline_thread.joinable()) pipeline_thread.join();
    bound.part("the API");
    if (api_tcp) api_tcp->stop(kDrainMs);
    if (api_socket) api_socket->stop(kDrainMs);
    bound.part("the publisher of alerts");
    if (publisher) publisher->stop();
    bound.part("the agent gateway");
    if (agents) agents->stop(kDrainMs);
    bound.part("the dispatcher");
    if (dispatcher) dispatcher->stop();
    bound.part("the notifier");
    if (notifier) notifier->stop();
  });
}

Service::Service(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Service::~Service() {
  impl_->stop();
  StopTime left = impl_->stop_time;  // it goes with the rest
  BoundedStop bound(left, end_hanging_stop);
  bound.part("the publisher's client of Kafka");
  impl_->publisher.reset();
  bound.part("the consumer's client of Kafka");
  impl_->pipeline.reset();
  impl_->source.reset();
  bound.part("the record");
  impl_.reset();
}

Result<std::unique_ptr<Service>> Service::start(ServiceStart start) {
  raise_limit_of_open_files();
#if !defined(__SANITIZE_ADDRESS__)  // the leak checker has to look into its own process
  prctl(PR_SET_DUMPABLE, 0);        // keys and credentials are in memory: no core files
#endif
  auto impl = std::make_unique<Impl>(std::move(start));
  std::error_code error;
  if (!std::filesystem::exists(impl->files.certificate, error)) {
    return fail(ErrorCode::not_found, "the data directory " + impl->start.config.text("data_dir") +
                                          " is not set up; run `firebreak setup -c FILE` first");
  }
  set_log_level(impl->start.config.text("log.level") == "debug"   ? LogLevel::debug
                : impl->start.config.text("log.level") == "warn"  ? LogLevel::warn
                : impl->start.config.text("log.level") == "error" ? LogLevel::error
                                                                  : LogLevel::info);
  FB_TRY_VOID(impl->load_secrets());
  FB_TRY_VOID(impl->open_record());
  FB_TRY_VOID(impl->load_rules_once());
  auto service = std::unique_ptr<Service>(new Service(std::move(impl)));
  Impl& i = *service->impl_;
  i.last_turn_ms.store(i.clock.mono_ms());
  FB_TRY(i.notifier, start_notifications(i.start.config, *i.store, i.clock, i.metrics));
  FB_TRY_VOID(i.start_response());
  FB_TRY_VOID(i.start_publisher());
  FB_TRY_VOID(i.start_source());
  FB_TRY_VOID(i.start_api());
  log(LogLevel::info, "started", "the service runs",
      {{"version", kVersion},
       {"mode", i.start.config.text("response.mode")},
       {"http", i.start.config.text("http.listen")},
       {"agents", i.start.config.text("agents.listen")}});
  (void)i.store->note("service", "started", kVersion, "mode " + i.start.config.text("response.mode"));
  return service;
}

void Service::reload_rules() {
  impl_->note_reload(impl_->rules->reload(), "asked for");
}
void Service::reload_policy() {
  Impl& i = *impl_;
  if (i.start.config_file.empty()) return;
  const Config::Loaded loaded = Config::load(i.start.config_file);
  std::vector<Diagnostic> problems = loaded.problems;
  if (loaded.ok()) problems = isolation_problems(loaded);
  if (!problems.empty()) {
    log(LogLevel::error, "policy_refused",
        "the config file has a problem; what isolated hosts may talk to stays as it is",
        {{"problem", problems.front().message},
         {"place", problems.front().file + ":" + std::to_string(problems.front().line)}});
    return;
  }
  i.note_config(loaded.config);
  endpoint::CutPolicy fresh = isolation_policy(loaded.config);
  if (fresh == i.policies->config()) return;
  const std::string now = endpoint::digest(fresh);
  i.policies->replace_config(std::move(fresh));
  log(LogLevel::info, "policy_changed", "what isolated hosts may talk to has changed", {{"digest", now}});
  (void)i.store->note("service", "policy_changed", now, "");
  i.agents->policy_changed();
}
void Service::stop() {
  impl_->stop();
}
int Service::fatal_exit() const {
  return impl_->fatal.load();
}
Store& Service::store() {
  return *impl_->store;
}
RuleSetPtr Service::rules() const {
  return impl_->rules->current();
}
uint16_t Service::http_port() const {
  return impl_->api_tcp ? impl_->api_tcp->port() : 0;
}
uint16_t Service::agents_port() const {
  return impl_->agents->port();
}
uint64_t Service::events() const {
  return impl_->events.load();
}

}  // namespace fb::cli
