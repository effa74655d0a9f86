// What an attacker would try that is about no single route: rights that are taken away while an answer goes on, texts
// that are nested deep, work that holds up others, half of a change.
#include <condition_variable>
#include <mutex>
#include <thread>

#include "api/front.h"
#include "tests/unit/api/hostile_support.h"

namespace fb::api::test {
namespace {

constexpr const char* kPassword = "correct horse battery";

class Following : public Hostile {
 protected:
  std::unique_ptr<net::test::RawClient> follow(const std::string& credentials, const std::string& query = "") {
    auto client = std::make_unique<net::test::RawClient>(server_->port());
    EXPECT_TRUE(
        client->send("GET /api/stream" + query + " HTTP/1.1\r\nHost: localhost\r\n" + credentials + "\r\n\r\n"));
    const std::string first = client->read_until(": following\n\n");
    EXPECT_EQ(status_of(first), 200) << first;
    return client;
  }
  static std::string by_key(const std::string& key) { return "Authorization: " + key; }
  // "At once" is the quarter of a second between two looks, and some patience.
  static constexpr int kAtOnceMs = 1500;
};

TEST_F(Following, EndsWhenTheKeyIsRevokedOrOver) {
  std::string id;
  const std::string key = add_key("ada", {}, 0, &id);
  const auto revoked = follow(by_key(key));
  const auto expiring = follow(by_key(add_key("ada", {}, clock_.wall_ms() + 60'000)));
  const auto stays = follow(by_key(add_key("ada")));
  ASSERT_TRUE(store_->revoke_key(id, "user:test", "lost").value());
  EXPECT_TRUE(revoked->closed_within(kAtOnceMs));
  EXPECT_FALSE(expiring->closed_within(600)) << "not yet";
  clock_.advance_ms(60'000);
  EXPECT_TRUE(expiring->closed_within(kAtOnceMs));
  EXPECT_FALSE(stays->closed_within(600)) << "the others go on";
}

TEST_F(Following, EndsWhenThePersonMayNoLonger) {
  add_user("bob", {Role::viewer}, kPassword);
  add_user("eve", {Role::viewer}, kPassword);
  const auto disabled = follow(by_key(add_key("bob")));
  const auto by_password = follow("Authorization: " + basic("eve", kPassword));
  ASSERT_TRUE(store_->set_disabled("bob", true, "user:test", "left"));
  EXPECT_TRUE(disabled->closed_within(kAtOnceMs)) << "disabled";
  EXPECT_FALSE(by_password->closed_within(600));
  ASSERT_TRUE(store_->set_password("eve", *hash_password("another password"), "user:test"));
  EXPECT_TRUE(by_password->closed_within(kAtOnceMs)) << "another password";
  const auto moved = follow(by_key(add_key("eve")));
  ASSERT_TRUE(store_->set_roles("eve", {}, "user:test", "moved"));
  EXPECT_TRUE(moved->closed_within(kAtOnceMs)) << "without roles";
}

TEST_F(Following, EndsWithTheSession) {
  add_user("bob", {Role::viewer}, kPassword);
  const auto log_in = [&] {
    const std::string body = Json{{"user", "bob"}, {"password", kPassword}}.dump();
    const std::string in = answer_to(post_text("/api/firebreak/session", body));
    const size_t at = in.find("Set-Cookie: ");
    return in.substr(at + 12, in.find(';', at) - at - 12);
  };
  const std::string cookie = log_in();
  const auto client = follow("Cookie: " + cookie);
  const auto other = follow("Cookie: " + log_in());
  EXPECT_EQ(send(head("DELETE /api/firebreak/session", "kbn-xsrf: x\r\nCookie: " + cookie + "\r\n") + "\r\n"), 200);
  EXPECT_TRUE(client->closed_within(kAtOnceMs)) << "logged out";
  EXPECT_FALSE(other->closed_within(600));
  clock_.advance_ms(30 * 60'000);
  EXPECT_TRUE(other->closed_within(kAtOnceMs)) << "idle";
}

TEST_F(Hostile, ImportsThatAreNestedDeepAreRefusedLineByLine) {
  const std::string deep = std::string(30'000, '[') + std::string(30'000, ']');
  const std::string file =
      R"({"list_id":"x","name":"n","description":"d","type":"detection","namespace_type":"single","meta":{"a":)" +
      deep + "}}\n" +
      R"({"list_id":"x","item_id":"i","name":"n","description":"d","type":"simple","namespace_type":"single",)" +
      R"("entries":[{"field":"a","operator":"included","type":"match","value":"v"}],"meta":{"a":)" + deep + "}}\n";
  const std::string body =
      "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.ndjson\"\r\n"
      "Content-Type: application/ndjson\r\n\r\n" +
      file + "\r\n--B--\r\n";
  for (const char* path : {"/api/exception_lists/_import", "/api/detection_engine/rules/_import"}) {
    const std::string answer =
        answer_to(head(std::string("POST ") + path,
                       authorized() + "Content-Type: multipart/form-data; boundary=B\r\nContent-Length: " +
                           std::to_string(body.size()) + "\r\n") +
                  "\r\n" + body);
    const int status = status_of(answer);
    EXPECT_TRUE(status == 200 || (status >= 400 && status <= 503)) << answer.substr(0, 200);
    EXPECT_EQ(answer.find("\"success\":true"), std::string::npos) << answer;
  }
  EXPECT_EQ(count("SELECT count(*) FROM exception_lists"), 0);
  expect_serving("after deep imports");
}

TEST(Front, AJsonTextIsKnownBehindBlanksAndItsMark) {
  for (const char* text : {"{", "[", " \r\n\t{", "\xEF\xBB\xBF[", "\xEF\xBB\xBF \n{"}) {
    EXPECT_TRUE(may_be_json(text)) << text;
  }
  for (const char* text : {"", " ", "\"[\"", "5", "--B\r\n{", "\xEF\xBB\xBF", "\xEF\xBB{"}) {
    EXPECT_FALSE(may_be_json(text)) << text;
  }
}

class Attacks : public ApiTest {};

// A provider that takes its time must not keep people from logging in with passwords.
TEST_F(Attacks, AProviderThatHangsHoldsUpNobodyElse) {
  add_user("ada", {Role::admin}, kPassword);
  std::mutex mutex;
  std::condition_variable wake;
  bool let_go = false;
  AccessSettings access;
  access.oidc.issuer = "https://login.example";
  access.oidc.client_id = "firebreak";
  access.oidc.redirect_url = "https://firebreak.example/callback";
  access.oidc.roles = {{"soc", Role::viewer}};
  access.oidc.ask = [&](const std::string&, const std::string&, const std::map<std::string, std::string>&,
                        const std::string&) -> Result<net::ClientReply> {
    std::unique_lock lock(mutex);
    wake.wait_for(lock, std::chrono::seconds(20), [&] { return let_go; });
    return fail(ErrorCode::unavailable, "nothing came");
  };
  make(access);
  std::vector<std::shared_ptr<OneAnswer>> hanging;
  for (int i = 0; i < 8; ++i) {
    hanging.push_back(std::make_shared<OneAnswer>());
    handler_(request("GET", "/api/firebreak/session/oidc"), hanging.back());
  }
  const auto began = std::chrono::steady_clock::now();
  const std::string body = Json{{"user", "ada"}, {"password", kPassword}}.dump();
  EXPECT_EQ(status(request("POST", "/api/firebreak/session", body)), 200);
  EXPECT_EQ(status(with(request("GET", "/api/firebreak/audit/verify"), "authorization", add_key("ada"))), 200);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
  {
    const std::lock_guard lock(mutex);
    let_go = true;
  }
  wake.notify_all();
  for (const auto& answer : hanging) EXPECT_EQ(answer->wait().status, 503);
}

TEST_F(Attacks, AChangeThatIsWrongInOnePartChangesNothing) {
  add_user("root", {Role::admin});
  add_user("bob", {Role::viewer});
  const std::string key = add_key("root");
  const auto patch = [&](const Json& body) {
    return status(with(request("PATCH", "/api/firebreak/users/bob", body.dump()), "authorization", key));
  };
  EXPECT_EQ(patch({{"roles", {"admin"}}, {"disabled", "no"}}), 400);
  EXPECT_EQ(patch({{"roles", {"admin"}}, {"comment", 5}}), 400);
  EXPECT_EQ(store_->user("bob").value()->roles, std::vector<Role>{Role::viewer});
  EXPECT_EQ(patch({{"roles", {"analyst"}}, {"disabled", true}}), 200);
}

TEST_F(Attacks, BodiesOfOtherKindsAreRefused) {
  add_user("root", {Role::admin});
  const std::string key = add_key("root");
  const auto post = [&](const char* header, const char* value) {
    const std::string body = R"({"on": false, "comment": "test"})";
    return status(with(with(request("POST", "/api/firebreak/kill_switch", body), "authorization", key), header, value));
  };
  for (const char* taken : {"application/json", "Application/JSON ; charset=utf-8", "application/vnd.api+json",
                            "application/x-www-form-urlencoded"}) {
    EXPECT_EQ(post("content-type", taken), 200) << taken;
  }
  for (const char* other : {"text/plain", "text/plain;charset=UTF-8", "application/xml", "image/png", "json"}) {
    EXPECT_EQ(post("content-type", other), 415) << other;
  }
  EXPECT_EQ(post("content-encoding", "gzip"), 415);
  EXPECT_EQ(post("content-encoding", "identity"), 200);
}

TEST_F(Attacks, AForeignHostIsAudited) {
  EXPECT_EQ(status(with(request("GET", "/api/status"), "host", "evil.example")), 421);
  const std::string row = ask("SELECT ref || ' ' || detail FROM audit WHERE what = 'api_refused'");
  EXPECT_NE(row.find("421"), std::string::npos) << row;
  EXPECT_NE(row.find("192.0.2.7"), std::string::npos) << row;
}

}  // namespace
}  // namespace fb::api::test
