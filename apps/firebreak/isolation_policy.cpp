#include "apps/firebreak/isolation_policy.h"

#include "actions/endpoint/allow_set.h"

namespace fb::cli {
namespace {

constexpr const char* kExceptions = "response.isolation.exceptions";
constexpr const char* kServices = "response.isolation.services";
constexpr const char* kDns = "response.isolation.dns";
constexpr const char* kMessage = "response.isolation.message";
constexpr size_t kMaxServices = 256;
constexpr size_t kMaxDns = 16;
constexpr size_t kMaxMessageBytes = 500;

}  // namespace

endpoint::CutPolicy isolation_policy(const Config& config) {
  endpoint::CutPolicy policy;
  policy.exceptions = config.list(kExceptions);
  policy.services = config.list(kServices);
  policy.dns = config.list(kDns);
  policy.dhcp = config.flag("response.isolation.dhcp");
  policy.rollback = config.text("response.isolation.on_lockout") == "rollback";
  policy.message = config.text(kMessage);
  return policy;
}

std::vector<Diagnostic> isolation_problems(const Config::Loaded& loaded) {
  std::vector<Diagnostic> problems;
  const Config& c = loaded.config;
  const auto check = [&](const char* path, size_t most, auto refusal) {
    const std::vector<std::string>& list = c.list(path);
    for (size_t i = 0; i < list.size(); ++i) {
      if (std::string why = refusal(list[i]); !why.empty()) {
        problems.push_back(loaded.wrong_entry(path, i, std::move(why)));
      }
    }
    if (list.size() <= most) return;
    problems.push_back(
        loaded.wrong_entry(path, list.size(), std::string(path) + " has at most " + std::to_string(most) + " entries"));
  };
  check(kExceptions, endpoint::kMaxExceptions, [](const std::string& entry) {
    const auto one = endpoint::read_exceptions({entry});
    return one ? std::string() : one.error().describe();
  });
  check(kServices, kMaxServices, [](const std::string& entry) {
    const auto service = endpoint::parse_service(entry);
    return service ? std::string() : service.error().describe();
  });
  check(kDns, kMaxDns, [](const std::string& entry) {
    const auto address = endpoint::parse_prefix(entry);
    if (!address) return address.error().describe();
    return address->length == (address->v6 ? 128 : 32) ? std::string() : "'" + entry + "' is a network, not an address";
  });
  if (problems.empty()) {
    // Each may pass where all together would undo the isolation.
    const auto all = endpoint::read_exceptions(c.list(kExceptions));
    if (!all) problems.push_back(loaded.wrong_entry(kExceptions, SIZE_MAX, all.error().describe()));
  }
  const std::string& message = c.text(kMessage);
  const bool control = message.find_first_of(std::string("\0\x1b\r", 3)) != std::string::npos;
  if (message.size() > kMaxMessageBytes || control) {
    problems.push_back(loaded.wrong_entry(kMessage, 0,
                                          std::string(kMessage) + " is one text of at most " +
                                              std::to_string(kMaxMessageBytes) + " bytes without control characters"));
  }
  return problems;
}

}  // namespace fb::cli
