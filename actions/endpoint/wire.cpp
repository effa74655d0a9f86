#include "actions/endpoint/wire.h"

#include <algorithm>

#include "engine/base/digest.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"

namespace fb::endpoint {
namespace {

using Json = nlohmann::json;
using Ordered = nlohmann::ordered_json;

constexpr size_t kMaxId = 128;
constexpr size_t kMaxName = 255;
constexpr size_t kMaxText = 4096;
constexpr size_t kMaxPem = 64u << 10;
constexpr size_t kMaxAddresses = 64;
constexpr size_t kMaxProblems = 32;
constexpr size_t kMaxProblem = 512;

tl::unexpected<Error> wrong(std::string_view key, std::string_view why) {
  return fail(ErrorCode::invalid_argument, "'" + std::string(key) + "' " + std::string(why));
}

Result<Json> parse_object(std::string_view text) {
  Json json = parse_json(text);
  if (json.is_discarded() || !json.is_object())
    return fail(ErrorCode::invalid_argument, "the body is not a JSON object");
  return json;
}

enum class Need : uint8_t { optional, required };

// A string without control characters. The JSON parser has seen to UTF-8.
Result<std::string> text_of(const Json& json, const char* key, size_t max, Need need = Need::required) {
  const auto at = json.find(key);
  if (at == json.end()) {
    if (need == Need::required) return wrong(key, "is missing");
    return std::string();
  }
  if (!at->is_string()) return wrong(key, "is not a string");
  const auto& text = at->get_ref<const std::string&>();
  if (need == Need::required && text.empty()) return wrong(key, "is empty");
  if (text.size() > max) return wrong(key, "is longer than " + std::to_string(max) + " bytes");
  return text;
}

// An id goes into logs, rows and URLs: printable ASCII without spaces.
Result<std::string> id_of(const Json& json, const char* key, Need need = Need::required) {
  FB_TRY(std::string text, text_of(json, key, kMaxId, need));
  for (char c : text) {
    if (c <= ' ' || c > '~' || c == '"' || c == '\\') return wrong(key, "has a character that no id has");
  }
  return text;
}

Result<std::string> name_of(const Json& json, const char* key, Need need) {
  FB_TRY(std::string text, text_of(json, key, kMaxName, need));
  for (char c : text) {
    if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) return wrong(key, "has a control character");
  }
  return text;
}

Result<int64_t> number_of(const Json& json, const char* key, Need need = Need::required) {
  const auto at = json.find(key);
  if (at == json.end()) {
    if (need == Need::required) return wrong(key, "is missing");
    return 0;
  }
  if (!at->is_number_integer()) return wrong(key, "is not a whole number");
  if (at->is_number_unsigned() && at->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
    return wrong(key, "is too large");
  const auto n = at->get<int64_t>();
  if (n < 0) return wrong(key, "is negative");
  return n;
}

template <class Enum>
Result<Enum> word_of(const Json& json, const char* key) {
  FB_TRY(const std::string text, text_of(json, key, kMaxId));
  const auto value = from_string<Enum>(text);
  if (!value) return wrong(key, "is '" + printable(text) + "', which is none of its words");
  return *value;
}

void put_agent(Ordered& json, const EndpointReport& agent) {
  json["host_id"] = agent.host_id;
  json["hostname"] = agent.hostname;
  json["os"] = agent.os;
  json["ips"] = agent.ips;
  json["version"] = agent.agent_version;
  json["simulated"] = agent.simulated;
  json["observed"] = to_string(agent.observed);
  json["generation"] = agent.generation;
}

// What only a heartbeat tells.
void put_state(Ordered& json, const EndpointReport& agent) {
  json["epoch"] = agent.epoch;
  json["revision"] = agent.revision;
  json["rule_digest"] = agent.rule_digest;
  json["policy_digest"] = agent.policy_digest;
  json["drops"] = agent.drops;
  json["drift_events"] = agent.drift_events;
  json["lease_left_ms"] = agent.lease_left_ms;
  json["problems"] = agent.problems;
  json["instance"] = agent.instance;
  json["clock_ms"] = agent.clock_ms;
  const LocalRelease& local = agent.local_release;
  if (local.how.empty()) return;
  json["local_release"] = {{"generation", local.generation},
                           {"sequence", local.sequence},
                           {"how", local.how},
                           {"proof", local.proof},
                           {"at_ms", local.at_ms}};
}

Status read_state(const Json& json, EndpointReport& agent) {
  FB_TRY(agent.epoch, number_of(json, "epoch", Need::optional));
  FB_TRY(agent.revision, number_of(json, "revision", Need::optional));
  FB_TRY(agent.rule_digest, id_of(json, "rule_digest", Need::optional));
  FB_TRY(agent.policy_digest, id_of(json, "policy_digest", Need::optional));
  FB_TRY(agent.drops, number_of(json, "drops", Need::optional));
  FB_TRY(agent.drift_events, number_of(json, "drift_events", Need::optional));
  FB_TRY(agent.lease_left_ms, number_of(json, "lease_left_ms", Need::optional));
  FB_TRY(agent.instance, id_of(json, "instance", Need::optional));
  FB_TRY(agent.clock_ms, number_of(json, "clock_ms", Need::optional));
  if (const auto problems = json.find("problems"); problems != json.end()) {
    if (!problems->is_array() || problems->size() > kMaxProblems) return wrong("problems", "is not a short list");
    for (const Json& p : *problems) {
      if (!p.is_string() || p.get_ref<const std::string&>().size() > kMaxProblem) {
        return wrong("problems", "has an entry that is not a short text");
      }
      agent.problems.push_back(printable(p.get_ref<const std::string&>()));
    }
  }
  const auto local = json.find("local_release");
  if (local == json.end()) return {};
  if (!local->is_object()) return wrong("local_release", "is not an object");
  FB_TRY(agent.local_release.generation, number_of(*local, "generation"));
  FB_TRY(agent.local_release.sequence, number_of(*local, "sequence"));
  FB_TRY(agent.local_release.how, id_of(*local, "how"));
  FB_TRY(agent.local_release.proof, text_of(*local, "proof", kMaxId, Need::optional));
  FB_TRY(agent.local_release.at_ms, number_of(*local, "at_ms", Need::optional));
  return {};
}

Result<int> interval_of(const Json& json) {
  FB_TRY(const int64_t interval, number_of(json, "heartbeat_interval_ms"));
  if (interval > 3'600'000) return wrong("heartbeat_interval_ms", "is longer than an hour");
  return static_cast<int>(interval);
}

Result<KeySet> keys_of(const Json& json) {
  const auto at = json.find("signing_keys");
  if (at == json.end() || !at->is_object() || at->empty()) return wrong("signing_keys", "is not a map of keys");
  KeySet keys;
  for (const auto& [kid, value] : at->items()) {
    const auto bytes = value.is_string() ? unbase64(value.get_ref<const std::string&>()) : std::nullopt;
    PublicKey key{};
    if (!bytes || bytes->size() != key.size()) return wrong("signing_keys", "has an entry that is no Ed25519 key");
    std::copy(bytes->begin(), bytes->end(), key.begin());
    if (key_id(key) != kid) return wrong("signing_keys", "has a key under a wrong name");
    keys.emplace(kid, key);
  }
  return keys;
}

Result<EndpointReport> agent_of(const Json& json) {
  EndpointReport agent;
  FB_TRY(agent.host_id, id_of(json, "host_id", Need::optional));
  FB_TRY(agent.hostname, name_of(json, "hostname", Need::required));
  FB_TRY(agent.os, id_of(json, "os"));
  FB_TRY(agent.agent_version, id_of(json, "version"));
  FB_TRY(agent.observed, word_of<Isolation>(json, "observed"));
  FB_TRY(agent.generation, number_of(json, "generation"));
  const auto simulated = json.find("simulated");
  if (simulated == json.end() || !simulated->is_boolean()) return wrong("simulated", "is not true or false");
  agent.simulated = simulated->get<bool>();
  const auto ips = json.find("ips");
  if (ips == json.end() || !ips->is_array()) return wrong("ips", "is not a list");
  if (ips->size() > kMaxAddresses) return wrong("ips", "has more than " + std::to_string(kMaxAddresses) + " entries");
  for (const Json& ip : *ips) {
    if (!ip.is_string() || ip.get_ref<const std::string&>().size() > 64)
      return wrong("ips", "has an entry that is no address");
    for (char c : ip.get_ref<const std::string&>()) {
      const bool ok =
          (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == '.' || c == ':';
      if (!ok) return wrong("ips", "has an entry that is no address");
    }
    agent.ips.push_back(ip.get<std::string>());
  }
  return agent;
}

constexpr std::string_view kKinds[] = {"accepted", "done", "failed", "state", "refused"};

}  // namespace

std::string_view to_string(Report::Kind kind) {
  return kKinds[static_cast<size_t>(kind)];
}

std::string write_enroll_request(const EnrollRequest& request) {
  Ordered json;
  json["token"] = request.token;
  json["csr"] = request.csr;
  json["agent_id"] = request.agent.endpoint_id;
  put_agent(json, request.agent);
  return dumped(json);
}

Result<EnrollRequest> read_enroll_request(std::string_view text) {
  FB_TRY(const Json json, parse_object(text));
  EnrollRequest request;
  FB_TRY(request.token, text_of(json, "token", kMaxText));
  FB_TRY(request.csr, text_of(json, "csr", kMaxPem));
  FB_TRY(request.agent, agent_of(json));
  FB_TRY(request.agent.endpoint_id, id_of(json, "agent_id"));
  return request;
}

std::string write_enroll_reply(const EnrollReply& reply) {
  Ordered json;
  json["agent_id"] = reply.agent_id;
  json["certificate"] = reply.certificate;
  json["ca_certificate"] = reply.ca_certificate;
  json["signing_keys"] = Ordered::object();
  for (const auto& [kid, key] : reply.signing_keys) {
    json["signing_keys"][kid] = base64({reinterpret_cast<const char*>(key.data()), key.size()});
  }
  json["heartbeat_interval_ms"] = reply.heartbeat_interval_ms;
  return dumped(json);
}

Result<EnrollReply> read_enroll_reply(std::string_view text) {
  FB_TRY(const Json json, parse_object(text));
  EnrollReply reply;
  FB_TRY(reply.agent_id, id_of(json, "agent_id"));
  FB_TRY(reply.certificate, text_of(json, "certificate", kMaxPem));
  FB_TRY(reply.ca_certificate, text_of(json, "ca_certificate", kMaxPem));
  FB_TRY(reply.signing_keys, keys_of(json));
  FB_TRY(reply.heartbeat_interval_ms, interval_of(json));
  return reply;
}

std::string write_order(const CarriedOrder& order) {
  Ordered json;
  json["envelope"] = order.envelope;
  json["action_id"] = order.action_id;
  json["generation"] = order.generation;
  return dumped(json);
}

Result<CarriedOrder> read_order(std::string_view text) {
  FB_TRY(const Json json, parse_object(text));
  CarriedOrder order;
  FB_TRY(order.envelope, text_of(json, "envelope", kMaxEnvelopeText));
  FB_TRY(order.action_id, id_of(json, "action_id", Need::optional));
  FB_TRY(order.generation, number_of(json, "generation", Need::optional));
  return order;
}

std::string write_one(const char* key, const std::string& text) {
  Ordered json;
  json[key] = text;
  return dumped(json);
}

Result<std::string> read_one(const char* key, std::string_view text) {
  FB_TRY(const Json json, parse_object(text));
  return text_of(json, key, kMaxEnvelopeText);
}

std::string write_heartbeat_reply(const HeartbeatReply& reply) {
  Ordered json;
  json["heartbeat_interval_ms"] = reply.heartbeat_interval_ms;
  if (!reply.envelope.empty()) json["envelope"] = reply.envelope;
  if (reply.renew) json["renew"] = true;
  return dumped(json);
}

Result<HeartbeatReply> read_heartbeat_reply(std::string_view text) {
  FB_TRY(const Json json, parse_object(text));
  HeartbeatReply reply;
  FB_TRY(reply.heartbeat_interval_ms, interval_of(json));
  FB_TRY(reply.envelope, text_of(json, "envelope", kMaxEnvelopeText, Need::optional));
  const auto renew = json.find("renew");
  reply.renew = renew != json.end() && renew->is_boolean() && renew->get<bool>();
  return reply;
}

std::string write_report(const Report& report) {
  Ordered json;
  json["kind"] = to_string(report.kind);
  json["action_id"] = report.action_id;
  json["observed"] = fb::to_string(report.observed);
  json["generation"] = report.generation;
  json["message"] = report.message;
  return dumped(json);
}

Result<Report> read_report(std::string_view text) {
  FB_TRY(const Json json, parse_object(text));
  Report report;
  FB_TRY(const std::string kind, text_of(json, "kind", kMaxId));
  bool known = false;
  for (const auto k : {Report::Kind::accepted, Report::Kind::done, Report::Kind::failed, Report::Kind::refused}) {
    if (to_string(k) != kind) continue;
    report.kind = k;
    known = true;
  }
  if (!known) return wrong("kind", "is '" + printable(kind) + "', which is none of accepted, done, failed, refused");
  FB_TRY(report.action_id, id_of(json, "action_id"));
  FB_TRY(report.observed, word_of<Isolation>(json, "observed"));
  FB_TRY(report.generation, number_of(json, "generation"));
  FB_TRY(report.message, text_of(json, "message", kMaxText, Need::optional));
  return report;
}

std::string write_heartbeat(const EndpointReport& report) {
  Ordered json;
  put_agent(json, report);
  put_state(json, report);
  return dumped(json);
}

Result<EndpointReport> read_heartbeat(std::string_view text) {
  FB_TRY(const Json json, parse_object(text));
  FB_TRY(EndpointReport agent, agent_of(json));
  FB_TRY_VOID(read_state(json, agent));
  return agent;
}

std::string make_token(std::string_view ca_fingerprint) {
  return "fbt1." + std::string(ca_fingerprint) + "." + hex(random_bytes(32));
}

std::string token_fingerprint(std::string_view token) {
  if (!token.starts_with("fbt1.")) return "";
  token.remove_prefix(5);
  const std::string_view fingerprint = token.substr(0, token.find('.'));
  if (fingerprint.size() != 64 || fingerprint.find_first_not_of("0123456789abcdef") != std::string_view::npos)
    return "";
  return std::string(fingerprint);
}

std::string token_hash(std::string_view token) {
  return hex(sha256(token));
}

}  // namespace fb::endpoint
