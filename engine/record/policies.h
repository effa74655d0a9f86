// Endpoint policies as the record keeps them: what a policy says of its isolated hosts, and which endpoint has which.
// Plain data; the calls are the Store's (store.h). What a policy leaves open, the config says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fb {

// Every endpoint that nobody gave another policy has this one. It can be changed, never removed.
inline constexpr const char* kDefaultPolicy = "default";

struct PolicySettings {
  std::optional<std::vector<std::string>> services;  // "host:port"
  std::optional<std::vector<std::string>> dns;       // addresses of name servers
  std::optional<bool> dhcp;
  std::optional<std::string> on_lockout;  // stay | rollback
  std::optional<std::string> message;     // for people who are logged in

  bool operator==(const PolicySettings&) const = default;
};

struct EndpointPolicy {
  std::string id;
  std::string name;  // unique without regard to case
  std::string description;
  PolicySettings settings;
  // Given by the store.
  int64_t version = 0;  // 1, and one more with each change
  int64_t endpoints = 0;
  std::string created_by;
  std::string updated_by;
  int64_t created_at_ms = 0;
  int64_t updated_at_ms = 0;
};

}  // namespace fb
