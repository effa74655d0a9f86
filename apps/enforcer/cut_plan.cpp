#include "apps/enforcer/cut_plan.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace fb::agent {
namespace {

bool connects(const OpenService& service, int timeout_ms, const std::atomic<bool>& given_up) {
  sockaddr_storage address{};
  socklen_t size = 0;
  if (service.address.v6) {
    auto* to = reinterpret_cast<sockaddr_in6*>(&address);
    to->sin6_family = AF_INET6;
    to->sin6_port = htons(service.port);
    std::memcpy(&to->sin6_addr, service.address.bytes.data(), 16);
    size = sizeof *to;
  } else {
    auto* to = reinterpret_cast<sockaddr_in*>(&address);
    to->sin_family = AF_INET;
    to->sin_port = htons(service.port);
    std::memcpy(&to->sin_addr, service.address.bytes.data(), 4);
    size = sizeof *to;
  }
  const int fd = ::socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  bool reached = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), size) == 0;
  if (!reached && errno == EINPROGRESS) {
    constexpr int kSliceMs = 100;
    for (int waited = 0; waited < timeout_ms && !given_up.load(); waited += kSliceMs) {
      pollfd ready{fd, POLLOUT, 0};
      if (::poll(&ready, 1, kSliceMs) <= 0) continue;
      int error = 0;
      socklen_t length = sizeof error;
      reached = ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
      break;
    }
  }
  ::close(fd);
  return reached;
}

void add_service(const endpoint::Service& service, const NameCache& names, std::vector<OpenService>& to,
                 std::vector<std::string>& problems) {
  const NameCache::Numbers numbers = names.numbers(service.host);
  if (numbers.addresses.empty()) {
    problems.push_back("no address is known for " + service.host + ": " + numbers.problem);
  }
  for (const endpoint::Prefix& address : numbers.addresses) to.push_back({address, service.port});
}

}  // namespace

Result<endpoint::Service> control_plane_of(const std::string& server) {
  const bool tls = server.starts_with("https://");
  if (!tls && !server.starts_with("http://")) {
    return fail(ErrorCode::invalid_argument, "the server's address must start with https://", server);
  }
  std::string authority = server.substr(tls ? 8 : 7);
  authority = authority.substr(0, authority.find('/'));
  const size_t colon = authority.rfind(':');
  const bool has_port = colon != std::string::npos && authority.find(']', colon) == std::string::npos;
  if (!has_port) authority += tls ? ":443" : ":80";
  return endpoint::parse_service(authority);
}

std::vector<std::string> hosts_of(const std::string& server, const endpoint::CutPolicy& policy) {
  std::vector<std::string> hosts;
  if (const auto control = control_plane_of(server)) hosts.push_back(control->host);
  for (const std::string& text : policy.services) {
    if (const auto service = endpoint::parse_service(text)) hosts.push_back(service->host);
  }
  return hosts;
}

CutPlan plan_cut(const std::string& server, const endpoint::CutPolicy& policy, const NameCache& names) {
  CutPlan plan;
  if (const auto control = control_plane_of(server)) {
    add_service(*control, names, plan.control_plane, plan.problems);
  } else {
    plan.problems.push_back("the control plane's address can't be read: " + control.error().describe());
  }
  plan.cut.services = plan.control_plane;
  for (const std::string& text : policy.services) {
    if (const auto service = endpoint::parse_service(text)) {
      add_service(*service, names, plan.cut.services, plan.problems);
    } else {
      plan.problems.push_back("a service of the policy is left out: " + service.error().describe());
    }
  }
  // The control plane stands first, so a cap never costs it.
  if (plan.cut.services.size() > kMaxOpenServices) {
    plan.cut.services.resize(kMaxOpenServices);
    plan.problems.push_back("the policy's services have more than " + std::to_string(kMaxOpenServices) +
                            " addresses; the rest is left out");
  }
  std::sort(plan.cut.services.begin(), plan.cut.services.end());
  plan.cut.services.erase(std::unique(plan.cut.services.begin(), plan.cut.services.end()), plan.cut.services.end());

  if (auto exceptions = endpoint::read_exceptions(policy.exceptions)) {
    plan.cut.exceptions = std::move(*exceptions);
  } else {
    plan.problems.push_back("the policy's exceptions are left out: " + exceptions.error().describe());
  }
  for (const std::string& text : policy.dns) {
    const auto server_address = endpoint::parse_prefix(text);
    if (server_address && server_address->length == (server_address->v6 ? 128 : 32)) {
      plan.cut.dns.push_back(*server_address);
    } else {
      plan.problems.push_back("a name server of the policy is left out, it must be one address: " + text);
    }
  }
  std::sort(plan.cut.dns.begin(), plan.cut.dns.end());
  plan.cut.dns.erase(std::unique(plan.cut.dns.begin(), plan.cut.dns.end()), plan.cut.dns.end());
  plan.cut.dhcp = policy.dhcp;
  return plan;
}

bool can_connect(const std::vector<OpenService>& services, int timeout_ms, const std::atomic<bool>& given_up) {
  return std::any_of(services.begin(), services.end(),
                     [&](const OpenService& s) { return !given_up.load() && connects(s, timeout_ms, given_up); });
}

}  // namespace fb::agent
