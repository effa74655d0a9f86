// What the service signs and a host obeys: an order in canonical bytes, signed with Ed25519. The bytes that were signed
// are the bytes that are sent; a host verifies them before it reads them, and reads them strictly. The text form is
// "fbe1.<kid>.<payload>.<signature>" (the last two in base64), so that whoever carries it need not understand it.
// Pure but for the key files; thread-safe. A failure says what does not hold, never what would have.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"

namespace fb::endpoint {

enum class Order : uint8_t {
  isolate,           // cut the host off; `policy` says what stays open
  release,           // let it back in
  update_allow_set,  // while isolated: `policy` takes the place of the one in force
  renew,             // while isolated: the lease runs for lease_ms from now on
  status,            // tell how things are; brings the service's time, its new keys when there are any, and the
                     // services that an isolation would name
};
std::string_view to_string(Order order);

// What stays open while the host is isolated. The control plane (the agent's own server) always stays open and is not
// listed here: the host knows it from its own configuration.
struct CutPolicy {
  std::vector<std::string> exceptions;  // prefixes, both directions (allow_set.h)
  std::vector<std::string> services;    // "host:port", outward TCP: Kafka brokers, log shippers
  std::vector<std::string> dns;         // addresses of name servers; none: no DNS
  bool dhcp = true;
  bool rollback = false;  // when the control plane can't be reached after the cut: let the host back in
  std::string message;    // what users who are logged in are told, the organisation's own text; "" = the built-in one

  bool operator==(const CutPolicy&) const = default;
};
// Hex SHA-256 of the policy: a host reports it, so that the service knows which one is in force there.
std::string digest(const CutPolicy& policy);

using PublicKey = std::array<uint8_t, 32>;
using KeySet = std::map<std::string, PublicKey>;  // by kid
inline constexpr size_t kMaxSigningKeys = 8;      // a host trusts no more at once

struct Envelope {
  Order order = Order::status;
  std::string agent_id;
  std::string action_id;      // "" for an order that no action stands behind
  int64_t generation = 0;     // of the isolation or release that it is, or belongs to
  int64_t epoch = 0;          // of the service; a host refuses a lower one than it has seen
  int64_t revision = 0;       // rises with every envelope of an epoch; a host takes each at most once
  int64_t issued_at_ms = 0;   // the service's clock
  int64_t expires_at_ms = 0;  // an isolation later than this is void; 0 = never
  int64_t lease_ms = 0;       // of an isolation, or what renew sets; 0 = until released
  std::string nonce;          // 16 random bytes
  std::string comment;
  std::string break_glass_sha256;  // hex, of the code that releases this generation on the host; "" = none
  CutPolicy policy;
  KeySet trust;  // not empty: from now on exactly these keys sign (rotation)
};

// The bytes that are signed: "fb-order-1\n", then every field in the order above, numbers as 8 bytes big-endian, texts
// with their length before them. One value has one spelling.
std::string canonical_bytes(const Envelope& envelope);
Result<Envelope> read_canonical(std::string_view bytes);

inline constexpr size_t kMaxEnvelopeText = 1u << 20;

// The service's signing key. The private key never leaves the process but for its file (PEM, mode 0600).
class Signer {
 public:
  static Status create(const std::string& private_key_file);  // already_exists when it is there
  static Result<std::shared_ptr<const Signer>> load(const std::string& private_key_file);
  virtual ~Signer() = default;
  virtual const std::string& kid() const = 0;  // the first 16 hex digits of the public key's SHA-256
  virtual const PublicKey& public_key() const = 0;
  virtual std::string sign(const Envelope& envelope) const = 0;  // the text form
};

// Verifies the text form with a key of `trusted`, then reads it. refused: unknown key or wrong signature.
Result<Envelope> open_envelope(std::string_view text, const KeySet& trusted);

std::string key_id(const PublicKey& key);

// The break-glass code of one isolation: 26 characters of base32 (130 bits) in groups, made from the service's secret,
// so that only the service can tell it, for this agent and this generation alone.
std::string break_glass_code(std::string_view secret, std::string_view agent_id, int64_t generation);
// What the host keeps of it. Case, spaces and dashes do not matter.
std::string break_glass_hash(std::string_view code, std::string_view agent_id, int64_t generation);

}  // namespace fb::endpoint
