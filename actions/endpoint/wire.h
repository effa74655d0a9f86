// What the agent gateway and the agent say to each other: one spelling for both sides (docs/agent.md shows it). JSON
// in, JSON out; unknown keys are passed over, so that either side can be the older one. Pure, thread-safe. A reader's
// error names the key.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/result.h"
#include "engine/ports/action_plugin.h"
#include "engine/ports/action_store.h"

namespace fb::endpoint {

// Every answer of the gateway carries its wall clock in this header, Unix milliseconds: the agent judges expiry by it.
inline constexpr const char* kTimeHeader = "x-firebreak-time";

struct EnrollRequest {
  std::string token;
  EndpointReport agent;  // endpoint_id is the agent.id that it proposes
};
std::string write_enroll_request(const EnrollRequest& request);
Result<EnrollRequest> read_enroll_request(std::string_view json);

struct EnrollReply {
  std::string agent_id;
  std::string credential;
  std::string ca_certificate;  // PEM; "" when the gateway has none to give
  int heartbeat_interval_ms = 0;
};
std::string write_enroll_reply(const EnrollReply& reply);
Result<EnrollReply> read_enroll_reply(std::string_view json);

std::string write_command(const Command& command);
Result<Command> read_command(std::string_view json);

// endpoint_id and at_ms are not sent: the credential and the gateway's clock say them.
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
// Credentials are stored the same way.
std::string credential_hash(std::string_view credential);

}  // namespace fb::endpoint
