// Which URLs a sink may be pointed at, and that a client then connects to the address that was judged and no other.
#include "engine/net/address_guard.h"

#include <gtest/gtest.h>

#include <atomic>

#include "engine/net/http.h"

namespace fb::net {
namespace {

Resolve always(std::vector<std::string> addresses) {
  return [addresses](const std::string&) -> Result<std::vector<std::string>> { return addresses; };
}
Result<std::vector<std::string>> never(const std::string& host) {
  ADD_FAILURE() << "looked up " << host;
  return fail(ErrorCode::unavailable, "none");
}

TEST(AddressGuard, a_public_host_is_let_through_and_pinned) {
  const auto g =
      guard_url("https://hooks.example.com/services/T0/x?y=z", {}, always({"93.184.216.34", "2606:2800::1"}));
  ASSERT_TRUE(g) << g.error().describe();
  EXPECT_EQ(g->host, "hooks.example.com");
  EXPECT_EQ(g->port, 443);
  EXPECT_EQ(g->connect_to, "hooks.example.com:443:93.184.216.34,[2606:2800::1]");
  EXPECT_EQ(guard_url("HTTPS://Hooks.Example.COM:8443", {}, always({"1.1.1.1"}))->connect_to,
            "hooks.example.com:8443:1.1.1.1");
  EXPECT_EQ(guard_url("https://1.1.1.1/x", {}, never)->connect_to, "");
  EXPECT_TRUE(guard_url("https://[2606:4700::1111]:444/x", {}, never));
}

TEST(AddressGuard, addresses_that_are_not_public_are_refused_in_every_spelling) {
  for (const char* url : {
           "https://127.0.0.1/",
           "https://127.1/",
           "https://2130706433/",
           "https://0177.0.0.1/",
           "https://0x7f.0.0.1/",
           "https://0x7f000001/",
           "https://017700000001/",
           "https://127.0.0.01/",
           "https://127.0.0.1./",
           "https://0/",
           "https://0.0.0.0/",
           "https://10.1.2.3/",
           "https://172.16.0.1/",
           "https://172.31.255.255/",
           "https://192.168.1.1/",
           "https://100.64.0.1/",
           "https://169.254.169.254/latest/meta-data/",
           "https://224.0.0.1/",
           "https://255.255.255.255/",
           "https://198.18.0.1/",
           "https://192.0.2.1/",
           "https://[::1]/",
           "https://[::]/",
           "https://[::ffff:127.0.0.1]/",
           "https://[::ffff:7f00:1]/",
           "https://[0:0:0:0:0:ffff:127.0.0.1]/",
           "https://[::127.0.0.1]/",
           "https://[fe80::1]/",
           "https://[fe80::1%25eth0]/",
           "https://[fd00:ec2::254]/",
           "https://[fc00::1]/",
           "https://[ff02::1]/",
           "https://[64:ff9b::7f00:1]/",
           "https://[2002:7f00:1::]/",
           "https://[2001:0:1::]/",
           "https://[2001:db8::1]/",
           "https://::1/",
           "https://[127.0.0.1]/",
           "https://[1.1.1.1]/",
           "https://256.256.256.256/",
           "https://1.2.3.4.5/",
           "https://0xA9FEA9FE/",
           "https://example.com.0x1/",
       }) {
    const auto g = guard_url(url, {}, never);
    EXPECT_FALSE(g) << url;
    if (!g) {
      EXPECT_EQ(g.error().code, ErrorCode::refused) << url;
    }
  }
}

TEST(AddressGuard, urls_that_readers_disagree_on_are_refused) {
  for (const char* url : {
           "http://example.com/",
           "ftp://example.com/",
           "file:///etc/passwd",
           "gopher://example.com/",
           "example.com",
           "https:/example.com",
           "https:example.com",
           "//example.com/",
           "https://",
           "https:///x",
           "https://?x",
           "https://user@example.com/",
           "https://user:pass@example.com/",
           "https://example.com@127.0.0.1/",
           "https://example.com%40127.0.0.1/",
           "https://127.0.0.1\\@example.com/",
           "https://example.com\\.evil/",
           "https://example.com:80:90/",
           "https://example.com:0/",
           "https://example.com:65536/",
           "https://example.com:/",
           "https://example.com:4a/",
           "https://example.com:-1/",
           "https://ex ample.com/",
           "https://example.com/\r\nHost: x",
           "https://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/",
           "https://ex\u00e4mple.com/",
           "https://%31%32%37.0.0.1/",
           "https://[::1/",
           "https://[::1]x/",
           "https://example.com\t/",
           "https://example.com#@127.0.0.1\\/",
           " https://example.com/",
       }) {
    EXPECT_FALSE(guard_url(url, {}, always({"1.1.1.1"}))) << url;
  }
  // What stands behind the host is no host.
  const auto g = guard_url("https://example.com#@127.0.0.1/", {}, always({"1.1.1.1"}));
  ASSERT_TRUE(g);
  EXPECT_EQ(g->host, "example.com");
}

TEST(AddressGuard, a_name_with_any_forbidden_address_is_refused) {
  for (const std::vector<std::string>& answer : {std::vector<std::string>{"127.0.0.1"},
                                                 {"1.1.1.1", "10.0.0.1"},
                                                 {"::ffff:1.1.1.1"},
                                                 {"fe80::1"},
                                                 {"nonsense"}}) {
    const auto g = guard_url("https://example.com/", {}, always(answer));
    ASSERT_FALSE(g);
    EXPECT_EQ(g.error().code, ErrorCode::refused);
  }
  EXPECT_EQ(guard_url("https://example.com/", {}, always({})).error().code, ErrorCode::unavailable);
}

TEST(AddressGuard, lists_let_hosts_and_private_addresses_through) {
  AddressRules rules;
  rules.allow_hosts = {"Hooks.example.com", ".corp.example"};
  EXPECT_TRUE(guard_url("https://hooks.example.com/", rules, always({"1.1.1.1"})));
  EXPECT_TRUE(guard_url("https://a.corp.example/", rules, always({"1.1.1.1"})));
  for (const char* url : {"https://example.com/", "https://evilhooks.example.com/", "https://corp.example/",
                          "https://hooks.example.com.evil.net/", "https://evilcorp.example/"}) {
    EXPECT_FALSE(guard_url(url, rules, never)) << url;
  }
  rules = {};
  rules.allow_private = {"10.1.2.0/24", "127.0.0.1", "fd00::/8"};
  ASSERT_TRUE(check_address_rules(rules));
  EXPECT_TRUE(guard_url("https://10.1.2.255/", rules, never));
  EXPECT_TRUE(guard_url("https://n/", rules, always({"127.0.0.1", "fd00::2"})));
  EXPECT_FALSE(guard_url("https://10.1.3.0/", rules, never));
  EXPECT_FALSE(guard_url("https://127.0.0.2/", rules, never));
  EXPECT_FALSE(guard_url("https://[::ffff:10.1.2.1]/", rules, never));
  for (const char* bad : {"10.0.0.0/33", "10.0.0/8", "localhost", "10.0.0.0/", "10.0.0.0/8x", "::/129", ""}) {
    rules.allow_private = {bad};
    EXPECT_FALSE(check_address_rules(rules)) << bad;
  }
  rules = {};
  rules.allow_http = true;
  EXPECT_EQ(guard_url("http://example.com/", rules, always({"1.1.1.1"}))->port, 80);
}

// A name server that tells the judge a good address and whoever asks next a bad one: there is no next.
TEST(AddressGuard, a_name_is_looked_up_once_and_the_client_goes_to_the_judged_address) {
  std::atomic<int> served{0};
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  auto server = start_http_server(options, [&](Request r, std::shared_ptr<Responder> responder) {
    ++served;
    EXPECT_EQ(r.headers["host"].rfind("Rebind.invalid", 0), 0u);
    Response answer;
    answer.status = 302;
    answer.headers["location"] = "http://169.254.169.254/latest/meta-data/";
    responder->answer(std::move(answer));
  });
  ASSERT_TRUE(server);
  int asked = 0;
  const Resolve rebinding = [&](const std::string&) -> Result<std::vector<std::string>> {
    return std::vector<std::string>{++asked == 1 ? "127.0.0.1" : "169.254.169.254"};
  };
  AddressRules rules;
  rules.allow_http = true;
  rules.allow_private = {"127.0.0.1"};
  const std::string url = "http://Rebind.invalid:" + std::to_string((*server)->port()) + "/hook";
  const auto g = guard_url(url, rules, rebinding);
  ASSERT_TRUE(g) << g.error().describe();
  ClientOptions client;
  client.connect_to = g->connect_to;
  client.connect_timeout_ms = 2000;
  const auto reply = HttpClient(client).request("POST", g->url, {}, "{}");  // "invalid" has no address anywhere
  ASSERT_TRUE(reply) << reply.error().describe();
  EXPECT_EQ(reply->status, 302);  // handed back, not followed
  EXPECT_EQ(served.load(), 1);
  EXPECT_EQ(asked, 1);
  EXPECT_FALSE(guard_url(url, rules, rebinding));  // the second answer is judged anew
}

}  // namespace
}  // namespace fb::net
