#include "apps/firebreak/endpoint_policy.h"

#include "actions/endpoint/allow_set.h"

namespace fb::cli {
namespace {

// As isolation_problems has them for the config.
constexpr size_t kMaxServices = 256;
constexpr size_t kMaxDns = 16;
constexpr size_t kMaxMessageBytes = 500;

tl::unexpected<Error> wrong(const std::string& key, const std::string& why) {
  return fail(ErrorCode::invalid_argument, "[request body." + key + "]: " + why);
}

}  // namespace

endpoint::CutPolicy with_policy(endpoint::CutPolicy config, const PolicySettings& s) {
  if (s.services) config.services = *s.services;
  if (s.dns) config.dns = *s.dns;
  if (s.dhcp) config.dhcp = *s.dhcp;
  if (s.on_lockout) config.rollback = *s.on_lockout == "rollback";
  if (s.message) config.message = *s.message;
  return config;
}

Status policy_fits(const PolicySettings& s) {
  if (s.services) {
    if (s.services->size() > kMaxServices) return wrong("services", "at most 256 entries");
    for (const std::string& entry : *s.services) {
      const auto service = endpoint::parse_service(entry);
      if (!service) return wrong("services", service.error().describe());
    }
  }
  if (s.dns) {
    if (s.dns->size() > kMaxDns) return wrong("dns", "at most 16 entries");
    for (const std::string& entry : *s.dns) {
      const auto address = endpoint::parse_prefix(entry);
      if (!address) return wrong("dns", address.error().describe());
      if (address->length != (address->v6 ? 128 : 32)) {
        return wrong("dns", "'" + entry + "' is a network, not an address");
      }
    }
  }
  if (s.on_lockout && *s.on_lockout != "stay" && *s.on_lockout != "rollback") {
    return wrong("on_lockout", "stay or rollback");
  }
  if (s.message && (s.message->size() > kMaxMessageBytes ||
                    s.message->find_first_of(std::string("\0\x1b\r", 3)) != std::string::npos)) {
    return wrong("message", "a text of at most 500 bytes without control characters");
  }
  return {};
}

}  // namespace fb::cli
