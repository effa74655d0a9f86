// What the agent gateway and the agent say to each other: one spelling for both sides (docs/agent.md shows it). JSON
// in, JSON out; unknown keys are passed over, so that either side can be the older one. Pure, thread-safe. A reader's
// error names the key.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "actions/endpoint/envelope.h"
#include "engine/base/result.h"
#include "engine/ports/action_plugin.h"
#include "engine/ports/action_store.h"

namespace fb::endpoint {

// Every answer of the gateway carries its wall clock in this header, Unix milliseconds: the agent judges expiry by it.
inline constexpr const char* kTimeHeader = "x-firebreak-time";

struct EnrollRequest {
  std::string token;
  std::string csr;       // PEM: a certificate request for the agent's key
  EndpointReport agent;  // endpoint_id is the agent.id that it proposes
};
std::string write_enroll_request(const EnrollRequest& request);
Result<EnrollRequest> read_enroll_request(std::string_view json);

struct EnrollReply {
  std::string agent_id;
  std::string certificate;     // PEM: who the agent is from now on
  std::string ca_certificate;  // PEM
  KeySet signing_keys;         // who may sign orders
  int heartbeat_interval_ms = 0;
};
std::string write_enroll_reply(const EnrollReply& reply);
Result<EnrollReply> read_enroll_reply(std::string_view json);

// GET /v1/commands. Beside the envelope, which only the enforcer reads: what it is for, so that the courier can say
// which command it accepted. Nothing is decided by these two.
struct CarriedOrder {
  std::string envelope;
  std::string action_id;  // "" = of no action; no report is sent then
  int64_t generation = 0;
};
std::string write_order(const CarriedOrder& order);
Result<CarriedOrder> read_order(std::string_view json);

// POST /v1/renew: {"csr"}; its answer {"certificate"}. Texts of one key.
std::string write_one(const char* key, const std::string& text);
Result<std::string> read_one(const char* key, std::string_view json);

struct HeartbeatReply {
  int heartbeat_interval_ms = 0;
  std::string envelope;  // a signed `status` order for the enforcer; "" = none
  bool renew = false;    // get a new certificate now
};
std::string write_heartbeat_reply(const HeartbeatReply& reply);
Result<HeartbeatReply> read_heartbeat_reply(std::string_view json);

// endpoint_id and at_ms are not sent: the certificate and the gateway's clock say them.
std::string write_report(const Report& report);
Result<Report> read_report(std::string_view json);

std::string write_heartbeat(const EndpointReport& report);
Result<EndpointReport> read_heartbeat(std::string_view json);

std::string_view to_string(Report::Kind kind);

// An enrolment token carries the fingerprint of the CA that the agent shall trust: "fbt1.<fingerprint>.<secret>". What
// is stored is the SHA-256 (hex) of the whole text.
std::string make_token(std::string_view ca_fingerprint);
std::string token_fingerprint(std::string_view token);  // "" when the token carries none
std::string token_hash(std::string_view token);

}  // namespace fb::endpoint
