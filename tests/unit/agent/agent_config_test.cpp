#include "apps/firebreak-agent/agent_config.h"

#include <gtest/gtest.h>

#include "tests/unit/agent/agent_support.h"

namespace fb::agent {
namespace {

using test::put_file;
using test::TemporaryFolder;

std::string refusal(const std::string& text) {
  const TemporaryFolder dir;
  put_file(dir / "a.yml", text);
  const auto options = load_agent_config(dir / "a.yml");
  EXPECT_FALSE(options) << text;
  if (options) return "";
  return options.error().describe().substr(dir.path().size() + 1);
}

TEST(AgentConfig, ReadsEveryKey) {
  const TemporaryFolder dir;
  put_file(dir / "a.yml", "server: https://fire.example:8771\nca_file: ca.pem\nfingerprint: " + std::string(64, 'A') +
                              "\ntoken_file: /etc/token\nstate_dir: state\nbackend: simulated\nagent_id: a-1\n"
                              "simulated: {host_id: h-1, hostname: desk, os: windows, ips: [10.0.0.1]}\n");
  const auto options = load_agent_config(dir / "a.yml");
  ASSERT_TRUE(options) << options.error().describe();
  EXPECT_EQ(options->server, "https://fire.example:8771");
  EXPECT_EQ(options->ca_file, dir / "ca.pem") << "relative to the file";
  EXPECT_EQ(options->token_file, "/etc/token");
  EXPECT_EQ(options->state_dir, dir / "state");
  EXPECT_EQ(options->agent_id, "a-1");
  EXPECT_EQ(options->host.host_id, "h-1");
  EXPECT_EQ(options->host.hostname, "desk");
  EXPECT_EQ(options->host.os, "windows");
  EXPECT_EQ(options->host.ips, std::vector<std::string>{"10.0.0.1"});
}

TEST(AgentConfig, TakesTheMachinesOwnFactsElse) {
  const TemporaryFolder dir;
  put_file(dir / "a.yml", "server: https://x\nstate_dir: s\nbackend: simulated\n");
  const auto options = load_agent_config(dir / "a.yml");
  ASSERT_TRUE(options);
  EXPECT_EQ(options->host.os, "linux");
  EXPECT_FALSE(options->host.hostname.empty());
}

TEST(AgentConfig, NamesPlaceAndNearestKeyOfWhatItRefuses) {
  const std::string base = "server: https://x\nstate_dir: s\nbackend: simulated\n";
  EXPECT_EQ(refusal(base + "tokn_file: x\n"), "a.yml:4:1: unknown key 'tokn_file'; did you mean 'token_file'?");
  EXPECT_EQ(refusal(base + "simulated:\n  hostnam: x\n"), "a.yml:5:3: unknown key 'hostnam'; did you mean 'hostname'?");
  EXPECT_EQ(refusal(base + "server: y\n"), "a.yml:4:1: key 'server' stands twice");
  EXPECT_EQ(refusal("server: https://x\nbackend: simulated\n"), "a.yml:1:1: 'state_dir' is missing");
  EXPECT_NE(refusal("server: https://x\nstate_dir: s\nbackend: nft\n").find("a.yml:3:10: there is no backend 'nft'"),
            std::string::npos);
  EXPECT_NE(refusal(base + "fingerprint: abc\n").find("64 hexadecimal digits"), std::string::npos);
  EXPECT_NE(refusal(base + "ca_file: [a]\n").find("must be a text"), std::string::npos);
  EXPECT_NE(refusal(base + "simulated: {os: beos}\n").find("linux, windows or macos"), std::string::npos);
  EXPECT_NE(refusal("- a\n").find("must be a map"), std::string::npos);
  EXPECT_NE(refusal("a: [\n").find("not readable as YAML"), std::string::npos);
  EXPECT_NE(refusal("").find("must be a map"), std::string::npos);
  const auto missing = load_agent_config("/nonexistent/a.yml");
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().describe().find("/nonexistent/a.yml"), std::string::npos);
}

TEST(AgentConfig, TheHelperGoesWithTheRealBackend) {
  const TemporaryFolder dir;
  const std::string base = "server: https://x\nstate_dir: s\n";
  put_file(dir / "a.yml", base + "backend: nftables\nhelper_socket: /run/h.sock\nhelper_folder: helper\n");
  const auto options = load_agent_config(dir / "a.yml");
  ASSERT_TRUE(options) << options.error().describe();
  EXPECT_EQ(options->helper_socket, "/run/h.sock");
  EXPECT_EQ(options->helper_folder, dir / "helper");
  EXPECT_NE(refusal(base + "backend: simulated\nhelper_socket: x\n").find("backend: nftables only"), std::string::npos);
}

TEST(AgentConfig, TheExampleFileIsAccepted) {
  const char* source = std::getenv("FB_SOURCE_DIR");
  ASSERT_NE(source, nullptr);
  const auto options = load_agent_config(std::string(source) + "/config/firebreak-agent.example.yml");
  ASSERT_TRUE(options) << options.error().describe();
  EXPECT_TRUE(options->server.starts_with("https://"));
}

TEST(AgentOptions, RefusePlainHttp) {
  const TemporaryFolder dir;
  AgentOptions options;
  options.host = read_host_facts();
  options.state_dir = dir / "s";
  options.backend = "simulated";
  for (const char* bad : {"http://fire.example:8771", "fire.example", "", "http://127.0.0.1:8771", "ftp://x"}) {
    options.server = bad;
    const Status s = run_agent(options, {});
    ASSERT_FALSE(s) << bad;
    EXPECT_EQ(s.error().code, ErrorCode::invalid_argument);
  }
}

}  // namespace
}  // namespace fb::agent
