// The agents' side of the record: who may enrol, whose certificate is good, and the service's epoch. Every call that
// changes something is one durable transaction with its audit rows; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/ports/action_store.h"

namespace fb {

// What becomes of an agent that asks to enrol.
enum class Admission : uint8_t {
  granted,  // give it a certificate
  waits,    // its host, or its id, is known already: a person decides
  denied,   // a person said no
  refused,  // the token is wrong, used or expired
};

class AgentStore {
 public:
  virtual ~AgentStore() = default;

  // Uses up the token and judges. An agent that asks again with the same key gets the same answer for a day, without a
  // token: its first answer may have been lost, or a person has decided since.
  virtual Result<Admission> admit(const EndpointReport& agent, const std::string& key_sha256,
                                  const std::string& token_sha256) = 0;
  // After `granted`: the endpoint and the SHA-256 of its certificate. Certificates that the endpoint, or another agent
  // of its host, had before hold no longer; their endpoints are `replaced`.
  virtual Status keep_agent(const EndpointReport& agent, const std::string& certificate_sha256, int64_t expires_at_ms,
                            std::vector<std::string>* replaced) = 0;
  // One more certificate of an endpoint that is enrolled; the old one holds until the new one was used.
  virtual Status add_certificate(const std::string& endpoint_id, const std::string& certificate_sha256,
                                 int64_t expires_at_ms) = 0;
  // Whose it is, "" when it is unknown or revoked. The older ones of the endpoint are revoked by its first use.
  virtual Result<std::string> use_certificate(const std::string& certificate_sha256) = 0;

  // The next epoch of the service: above the stored one, above every agent's and above `above`. Stored first.
  virtual Result<int64_t> raise_epoch(int64_t above) = 0;

  // Two machines use the identity of this endpoint: no isolation of it starts until a person has looked. Once.
  virtual Status contest(const std::string& endpoint_id, const std::string& why) = 0;
  virtual bool is_contested(const std::string& endpoint_id) const = 0;  // from memory

  virtual Status note(const std::string& actor, const std::string& what, const std::string& ref,
                      const std::string& detail) = 0;
};

}  // namespace fb
