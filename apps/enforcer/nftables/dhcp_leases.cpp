#include "apps/enforcer/nftables/dhcp_leases.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace fb::agent {
namespace {

constexpr const char* kFolders[] = {"/run/systemd/netif/leases", "/var/lib/dhcp", "/var/lib/dhclient",
                                    "/var/lib/NetworkManager"};
constexpr uintmax_t kMaxLeaseFile = 256u << 10;
constexpr size_t kMaxLeaseFiles = 256;

// The text after the last `key`, up to one of the stops.
std::string after_last(std::string_view text, std::string_view key, std::string_view stops) {
  const size_t at = text.rfind(key);
  if (at == std::string_view::npos) return "";
  text.remove_prefix(at + key.size());
  return std::string(text.substr(0, text.find_first_of(stops)));
}

bool names_a_host(const endpoint::Prefix& p) {
  return !p.v6 && p.length == 32 && p.bytes[0] != 0 && p.bytes[0] != 127 && p.bytes[0] < 224;
}

}  // namespace

std::string dhcp_server_in(std::string_view lease_file) {
  // dhclient appends, so its newest lease stands last.
  const std::string dhclient = after_last(lease_file, "option dhcp-server-identifier ", ";\n");
  return dhclient.empty() ? after_last(lease_file, "SERVER_ADDRESS=", "\n\r ") : dhclient;
}

std::vector<endpoint::Prefix> dhcp_servers(const std::string& root) {
  namespace fs = std::filesystem;
  std::vector<endpoint::Prefix> servers;
  size_t files = 0;
  for (const char* folder : kFolders) {
    std::error_code error;
    for (fs::directory_iterator at(root + folder, error), end; !error && at != end; at.increment(error)) {
      std::error_code skip;
      if (!at->is_regular_file(skip) || at->file_size(skip) > kMaxLeaseFile || ++files > kMaxLeaseFiles) continue;
      std::ifstream stream(at->path(), std::ios::binary);
      const std::string text{std::istreambuf_iterator<char>(stream), {}};
      const auto server = endpoint::parse_prefix(dhcp_server_in(text));
      if (server && names_a_host(*server)) servers.push_back(*server);
    }
  }
  std::sort(servers.begin(), servers.end());
  servers.erase(std::unique(servers.begin(), servers.end()), servers.end());
  if (servers.size() > kMaxDhcpServers) servers.resize(kMaxDhcpServers);
  return servers;
}

}  // namespace fb::agent
