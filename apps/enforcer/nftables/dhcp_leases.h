// Which DHCP servers this host has its leases from, as its DHCP client wrote them down (systemd-networkd, dhclient,
// NetworkManager's own client). A host without such files still renews: a client that gets no answer from its server
// asks by broadcast. Reads a few small files; whatever can't be read is passed over.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "actions/endpoint/allow_set.h"

namespace fb::agent {

inline constexpr size_t kMaxDhcpServers = 16;

// IPv4 only: DHCPv6 goes to a multicast address. Sorted, each once. root: "" but in tests.
std::vector<endpoint::Prefix> dhcp_servers(const std::string& root = "");

// The server of the newest lease in one file; "" when none is named.
std::string dhcp_server_in(std::string_view lease_file);

}  // namespace fb::agent
