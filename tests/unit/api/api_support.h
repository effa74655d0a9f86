// The whole API over a real record, asked without a network: one request in, one answer out.
#pragma once

#include <gtest/gtest.h>

#include <future>

#include "api/api.h"
#include "api/api_keys.h"
#include "engine/access/passwords.h"
#include "engine/base/digest.h"
#include "engine/base/json.h"
#include "tests/support/openapi.h"
#include "tests/unit/record/record_fixture.h"

namespace fb::api::test {

using Json = nlohmann::json;

class OneAnswer final : public net::Responder {
 public:
  void answer(net::Response response) override {
    if (response.stream) response = net::Response{};  // an answer that goes on: it was let in
    if (!given_.exchange(true)) promise_.set_value(std::move(response));
  }
  bool gone() const override { return false; }
  net::Response wait() {
    std::future<net::Response> future = promise_.get_future();
    if (future.wait_for(std::chrono::seconds(30)) == std::future_status::ready) return future.get();
    ADD_FAILURE() << "no answer within 30 s";
    net::Response none;
    none.status = 0;
    return none;
  }

 private:
  std::promise<net::Response> promise_;
  std::atomic<bool> given_{false};
};

class ApiTest : public fb::test::RecordTest {
 protected:
  using RecordTest::ask;  // the record, by SQL
  void SetUp() override {
    open();
    if (store_) make();
  }
  void TearDown() override { handler_ = nullptr; }

  void make(AccessSettings access = {}) {
    AgentControl control;
    control.forget = [](const std::string&) {};
    control.ask_renewal = [](const std::string&) {};
    control.rotate_signing_key = []() -> Result<std::string> { return std::string("kid"); };
    control.break_glass_code = [](const std::string&, int64_t) { return std::string("code"); };
    Parts all = parts();
    all.agents = control;
    all.access = access;
    make(all);
  }
  void make(const Parts& all) { handler_ = fb::test::described(make_api(all)); }
  // The API's surroundings, without what only some tests need.
  Parts parts() {
    return Parts{.store = *store_,
                 .clock = clock_,
                 .metrics = metrics_,
                 .wake_dispatcher = [] {},
                 .health = [this] { return health_; },
                 .refresh_gauges = {},
                 .service_version = "test",
                 .ca_fingerprint = "00",
                 .new_token = [] { return std::string("token"); },
                 .token_hash = [](const std::string& t) { return hex(sha256(t)); },
                 .host_names = {"firebreak.example"}};
  }

  static net::Request request(const std::string& method, const std::string& target, const std::string& body = "") {
    net::Request r;
    r.method = method;
    r.target = target;
    r.path = target.substr(0, target.find('?'));
    r.headers["host"] = "127.0.0.1:8770";
    r.body = body;
    r.peer = "192.0.2.7";
    return r;
  }
  static net::Request with(net::Request r, const std::string& header, const std::string& value) {
    r.headers[header] = value;
    return r;
  }
  net::Response ask(net::Request r) {
    const auto responder = std::make_shared<OneAnswer>();
    handler_(std::move(r), responder);
    return responder->wait();
  }
  int status(net::Request r) { return ask(std::move(r)).status; }

  void add_user(const std::string& name, std::vector<Role> roles, const std::string& password = "") {
    UserRow user;
    user.name = name;
    user.roles = std::move(roles);
    if (!password.empty()) user.password_hash = *hash_password(password);
    const Status done = store_->add_user(user, "user:test");
    ASSERT_TRUE(done) << done.error().describe();
  }
  // The Authorization header of a new key.
  std::string add_key(const std::string& person, std::vector<Privilege> scopes = {}, int64_t expires_at_ms = 0,
                      std::string* id = nullptr) {
    NewKey fresh = new_key();
    fresh.row.person = person;
    fresh.row.scopes = std::move(scopes);
    fresh.row.expires_at_ms = expires_at_ms;
    const Status done = store_->add_key(fresh.row, "user:test");
    EXPECT_TRUE(done) << done.error().describe();
    if (id != nullptr) *id = fresh.row.id;
    return "ApiKey " + fresh.shown_once;
  }
  static std::string basic(const std::string& name, const std::string& password) {
    return "Basic " + base64(name + ":" + password);
  }
  int64_t audited(const std::string& what) { return count("SELECT count(*) FROM audit WHERE what = '" + what + "'"); }

  Metrics metrics_;
  std::vector<PartHealth> health_{{"record", true, ""}, {"kafka", true, ""}};
  net::Handler handler_;
};

}  // namespace fb::api::test
