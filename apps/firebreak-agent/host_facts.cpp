#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

#include <memory>

#include "apps/enforcer/durable_file.h"
#include "apps/firebreak-agent/agent.h"

namespace fb::agent {
namespace {

constexpr size_t kMaxAddresses = 32;

std::vector<std::string> addresses() {
  std::vector<std::string> out;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return out;
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, freeifaddrs);
  for (const ifaddrs* at = list; at != nullptr && out.size() < kMaxAddresses; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || (at->ifa_flags & IFF_LOOPBACK) != 0) continue;
    char text[INET6_ADDRSTRLEN] = "";
    if (at->ifa_addr->sa_family == AF_INET) {
      inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(at->ifa_addr)->sin_addr, text, sizeof text);
    } else if (at->ifa_addr->sa_family == AF_INET6) {
      const in6_addr& address = reinterpret_cast<const sockaddr_in6*>(at->ifa_addr)->sin6_addr;
      if (IN6_IS_ADDR_LINKLOCAL(&address)) continue;
      inet_ntop(AF_INET6, &address, text, sizeof text);
    }
    if (text[0] != '\0') out.emplace_back(text);
  }
  return out;
}

}  // namespace

HostFacts read_host_facts() {
  HostFacts facts;
  facts.os = "linux";
  if (auto id = read_file("/etc/machine-id", 4096)) {
    facts.host_id = id->substr(0, id->find_first_of(" \r\n"));
  }
  char name[256] = "";
  if (gethostname(name, sizeof name - 1) == 0) facts.hostname = name;
  facts.ips = addresses();
  return facts;
}

}  // namespace fb::agent
