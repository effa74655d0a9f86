// What the config says of the API's front: loopback or HTTPS, whole certificates, limits.
#include "apps/firebreak/front_door.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "engine/net/tls_files.h"
#include "tests/unit/net/net_support.h"

namespace fb::cli {
namespace {

Config config(const std::string& http) {
  const Config::Loaded loaded = Config::parse(
      "data_dir: /tmp/x\nkafka: {properties: {bootstrap.servers: x}, topics: [t]}\nrules: [r]\n"
      "response: {mode: dry_run}\nhttp: {" +
          http + "}\n",
      "c.yml");
  EXPECT_TRUE(loaded.ok()) << (loaded.ok() ? "" : render(loaded.problems[0]));
  return loaded.config;
}

TEST(FrontDoor, KeysNeverCrossANetworkInTheClear) {
  for (const char* safe : {"listen: '127.0.0.1:1'", "listen: '127.9.9.9:1'", "listen: '[::1]:1'",
                           "listen: 'localhost:1'", "listen: ''", "listen: '0.0.0.0:1', tls: {enabled: true}",
                           "listen: '0.0.0.0:1', tls: {certificate_file: a, private_key_file: b}"}) {
    EXPECT_TRUE(check_front_door(config(safe))) << safe;
  }
  for (const char* open : {"listen: '0.0.0.0:1'", "listen: '[::]:1'", "listen: '192.0.2.1:1'"}) {
    const Status refused = check_front_door(config(open));
    ASSERT_FALSE(refused) << open;
    EXPECT_EQ(refused.error().code, ErrorCode::refused);
    EXPECT_EQ(refused.error().context, "http.listen");
  }
  EXPECT_FALSE(check_front_door(config("tls: {certificate_file: a}")));
  EXPECT_FALSE(check_front_door(config("tls: {private_key_file: a}")));
  EXPECT_FALSE(check_front_door(config("listen: 'some.name:1'")));
}

TEST(FrontDoor, LimitsAreThoseOfTheConfig) {
  const auto options = front_door(config("listen: '127.0.0.1:0', limits: {max_headers: 9, max_body_bytes: 2048, "
                                         "body_deadline: 2s, max_connections: 7}"),
                                  ServiceFiles("/tmp/x"));
  ASSERT_TRUE(options) << options.error().describe();
  EXPECT_EQ(options->limits.max_headers, 9u);
  EXPECT_EQ(options->limits.max_body_bytes, 2048u);
  EXPECT_EQ(options->limits.body_deadline_ms, 2000);
  EXPECT_EQ(options->limits.max_connections, 7u);
  // What the config does not say is what the code says.
  const net::ServerLimits code;
  EXPECT_EQ(options->limits.max_header_bytes, code.max_header_bytes);
  EXPECT_EQ(options->limits.header_deadline_ms, code.header_deadline_ms);
  EXPECT_EQ(options->limits.idle_deadline_ms, code.idle_deadline_ms);
  EXPECT_EQ(options->limits.write_deadline_ms, code.write_deadline_ms);
  EXPECT_EQ(options->limits.max_connections_per_address, code.max_connections_per_address);
  EXPECT_TRUE(options->certificate_file.empty());
}

TEST(FrontDoor, SpeaksHttpsWithTheServicesOwnCertificate) {
  net::test::TemporaryFolder folder;
  const ServiceFiles files(folder / "");
  ASSERT_TRUE(net::create_ca(files.ca_certificate, files.ca_key, "Test CA"));
  ASSERT_TRUE(net::create_server_certificate(files.ca_certificate, files.ca_key, files.certificate, files.key,
                                             {"localhost", "127.0.0.1"}));
  const auto options = front_door(config("listen: '127.0.0.1:0', tls: {enabled: true}"), files);
  ASSERT_TRUE(options) << options.error().describe();
  auto server = net::start_http_server(*options, [](const net::Request& r, const std::shared_ptr<net::Responder>& to) {
    net::Response answer;
    answer.body = r.tls ? "tls" : "plain";
    to->answer(std::move(answer));
  });
  ASSERT_TRUE(server) << server.error().describe();
  const std::string where = "127.0.0.1:" + std::to_string((*server)->port());
  net::ClientOptions trusting;
  trusting.ca_file = files.ca_certificate;
  const auto reply = net::HttpClient(trusting).request("GET", "https://" + where + "/", {}, "");
  ASSERT_TRUE(reply) << reply.error().describe();
  EXPECT_EQ(reply->body, "tls");
  EXPECT_FALSE(net::HttpClient({}).request("GET", "https://" + where + "/", {}, "")) << "not the system's CA";
  EXPECT_FALSE(net::HttpClient({}).request("GET", "http://" + where + "/", {}, "")) << "plain HTTP on the TLS port";
  ASSERT_EQ(chmod(files.key.c_str(), 0644), 0);
  EXPECT_FALSE(front_door(config("listen: '127.0.0.1:0', tls: {enabled: true}"), files)) << "others may read the key";
}

}  // namespace
}  // namespace fb::cli
