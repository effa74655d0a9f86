#include "apps/enforcer/nftables/dhcp_leases.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace fb::agent {
namespace {

TEST(DhcpServerIn, ReadsWhatTheClientsWrite) {
  EXPECT_EQ(dhcp_server_in("ADDRESS=192.0.2.5\nSERVER_ADDRESS=192.0.2.1\nT1=10\n"), "192.0.2.1");
  const char* dhclient =
      "lease {\n  interface \"eth0\";\n  option dhcp-server-identifier 192.0.2.1;\n}\n"
      "lease {\n  interface \"eth0\";\n  option dhcp-server-identifier 192.0.2.9;\n}\n";
  EXPECT_EQ(dhcp_server_in(dhclient), "192.0.2.9") << "the newest lease stands last";
  EXPECT_EQ(dhcp_server_in("ADDRESS=192.0.2.5\n"), "");
  EXPECT_EQ(dhcp_server_in(""), "");
}

class DhcpServersTest : public ::testing::Test {
 protected:
  DhcpServersTest() {
    std::string name = (std::filesystem::temp_directory_path() / "leases_XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) root_ = name;
  }
  ~DhcpServersTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  void write(const std::string& file, const std::string& text) {
    std::filesystem::create_directories((root_ + file).substr(0, (root_ + file).rfind('/')));
    std::ofstream(root_ + file) << text;
  }
  std::vector<std::string> servers() {
    std::vector<std::string> texts;
    for (const auto& p : dhcp_servers(root_)) texts.push_back(to_string(p));
    return texts;
  }
  std::string root_;
};

TEST_F(DhcpServersTest, LooksWhereTheClientsKeepThem) {
  ASSERT_FALSE(root_.empty());
  EXPECT_TRUE(servers().empty());
  write("/run/systemd/netif/leases/2", "SERVER_ADDRESS=192.0.2.9\n");
  write("/var/lib/dhcp/dhclient.eth0.leases", "option dhcp-server-identifier 192.0.2.1;\n");
  write("/var/lib/NetworkManager/internal-x-eth1.lease", "SERVER_ADDRESS=192.0.2.9\n");
  EXPECT_EQ(servers(), std::vector<std::string>({"192.0.2.1", "192.0.2.9"}));
}

TEST_F(DhcpServersTest, PassesOverWhatIsNoServer) {
  int file = 0;
  for (const char* address : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.0/24", "2001:db8::1",
                              "example.org", "192.0.2.1 }", ""}) {
    write("/var/lib/dhcp/" + std::to_string(++file), std::string("option dhcp-server-identifier ") + address + ";\n");
  }
  write("/var/lib/dhcp/large", std::string(300'000, ' ') + "SERVER_ADDRESS=192.0.2.1\n");
  EXPECT_TRUE(servers().empty());
}

TEST_F(DhcpServersTest, KeepsOnlyAFew) {
  for (int i = 1; i <= 40; ++i)
    write("/var/lib/dhcp/" + std::to_string(i), "SERVER_ADDRESS=192.0.2." + std::to_string(i));
  EXPECT_EQ(servers().size(), kMaxDhcpServers);
}

}  // namespace
}  // namespace fb::agent
