#include "actions/endpoint/endpoint_plugin.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <sstream>
#include <unordered_map>
#include <vector>

#include "actions/endpoint/credential_cache.h"
#include "actions/endpoint/mailbox.h"
#include "actions/endpoint/rate_limit.h"
#include "actions/endpoint/wire.h"
#include "actions/endpoint/worker.h"
#include "engine/base/digest.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/log.h"
#include "engine/net/tls_files.h"

namespace fb::endpoint {
namespace {

using net::Request;
using net::Response;
using Responder = std::shared_ptr<net::Responder>;

constexpr int kTickMs = 100;
constexpr int64_t kLateHeartbeatMs = 5'000;  // how long a heartbeat may be on its way
constexpr int kMaxSignedAnew = 5;            // of one command
// A process that was thought gone is heard again: once or twice may be an old heartbeat that came late. So often within
// this time, two processes speak in turn.
constexpr int kMaxReturns = 3;
constexpr size_t kMaxInstance = 128;
constexpr int64_t kReturnsMs = 600'000;
constexpr size_t kMaxFormer = 8;
constexpr const char* kContested = "two machines use this agent's identity; a person has to say which is the right one";

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
  Gateway(const EndpointOptions& options, ActionStore& store, AgentStore& agents, const Clock& clock, ReportSink sink,
          Metrics* metrics)
      : options_(options),
        store_(store),
        agents_(agents),
        clock_(clock),
        sink_(std::move(sink)),
        desk_(options.signers, options.break_glass_secret, options.policy, agents, clock),
        boxes_(options.offline_after_ms, options.redeliver_after_ms),
        credentials_(options.credential_fresh_ms),
        enrolments_(options.enroll_per_minute),
        renewals_(options.renew_per_minute),
        failures_(options.auth_failures_per_minute) {
    enrolled_.connect(metrics, "firebreak_agent_enrolments_total", "Agents enrolled");
    auth_failures_.connect(metrics, "firebreak_agent_auth_failures_total", "Wrong tokens and certificates of agents");
    handed_.connect(metrics, "firebreak_agent_commands_total", "Commands handed to agents, repeats included");
    reports_.connect(metrics, "firebreak_agent_reports_total", "Reports of agents about commands");
    heartbeats_.connect(metrics, "firebreak_agent_heartbeats_total", "Heartbeats of agents");
    duplicates_.connect(metrics, "firebreak_duplicate_identities_total", "Times that two machines used one identity");
    if (metrics != nullptr) live_gauge_ = &metrics->gauge("firebreak_agents_online", "Agents heard lately");
  }
  ~Gateway() override { stop(0); }

  Status start() {
    if (options_.certificate_file.empty() || options_.ca_file.empty() || options_.ca_key_file.empty()) {
      return fail(ErrorCode::invalid_argument, "the agent gateway needs its certificate, the CA and the CA's key");
    }
    std::ifstream file(options_.ca_file, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    if (!file) return fail(ErrorCode::not_found, "cannot read the CA certificate for agents", options_.ca_file);
    ca_certificate_ = text.str();
    FB_TRY_VOID(desk_.start());
    FB_TRY(const std::vector<Endpoint> known, store_.endpoints());
    for (const Endpoint& e : known) {
      if (e.status != AgentStatus::offline) boxes_.expect(e.endpoint_id, clock_.mono_ms());
    }
    worker_ = std::make_unique<Worker>(options_.max_waiting_requests);
    net::ServerOptions server;
    server.listen = options_.listen;
    server.certificate_file = options_.certificate_file;
    server.private_key_file = options_.private_key_file;
    server.client_ca_file = options_.ca_file;
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
    if (const Poll poll = boxes_.forget(endpoint_id)) poll->answer(problem(401, "the certificate was revoked"));
    worker_->add(true, [this, endpoint_id] {
      if (boxes_.is_live(endpoint_id, clock_.mono_ms())) return;  // it enrolled anew meanwhile
      static_cast<void>(store_.set_status(endpoint_id, AgentStatus::offline, "its certificate was revoked"));
    });
  }
  void ask_renewal(const std::string& endpoint_id) override {
    const std::lock_guard lock(known_mutex_);
    known_[endpoint_id].renew = true;
  }
  void replace_signers(Signers signers) override { desk_.replace_signers(std::move(signers)); }

  void policy_changed() override {
    worker_->add(false, [this] {
      std::vector<std::string> isolated;
      {
        const std::lock_guard lock(known_mutex_);
        for (const auto& [id, known] : known_) {
          if (known.observed == Isolation::isolated) isolated.push_back(id);
        }
      }
      for (const std::string& id : isolated) {
        boxes_.drop_update(id);  // an update that was handed out lately is out of date
        look_at_policy(id);
      }
    });
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
    r.body = dumped(json);
    return timed(std::move(r));
  }

  // Runs a task that may wait for the record; what cannot be queued is answered 503.
  void later(bool urgent, const Responder& out, std::function<void()> task) {
    if (!worker_->add(urgent, std::move(task))) out->answer(problem(503, "too many requests wait for the record"));
  }

  void on_request(Request r, Responder out) {
    const bool enroll = r.path == "/v1/enroll", commands = r.path == "/v1/commands", reports = r.path == "/v1/reports",
               heartbeat = r.path == "/v1/heartbeat", renew = r.path == "/v1/renew";
    if (!enroll && !commands && !reports && !heartbeat && !renew) return out->answer(problem(404, "no such route"));
    if (r.method != (commands ? "GET" : "POST")) return out->answer(problem(405, commands ? "GET only" : "POST only"));
    if (enroll) {
      if (!enrolments_.take(r.peer, clock_.mono_ms()) || failures_.exhausted(r.peer, clock_.mono_ms())) {
        return out->answer(problem(429, "too many enrolments from this address"));
      }
      return later(true, out, [this, r = std::move(r), out] { do_enroll(r, out); });
    }
    authenticate(std::move(r), out);
  }

  // Who asks is said by the certificate alone: this CA signed it, the record knows it, and it names the endpoint.
  void authenticate(Request r, const Responder& out) {
    if (r.client_sha256.empty()) return out->answer(problem(401, "show the certificate that enrolment gave"));
    const int64_t now = clock_.mono_ms();
    const auto found = credentials_.find(r.client_sha256, now);
    if (found.fresh) return serve(found.endpoint_id, std::move(r), out);
    if (found.endpoint_id.empty() && failures_.exhausted(r.peer, now)) {
      return out->answer(problem(429, "too many wrong certificates from this address"));
    }
    later(true, out, [this, r = std::move(r), out] {
      const uint64_t forgets = forgets_.load();
      const auto endpoint = agents_.use_certificate(r.client_sha256);
      if (!endpoint || forgets != forgets_.load()) return out->answer(problem(503, "the record cannot be asked now"));
      if (endpoint->empty() || *endpoint != r.client_name) {
        credentials_.drop(r.client_sha256);
        return refuse_auth(r.peer, out, "this certificate is not known, or was revoked");
      }
      boxes_.admit(*endpoint);
      credentials_.keep(r.client_sha256, *endpoint, clock_.mono_ms());
      serve(*endpoint, r, out);
    });
  }

  void refuse_auth(const std::string& peer, const Responder& out, const std::string& why) {
    auth_failures_.add_one();
    if (failures_.take(peer, clock_.mono_ms())) log(LogLevel::warn, "agent_refused", why, {{"peer", peer}});
    out->answer(problem(401, why));
  }

  Result<net::ClientCertificatePem> certificate_for(const std::string& csr, const std::string& agent_id,
                                                    int64_t* expires_at_ms) const {
    *expires_at_ms = clock_.wall_ms() + int64_t{options_.certificate_days} * 86'400'000;
    return net::sign_client_certificate(options_.ca_file, options_.ca_key_file, csr, agent_id, *expires_at_ms);
  }

  void do_enroll(const Request& r, const Responder& out) {
    auto request = read_enroll_request(r.body);
    if (!request) return out->answer(problem(400, request.error().message));
    EndpointReport& agent = request->agent;
    agent.at_ms = clock_.wall_ms();
    const auto key = net::request_key_id(request->csr);
    if (!key) return out->answer(problem(400, key.error().message));
    const auto admission = agents_.admit(agent, *key, token_hash(request->token));
    if (!admission) {
      const bool wrong = admission.error().code == ErrorCode::invalid_argument;
      return out->answer(wrong ? problem(400, admission.error().message)
                               : problem(503, "the record cannot be asked now"));
    }
    switch (*admission) {
      case Admission::refused:
        return refuse_auth(r.peer, out, "this enrolment token is wrong, used or expired");
      case Admission::denied:
        return out->answer(problem(403, "a person denied this enrolment"));
      case Admission::waits: {
        Response wait = problem(202, "this host or agent is known already: a person has to approve the enrolment");
        return out->answer(std::move(wait));
      }
      case Admission::granted:
        break;
    }
    int64_t expires_at = 0;
    const auto certificate = certificate_for(request->csr, agent.endpoint_id, &expires_at);
    if (!certificate) return not_enrolled(agent, r.peer, certificate.error(), out);
    std::vector<std::string> replaced;
    const Status kept = agents_.keep_agent(agent, certificate->sha256, expires_at, &replaced);
    if (!kept) return not_enrolled(agent, r.peer, kept.error(), out);
    for (const std::string& id : replaced) forget(id);
    boxes_.admit(agent.endpoint_id);
    credentials_.keep(certificate->sha256, agent.endpoint_id, clock_.mono_ms());
    enrolled_.add_one();
    log(LogLevel::info, "agent_enrolled", "an agent enrolled",
        {{"endpoint_id", agent.endpoint_id},
         {"hostname", agent.hostname},
         {"simulated", agent.simulated ? "true" : "false"}});
    out->answer(ok(write_enroll_reply(
        {agent.endpoint_id, certificate->pem, ca_certificate_, desk_.trusted(), options_.heartbeat_interval_ms})));
  }

  void not_enrolled(const EndpointReport& agent, const std::string& peer, const Error& error, const Responder& out) {
    log(LogLevel::warn, "agent_not_enrolled", error.describe(),
        {{"endpoint_id", agent.endpoint_id}, {"host_id", agent.host_id}, {"peer", peer}});
    out->answer(problem(503, "the enrolment could not be kept"));
  }

  void on_renew(const std::string& endpoint_id, const std::string& body, const Responder& out) {
    if (agents_.is_contested(endpoint_id)) return out->answer(problem(409, kContested));
    // Each is a signature and a row that stays.
    if (!renewals_.take(endpoint_id, clock_.mono_ms())) return out->answer(problem(429, "too many renewals"));
    const auto csr = read_one("csr", body);
    if (!csr) return out->answer(problem(400, csr.error().message));
    int64_t expires_at = 0;
    const auto certificate = certificate_for(*csr, endpoint_id, &expires_at);
    if (!certificate) {
      const bool wrong = certificate.error().code == ErrorCode::invalid_argument;
      return out->answer(problem(wrong ? 400 : 503, certificate.error().message));
    }
    const Status kept = agents_.add_certificate(endpoint_id, certificate->sha256, expires_at);
    if (!kept) return out->answer(problem(503, "the record did not take the certificate"));
    {
      const std::lock_guard lock(known_mutex_);
      known_[endpoint_id].renew = false;
    }
    out->answer(ok(write_one("certificate", certificate->pem)));
  }

  // On a server thread, or on the worker when the store had to be asked.
  void serve(const std::string& endpoint_id, Request r, const Responder& out) {
    if (r.path == "/v1/commands") return on_poll(endpoint_id, r, out);
    const bool heartbeat = r.path == "/v1/heartbeat", renew = r.path == "/v1/renew";
    later(!heartbeat, out,
          [this, endpoint_id, heartbeat, renew, expired = r.client_expired, body = std::move(r.body), out] {
            if (heartbeat) return on_heartbeat(endpoint_id, body, expired, out);
            renew ? on_renew(endpoint_id, body, out) : on_report(endpoint_id, body, out);
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
    const bool releases_only = r.client_expired || agents_.is_contested(endpoint_id);
    const auto instance = r.query.find("instance");
    const std::string_view process = instance == r.query.end() ? std::string_view() : instance->second;
    if (process.size() > kMaxInstance) return out->answer(problem(400, "instance is a short word"));
    const auto handed = boxes_.poll(endpoint_id, out, now, now + wait, releases_only, &replaced, process);
    if (replaced) {
      replaced->answer(problem(409, "another poll of this agent took over"));
      if (boxes_.is_fought_over(endpoint_id, now)) {
        contest(endpoint_id, "polls of two processes took over from one another " +
                                 std::to_string(Mailboxes::kFightTakeovers) + " times within a minute, the last from " +
                                 r.peer);
      }
    }
    if (handed.poll) hand(handed);
  }

  // From now on neither of them gets an isolation, or is believed, until a person has looked; a release still goes out.
  void contest(const std::string& endpoint_id, const std::string& why) {
    log(LogLevel::error, "duplicate_identity", why, {{"endpoint_id", endpoint_id}});
    duplicates_.add_one();
    boxes_.releases_only(endpoint_id);
    worker_->add(true, [this, endpoint_id, why] {
      if (const Status told = agents_.contest(endpoint_id, why); !told) {
        log(LogLevel::error, "duplicate_not_kept", told.error().describe(), {{"endpoint_id", endpoint_id}});
        return;
      }
      if (const auto command = boxes_.take_back(endpoint_id)) {
        refuse(*command, std::string(kDuplicateSince), Guard::unknown_target);
      }
    });
  }

  void hand(const Mailboxes::Handed& handed) {
    if (handed.update) {
      handed_.add_one();
      const std::string& id = handed.update->endpoint_id;
      keep_signed(id, handed.update->generation);
      return handed.poll->answer(
          ok(write_order({desk_.update_allow_set(id, handed.update->generation), "", handed.update->generation})));
    }
    const Command& command = *handed.command;
    if (command.verb == Verb::isolate && !may_hand_out(command)) {
      return handed.poll->answer(nothing());
    }
    // Late isolations are void; a release is never refused for its age.
    const bool late =
        command.verb == Verb::isolate && command.expires_at_ms > 0 && command.expires_at_ms <= clock_.wall_ms();
    if (late) {
      boxes_.finished(command.endpoint_id, command.action_id);
      handed.poll->answer(nothing());
      return refuse(command, "expired before the agent fetched it");
    }
    // Sent a moment ago, and the switch was pulled since. It waits in its box, as what may have arrived does.
    if (command.verb == Verb::isolate && options_.may_isolate && !options_.may_isolate()) {
      return handed.poll->answer(nothing());
    }
    if (!boxes_.give(command)) return handed.poll->answer(nothing());  // taken back, or overtaken, a moment ago
    handed_.add_one();
    if (command.verb == Verb::isolate) keep_signed(command.endpoint_id, command.generation);
    handed.poll->answer(ok(write_order({desk_.command(command), command.action_id, command.generation})));
  }

  // This side's own refusal of a command.
  void refuse(const Command& command, const std::string& why, Guard withheld = Guard::none) {
    worker_->add(true, [this, command, why, withheld] {
      Report report;
      report.kind = Report::Kind::refused;
      report.endpoint_id = command.endpoint_id;
      report.action_id = command.action_id;
      report.generation = command.generation;
      report.message = why;
      report.withheld = withheld;
      report.attempt = command.attempt;
      report.at_ms = clock_.wall_ms();
      sink_(std::move(report));
    });
  }

  // It was sent a while ago perhaps: what holds now is asked once more. An isolation that may have arrived waits in its
  // box; one that was never given goes back. While the record can't be asked nothing goes out.
  bool may_hand_out(const Command& command) {
    const std::string& id = command.endpoint_id;
    const bool duplicate = agents_.is_contested(id);
    if (!duplicate) {
      const auto is_protected = store_.is_protected(id);
      if (!is_protected) return false;
      if (!*is_protected || command.override_protected) return true;
    }
    if (const auto back = boxes_.take_back(id, command.action_id)) {
      refuse(*back, std::string(duplicate ? kDuplicateSince : kProtectedSince),
             duplicate ? Guard::unknown_target : Guard::protected_endpoint);
    }
    return false;
  }

  // What the order that goes out now lets through: once the host says that it did it, this is in force there. Noted
  // before the order is made, so that a change in between is seen as a difference and not missed.
  void keep_signed(const std::string& endpoint_id, int64_t generation) {
    std::string policy = desk_.policy(endpoint_id)->digest;
    const std::lock_guard lock(known_mutex_);
    Known& known = known_[endpoint_id];
    known.signed_generation = generation;
    known.signed_digest = std::move(policy);
  }

  // A host that refused an envelope for its epoch, its revision, its key or its time would take another one of the same
  // command: it is signed anew and handed out again, a few times. True when it will be. Only of the command that waits
  // for this host: what a host says of others must not move the epoch.
  bool sign_anew(const std::string& endpoint_id, const Report& report) {
    if (report.kind != Report::Kind::refused) return false;
    const auto command = boxes_.command_of(endpoint_id);
    if (!command || command->action_id != report.action_id) return false;
    const auto says = [&](const char* word) { return report.message.find(word) != std::string::npos; };
    const bool key = says("signature") || says("trusted");
    // In time by this clock: the host was once told a time that was ahead, and a new epoch sets it back.
    const bool time = report.message.starts_with("expired") && command->expires_at_ms > clock_.wall_ms();
    const bool epoch = says("epoch") || time;
    if (!key && !epoch && !says("revision")) return false;
    {
      const std::lock_guard lock(known_mutex_);
      Known& known = known_[endpoint_id];
      if (known.signed_anew_for != report.action_id) {
        known.signed_anew_for = report.action_id;
        known.signed_anew = 0;
      }
      if (++known.signed_anew > kMaxSignedAnew) return false;
    }
    log(LogLevel::warn, "order_signed_anew", report.message,
        {{"endpoint_id", endpoint_id}, {"action_id", report.action_id}});
    if (key) desk_.forget_knowledge(endpoint_id);
    if (epoch) {
      if (const Status raised = desk_.raise_epoch(); !raised) {
        log(LogLevel::error, "epoch_not_raised", raised.error().describe());
      }
    }
    return true;
  }

  void on_report(const std::string& endpoint_id, const std::string& body, const Responder& out) {
    auto report = read_report(body);
    if (!report) return out->answer(problem(400, report.error().message));
    boxes_.heard(endpoint_id, clock_.mono_ms());
    report->endpoint_id = endpoint_id;
    report->at_ms = clock_.wall_ms();
    reports_.add_one();
    if (sign_anew(endpoint_id, *report)) return out->answer(ok("{}"));
    if (agents_.is_contested(endpoint_id)) {
      sink_(not_believed(std::move(*report)));
      return out->answer(ok("{}"));
    }
    if (report->kind != Report::Kind::accepted) boxes_.finished(endpoint_id, report->action_id);
    if (report->kind == Report::Kind::done) {
      keep_done(*report);
      look_at_policy(endpoint_id);
    }
    sink_(std::move(*report));
    out->answer(ok("{}"));
  }

  // Which of two machines says that it is done, or can't do it, nobody knows. The command stays in its box, and the
  // action is in doubt until one machine speaks alone.
  static Report not_believed(Report report) {
    report.observed = Isolation::unknown;
    report.generation = 0;
    if (report.kind == Report::Kind::accepted) return report;
    report.message = "duplicate_identity: it says " + std::string(to_string(report.kind)) +
                     ", and which machine that is nobody knows";
    report.kind = Report::Kind::done;
    return report;
  }

  void on_heartbeat(const std::string& endpoint_id, const std::string& body, bool expired, const Responder& out) {
    // Let in before it was revoked, and read after it: it must not make the endpoint look online again.
    if (boxes_.is_cut_off(endpoint_id)) return out->answer(problem(401, "the certificate was revoked"));
    auto heartbeat = read_heartbeat(body);
    if (!heartbeat) return out->answer(problem(400, heartbeat.error().message));
    heartbeat->endpoint_id = endpoint_id;
    heartbeat->at_ms = clock_.wall_ms();
    heartbeats_.add_one();
    if (is_duplicate(endpoint_id, heartbeat->instance)) {
      contest(endpoint_id, "two processes speak in turn under one identity");
    }
    if (agents_.is_contested(endpoint_id)) {
      // Whose state and generation it is nobody knows, so they are not believed. That somebody is there is: a release
      // must get out.
      boxes_.heard(endpoint_id, clock_.mono_ms());
      Report alive;
      alive.endpoint_id = endpoint_id;
      alive.at_ms = heartbeat->at_ms;
      sink_(std::move(alive));
      return out->answer(problem(409, kContested));
    }
    const int64_t ahead = heartbeat->clock_ms - heartbeat->at_ms;
    if (heartbeat->clock_ms > 0 && std::abs(ahead) > options_.clock_skew_ms) {
      heartbeat->problems.emplace_back("clock_skew");
    }
    const Status seen = store_.seen(*heartbeat);
    if (!seen) return out->answer(problem(503, "the record did not take the heartbeat"));
    const Status heard = desk_.heard(endpoint_id, heartbeat->epoch, heartbeat->revision);
    if (!heard) return out->answer(problem(503, "the record did not take the heartbeat"));
    boxes_.heard(endpoint_id, clock_.mono_ms());
    // A host whose clock is wrong may not know that its certificate is past its end.
    const bool renew = keep_known(*heartbeat) || expired;
    look_at_policy(endpoint_id);
    Report report;
    report.kind = Report::Kind::state;
    report.endpoint_id = endpoint_id;
    report.observed = heartbeat->observed;
    report.generation = heartbeat->generation;
    report.at_ms = heartbeat->at_ms;
    sink_(std::move(report));
    out->answer(ok(write_heartbeat_reply(
        {options_.heartbeat_interval_ms, status_for(endpoint_id, heartbeat->local_release), renew})));
  }

  // The host did it: nobody waits for its next heartbeat to know what an update must name.
  void keep_done(const Report& report) {
    const std::lock_guard lock(known_mutex_);
    Known& known = known_[report.endpoint_id];
    known.done_ms = clock_.mono_ms();
    known.observed = report.observed;
    known.generation = report.generation;
    if (report.generation == known.signed_generation) known.policy_digest = known.signed_digest;
  }

  // What the host said last. True when it is to renew its certificate.
  bool keep_known(const EndpointReport& report) {
    const std::lock_guard lock(known_mutex_);
    Known& known = known_[report.endpoint_id];
    // Written before the host did what it has reported since.
    if (report.generation < known.generation && clock_.mono_ms() - known.done_ms < kLateHeartbeatMs) return known.renew;
    known.observed = report.observed;
    known.generation = report.generation;
    known.policy_digest = report.policy_digest;
    return known.renew;
  }

  // An isolated host on which another policy is in force than the one wanted gets the wanted one.
  void look_at_policy(const std::string& endpoint_id) {
    Known known;
    {
      const std::lock_guard lock(known_mutex_);
      known = known_[endpoint_id];
    }
    if (known.observed != Isolation::isolated || known.policy_digest == desk_.policy(endpoint_id)->digest) {
      return boxes_.drop_update(endpoint_id);
    }
    Mailboxes::Handed handed;
    boxes_.put_update(endpoint_id, known.generation, clock_.mono_ms(), &handed);
    if (handed.poll) hand(handed);
  }

  // A signed word for the enforcer, "" when it needs none: the keys it has not learnt, the local release that it waits
  // to hear about, the time once in a while. Never while a command is on its way on the other connection: whichever of
  // the two came later would be out of date.
  std::string status_for(const std::string& endpoint_id, const LocalRelease& local) {
    if (boxes_.has_command(endpoint_id)) return {};
    const int64_t now = clock_.mono_ms();
    {
      const std::lock_guard lock(known_mutex_);
      Known& known = known_[endpoint_id];
      const bool due = known.status_ms < 0 || now - known.status_ms >= options_.status_every_ms;
      if (!due && local.how.empty() && desk_.knows_keys(endpoint_id)) return {};
      known.status_ms = now;
    }
    return desk_.status(endpoint_id, local.generation);
  }

  // Heartbeats of one process follow those of another after a restart, never in turn.
  bool is_duplicate(const std::string& endpoint_id, const std::string& instance) {
    if (instance.empty()) return false;
    const std::lock_guard lock(known_mutex_);
    Known& known = known_[endpoint_id];
    if (known.instance == instance) return false;
    const bool returned = std::find(known.former.begin(), known.former.end(), instance) != known.former.end();
    if (!known.instance.empty() && !returned) {
      if (known.former.size() >= kMaxFormer) known.former.erase(known.former.begin());
      known.former.push_back(known.instance);
    } else if (returned && std::find(known.former.begin(), known.former.end(), known.instance) == known.former.end()) {
      known.former.push_back(known.instance);
    }
    known.instance = instance;
    if (!returned) return false;
    const int64_t now = clock_.mono_ms();
    if (known.returns == 0 || now - known.returns_since_ms >= kReturnsMs) {
      known.returns = 0;
      known.returns_since_ms = now;
    }
    if (++known.returns < kMaxReturns) return false;
    known.returns = 0;
    return true;
  }

  void tick() {
    const auto due = boxes_.due(clock_.mono_ms());
    for (const Poll& poll : due.empty) poll->answer(nothing());
    for (const auto& handed : due.handed) hand(handed);
    for (const std::string& id : due.silent) {
      worker_->add(true, [this, id] {
        if (boxes_.is_live(id, clock_.mono_ms())) return;  // came back meanwhile
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
  AgentStore& agents_;
  const Clock& clock_;
  const ReportSink sink_;
  OrderDesk desk_;
  Mailboxes boxes_;
  CredentialCache credentials_;
  RateLimit enrolments_;
  RateLimit renewals_;
  RateLimit failures_;
  std::string ca_certificate_;
  // What each host said last in this run.
  struct Known {
    Isolation observed = Isolation::unknown;
    int64_t generation = 0;
    std::string policy_digest;
    int64_t signed_generation = -1;  // of the last order that was handed out, with the policy in it
    std::string signed_digest;
    int64_t done_ms = 0;     // when it last said that it did something
    int64_t status_ms = -1;  // when it was last given a status order
    bool renew = false;
    std::string signed_anew_for;  // action id
    int signed_anew = 0;
    std::string instance;             // of the agent's process that was heard last
    std::vector<std::string> former;  // of those before it
    int returns = 0;                  // how often one of those was heard again
    int64_t returns_since_ms = 0;
  };
  std::mutex known_mutex_;
  std::unordered_map<std::string, Known> known_;
  Count enrolled_, auth_failures_, handed_, reports_, heartbeats_, duplicates_;
  Gauge* live_gauge_ = nullptr;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> forgets_{0};  // an answer of the store that is older than a forget() is not believed
  std::unique_ptr<Worker> worker_;
  std::unique_ptr<net::HttpServer> server_;
};

}  // namespace

Result<std::unique_ptr<EndpointPlugin>> make_action_plugin_endpoint(const EndpointOptions& options, ActionStore& store,
                                                                    AgentStore& agents, const Clock& clock,
                                                                    ReportSink sink, Metrics* metrics) {
  auto gateway = std::make_unique<Gateway>(options, store, agents, clock, std::move(sink), metrics);
  FB_TRY_VOID(gateway->start());
  return gateway;
}

}  // namespace fb::endpoint
