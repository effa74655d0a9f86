#include "actions/endpoint/endpoint_plugin.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <unordered_set>

#include "actions/endpoint/credential_cache.h"
#include "actions/endpoint/mailbox.h"
#include "actions/endpoint/rate_limit.h"
#include "actions/endpoint/wire.h"
#include "actions/endpoint/worker.h"
#include "engine/base/digest.h"
#include "engine/base/log.h"

namespace fb::endpoint {
namespace {

using net::Request;
using net::Response;
using Responder = std::shared_ptr<net::Responder>;

constexpr int kTickMs = 100;

// Adds up for stats() and, when main wants it, for /metrics.
class Count {
 public:
  void connect(Metrics* metrics, const char* name, const char* help) {
    if (metrics != nullptr) counter_ = &metrics->counter(name, help);
  }
  void add_one() {
    value_.fetch_add(1, std::memory_order_relaxed);
    if (counter_ != nullptr) counter_->add_one();
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
  Counter* counter_ = nullptr;
};

class Gateway final : public EndpointPlugin {
 public:
  Gateway(const EndpointOptions& options, ActionStore& store, const Clock& clock, ReportSink sink, Metrics* metrics)
      : options_(options),
        store_(store),
        clock_(clock),
        sink_(std::move(sink)),
        boxes_(options.offline_after_ms, options.redeliver_after_ms),
        credentials_(options.credential_fresh_ms),
        enrolments_(options.enroll_per_minute),
        failures_(options.auth_failures_per_minute) {
    enrolled_.connect(metrics, "firebreak_agent_enrolments_total", "Agents enrolled");
    auth_failures_.connect(metrics, "firebreak_agent_auth_failures_total", "Wrong tokens and credentials of agents");
    handed_.connect(metrics, "firebreak_agent_commands_total", "Commands handed to agents, repeats included");
    reports_.connect(metrics, "firebreak_agent_reports_total", "Reports of agents about commands");
    heartbeats_.connect(metrics, "firebreak_agent_heartbeats_total", "Heartbeats of agents");
    if (metrics != nullptr) live_gauge_ = &metrics->gauge("firebreak_agents_online", "Agents heard lately");
  }
  ~Gateway() override { stop(0); }

  Status start() {
    if (!options_.ca_file.empty()) {
      std::ifstream file(options_.ca_file, std::ios::binary);
      std::ostringstream text;
      text << file.rdbuf();
      if (!file) return fail(ErrorCode::not_found, "cannot read the CA certificate for agents", options_.ca_file);
      ca_certificate_ = text.str();
    }
    FB_TRY(const std::vector<Endpoint> known, store_.endpoints());
    for (const Endpoint& e : known) {
      if (e.status == AgentStatus::online) boxes_.expect(e.endpoint_id, clock_.mono_ms());
    }
    worker_ = std::make_unique<Worker>(options_.max_waiting_requests);
    net::ServerOptions server;
    server.listen = options_.listen;
    server.certificate_file = options_.certificate_file;
    server.private_key_file = options_.private_key_file;
    server.limits = options_.limits;
    server.threads = options_.threads;
    FB_TRY(server_, net::start_http_server(
                        server, [this](Request r, Responder out) { on_request(std::move(r), std::move(out)); }));
    tick();
    return {};
  }

  Result<SendOutcome> send(const Command& command) override {
    if (command.endpoint_id.empty() || command.action_id.empty()) {
      return fail(ErrorCode::invalid_argument, "a command needs an endpoint and an action id");
    }
    Mailboxes::Handed handed;
    switch (boxes_.put(command, clock_.mono_ms(), &handed)) {
      case Mailboxes::Put::stale:
        return fail(ErrorCode::conflict, "a command of a newer generation was sent to this endpoint",
                    command.endpoint_id);
      case Mailboxes::Put::offline:
        return SendOutcome::offline;
      case Mailboxes::Put::handed:
        hand(handed);
        break;
      case Mailboxes::Put::kept:
        break;
    }
    return SendOutcome::sent;
  }

  uint16_t port() const override { return server_->port(); }
  bool is_live(const std::string& endpoint_id) const override { return boxes_.is_live(endpoint_id, clock_.mono_ms()); }

  void forget(const std::string& endpoint_id) override {
    forgets_.fetch_add(1);
    credentials_.drop_endpoint(endpoint_id);
    if (const Poll poll = boxes_.forget(endpoint_id)) poll->answer(problem(401, "the credential was revoked"));
  }

  EndpointStats stats() const override {
    EndpointStats s;
    s.enrolled = enrolled_.value();
    s.auth_failures = auth_failures_.value();
    s.commands_handed = handed_.value();
    s.reports = reports_.value();
    s.heartbeats = heartbeats_.value();
    s.open_polls = boxes_.open_polls();
    s.live_agents = boxes_.live(clock_.mono_ms());
    return s;
  }

  void stop(int drain_ms) override {
    stopping_.store(true);
    for (const Poll& poll : boxes_.take_polls()) poll->answer(problem(503, "the service is stopping"));
    if (server_) server_->stop(drain_ms);
    if (worker_) worker_->stop();
  }

 private:
  Response timed(Response r) const {
    r.headers[kTimeHeader] = std::to_string(clock_.wall_ms());
    return r;
  }
  Response ok(std::string body) const {
    Response r;
    r.body = std::move(body);
    return timed(std::move(r));
  }
  Response nothing() const {
    Response r;
    r.status = 204;
    return timed(std::move(r));
  }
  Response problem(int status, const std::string& message) const {
    nlohmann::ordered_json json;
    json["statusCode"] = status;
    json["message"] = message;
    Response r;
    r.status = status;
    r.body = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    return timed(std::move(r));
  }

  // Runs a task that may wait for the record; what cannot be queued is answered 503.
  void later(bool urgent, const Responder& out, std::function<void()> task) {
    if (!worker_->add(urgent, std::move(task))) out->answer(problem(503, "too many requests wait for the record"));
  }

  void on_request(Request r, Responder out) {
    const bool enroll = r.path == "/v1/enroll", commands = r.path == "/v1/commands", reports = r.path == "/v1/reports",
               heartbeat = r.path == "/v1/heartbeat";
    if (!enroll && !commands && !reports && !heartbeat) return out->answer(problem(404, "no such route"));
    if (r.method != (commands ? "GET" : "POST")) return out->answer(problem(405, commands ? "GET only" : "POST only"));
    if (enroll) {
      if (!enrolments_.take(r.peer, clock_.mono_ms()) || failures_.exhausted(r.peer, clock_.mono_ms())) {
        return out->answer(problem(429, "too many enrolments from this address"));
      }
      return later(true, out, [this, r = std::move(r), out] { do_enroll(r, out); });
    }
    authenticate(std::move(r), out);
  }

  void authenticate(Request r, const Responder& out) {
    static constexpr std::string_view kScheme = "Bearer ";
    const auto header = r.headers.find("authorization");
    if (header == r.headers.end() || !header->second.starts_with(kScheme)) {
      return out->answer(problem(401, "send the credential as Authorization: Bearer"));
    }
    const std::string hash = credential_hash(std::string_view(header->second).substr(kScheme.size()));
    const int64_t now = clock_.mono_ms();
    const auto found = credentials_.find(hash, now);
    if (found.fresh) return serve(found.endpoint_id, std::move(r), out);
    if (found.endpoint_id.empty() && failures_.exhausted(r.peer, now)) {
      return out->answer(problem(429, "too many wrong credentials from this address"));
    }
    later(true, out, [this, hash, r = std::move(r), out] {
      const uint64_t forgets = forgets_.load();
      const auto endpoint = store_.endpoint_of_credential(hash);
      if (!endpoint || forgets != forgets_.load()) return out->answer(problem(503, "the record cannot be asked now"));
      if (endpoint->empty()) {
        credentials_.drop(hash);
        return refuse_auth(r.peer, out, "this credential is not known");
      }
      boxes_.admit(*endpoint);
      credentials_.keep(hash, *endpoint, clock_.mono_ms());
      serve(*endpoint, r, out);
    });
  }

  void refuse_auth(const std::string& peer, const Responder& out, const std::string& why) {
    auth_failures_.add_one();
    if (failures_.take(peer, clock_.mono_ms())) log(LogLevel::warn, "agent_refused", why, {{"peer", peer}});
    out->answer(problem(401, why));
  }

  void do_enroll(const Request& r, const Responder& out) {
    auto request = read_enroll_request(r.body);
    if (!request) return out->answer(problem(400, request.error().message));
    EndpointReport& agent = request->agent;
    agent.at_ms = clock_.wall_ms();
    const auto used = store_.use_token(token_hash(request->token), agent.at_ms);
    if (!used) return out->answer(problem(503, "the record cannot be asked now"));
    if (!*used) return refuse_auth(r.peer, out, "this enrolment token is wrong, used or expired");
    const std::string credential = hex(random_bytes(32));
    const std::string hash = credential_hash(credential);
    const Status kept = store_.enroll(agent, hash);
    if (!kept) {
      const ErrorCode code = kept.error().code;
      const bool taken = code == ErrorCode::already_exists || code == ErrorCode::conflict || code == ErrorCode::refused;
      log(LogLevel::warn, "agent_not_enrolled", kept.error().describe(),
          {{"endpoint_id", agent.endpoint_id}, {"host_id", agent.host_id}, {"peer", r.peer}});
      return out->answer(problem(taken ? 409 : 503, kept.error().message));
    }
    credentials_.drop_endpoint(agent.endpoint_id);  // an earlier credential of this agent holds no longer
    boxes_.admit(agent.endpoint_id);
    credentials_.keep(hash, agent.endpoint_id, clock_.mono_ms());
    enrolled_.add_one();
    log(LogLevel::info, "agent_enrolled", "an agent enrolled",
        {{"endpoint_id", agent.endpoint_id},
         {"hostname", agent.hostname},
         {"simulated", agent.simulated ? "true" : "false"}});
    out->answer(
        ok(write_enroll_reply({agent.endpoint_id, credential, ca_certificate_, options_.heartbeat_interval_ms})));
  }

  // On a server thread, or on the worker when the store had to be asked.
  void serve(const std::string& endpoint_id, Request r, const Responder& out) {
    if (r.path == "/v1/commands") return on_poll(endpoint_id, r, out);
    const bool report = r.path == "/v1/reports";
    later(report, out, [this, endpoint_id, report, body = std::move(r.body), out] {
      report ? on_report(endpoint_id, body, out) : on_heartbeat(endpoint_id, body, out);
    });
  }

  void on_poll(const std::string& endpoint_id, const Request& r, const Responder& out) {
    int64_t wait_s = 0;
    if (const auto at = r.query.find("wait"); at != r.query.end()) {
      const auto [end, error] = std::from_chars(at->second.data(), at->second.data() + at->second.size(), wait_s);
      if (error != std::errc() || end != at->second.data() + at->second.size() || wait_s < 0 || wait_s > 3600) {
        return out->answer(problem(400, "wait is a number of seconds, 0 to 3600"));
      }
    }
    if (stopping_.load()) return out->answer(problem(503, "the service is stopping"));
    const int64_t now = clock_.mono_ms();
    boxes_.heard(endpoint_id, now);
    const int64_t wait = std::min<int64_t>(wait_s * 1000, options_.max_wait_ms);
    Poll replaced;
    const auto handed = boxes_.poll(endpoint_id, out, now, now + wait, &replaced);
    if (replaced) replaced->answer(problem(409, "another poll of this agent took over"));
    if (handed.poll) hand(handed);
  }

  void hand(const Mailboxes::Handed& handed) {
    const Command& command = *handed.command;
    // Late isolations are void; a release is never refused for its age.
    const bool late =
        command.verb == Verb::isolate && command.expires_at_ms > 0 && command.expires_at_ms <= clock_.wall_ms();
    if (late) {
      boxes_.finished(command.endpoint_id, command.action_id);
      handed.poll->answer(nothing());
      worker_->add(true, [this, command] {
        Report report;
        report.kind = Report::Kind::refused;
        report.endpoint_id = command.endpoint_id;
        report.action_id = command.action_id;
        report.generation = command.generation;
        report.message = "expired before the agent fetched it";
        report.at_ms = clock_.wall_ms();
        sink_(std::move(report));
      });
      return;
    }
    handed_.add_one();
    handed.poll->answer(ok(write_command(command)));
  }

  void on_report(const std::string& endpoint_id, const std::string& body, const Responder& out) {
    auto report = read_report(body);
    if (!report) return out->answer(problem(400, report.error().message));
    boxes_.heard(endpoint_id, clock_.mono_ms());
    report->endpoint_id = endpoint_id;
    report->at_ms = clock_.wall_ms();
    reports_.add_one();
    if (report->kind != Report::Kind::accepted) boxes_.finished(endpoint_id, report->action_id);
    sink_(std::move(*report));
    out->answer(ok("{}"));
  }

  void on_heartbeat(const std::string& endpoint_id, const std::string& body, const Responder& out) {
    auto heartbeat = read_heartbeat(body);
    if (!heartbeat) return out->answer(problem(400, heartbeat.error().message));
    heartbeat->endpoint_id = endpoint_id;
    heartbeat->at_ms = clock_.wall_ms();
    heartbeats_.add_one();
    const Status seen = store_.seen(*heartbeat);
    if (!seen) return out->answer(problem(503, "the record did not take the heartbeat"));
    boxes_.heard(endpoint_id, clock_.mono_ms());
    if (set_online(endpoint_id)) {
      static_cast<void>(store_.set_status(endpoint_id, AgentStatus::online, "heartbeat"));
    }
    Report report;
    report.kind = Report::Kind::state;
    report.endpoint_id = endpoint_id;
    report.observed = heartbeat->observed;
    report.generation = heartbeat->generation;
    report.at_ms = heartbeat->at_ms;
    sink_(std::move(report));
    nlohmann::ordered_json json;
    json["heartbeat_interval_ms"] = options_.heartbeat_interval_ms;
    out->answer(ok(json.dump()));
  }

  // Only the worker's thread uses online_. True when the store does not know yet.
  bool set_online(const std::string& endpoint_id) { return online_.insert(endpoint_id).second; }

  void tick() {
    const auto due = boxes_.due(clock_.mono_ms());
    for (const Poll& poll : due.empty) poll->answer(nothing());
    for (const auto& handed : due.handed) hand(handed);
    for (const std::string& id : due.silent) {
      worker_->add(true, [this, id] {
        if (boxes_.is_live(id, clock_.mono_ms())) return;  // came back meanwhile
        online_.erase(id);
        const std::string why = "silent for " + std::to_string(options_.offline_after_ms / 1000) + " s";
        const Status set = store_.set_status(id, AgentStatus::offline, why);
        if (!set) log(LogLevel::warn, "agent_status_not_kept", set.error().describe(), {{"endpoint_id", id}});
      });
    }
    if (live_gauge_ != nullptr) live_gauge_->set(static_cast<double>(boxes_.live(clock_.mono_ms())));
    server_->after(kTickMs, [this] { tick(); });
  }

  const EndpointOptions options_;
  ActionStore& store_;
  const Clock& clock_;
  const ReportSink sink_;
  Mailboxes boxes_;
  CredentialCache credentials_;
  RateLimit enrolments_;
  RateLimit failures_;
  std::string ca_certificate_;
  std::unordered_set<std::string> online_;
  Count enrolled_, auth_failures_, handed_, reports_, heartbeats_;
  Gauge* live_gauge_ = nullptr;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> forgets_{0};  // an answer of the store that is older than a forget() is not believed
  std::unique_ptr<Worker> worker_;
  std::unique_ptr<net::HttpServer> server_;
};

}  // namespace

Result<std::unique_ptr<EndpointPlugin>> make_action_plugin_endpoint(const EndpointOptions& options, ActionStore& store,
                                                                    const Clock& clock, ReportSink sink,
                                                                    Metrics* metrics) {
  auto gateway = std::make_unique<Gateway>(options, store, clock, std::move(sink), metrics);
  FB_TRY_VOID(gateway->start());
  return gateway;
}

}  // namespace fb::endpoint
