// Passwords, sessions, keys: how one gets in, how one is kept out, and what the audit says of it.
#include <thread>

#include "tests/unit/api/api_support.h"

namespace fb::api::test {
namespace {

constexpr const char* kPassword = "correct horse battery";

class Access : public ApiTest {
 protected:
  net::Response log_in(const std::string& name, const std::string& password) {
    return ask(request("POST", "/api/firebreak/session", Json{{"user", name}, {"password", password}}.dump()));
  }
  static std::string cookie_of(const net::Response& r) {
    const auto it = r.headers.find("Set-Cookie");
    return it == r.headers.end() ? "" : it->second.substr(0, it->second.find(';'));
  }
  net::Request by_cookie(const std::string& method, const std::string& target, const std::string& body = "") {
    return with(request(method, target, body), "cookie", "a=b; " + cookie_);
  }
  std::string cookie_;
};

TEST(Passwords, AreArgon2idAndSalted) {
  const auto one = hash_password(kPassword), two = hash_password(kPassword);
  ASSERT_TRUE(one && two);
  EXPECT_TRUE(one->starts_with("$argon2id$v=19$m=19456,t=2,p=1$")) << *one;
  EXPECT_NE(*one, *two);
  EXPECT_TRUE(check_password(*one, kPassword));
  EXPECT_FALSE(check_password(*one, "correct horse batterz"));
  EXPECT_FALSE(check_password("", ""));
  EXPECT_FALSE(check_password("$argon2id$rubbish", kPassword));
  EXPECT_FALSE(hash_password("short"));
  EXPECT_FALSE(hash_password(std::string(1025, 'x')));
}

TEST(GuessBudgets, AreSpentFilledAgainAndBounded) {
  Budgets budgets(2, 60, 100);
  EXPECT_TRUE(budgets.take("a", 0));
  EXPECT_TRUE(budgets.take("a", 0));
  EXPECT_FALSE(budgets.take("a", 0));
  EXPECT_EQ(budgets.wait_s("a", 0), 1);
  EXPECT_TRUE(budgets.take("b", 0));
  EXPECT_TRUE(budgets.take("a", 1000));
  for (int i = 0; i < 10'000; ++i) budgets.take("n" + std::to_string(i), 1000);
  EXPECT_LE(budgets.names(), 100u);
  EXPECT_FALSE(budgets.take("a", 1000)) << "other names must not wash one out";
  EXPECT_EQ(address_group("2001:db8::1"), address_group("2001:db8::ffff"));
  EXPECT_NE(address_group("192.0.2.1"), address_group("192.0.2.2"));
}

TEST_F(Access, ALoginThatAChangeOfThePasswordOvertookHasNoSession) {
  add_user("ada", {Role::admin}, kPassword);
  const std::string fresh = *hash_password("another password");
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(store_->set_password("ada", *hash_password(kPassword), "user:test"));
    std::thread late([&] { log_in("ada", kPassword); });
    std::this_thread::sleep_for(std::chrono::milliseconds(5 * i));  // to check the password takes some 30 ms
    ASSERT_TRUE(store_->set_password("ada", fresh, "user:test"));
    late.join();
    EXPECT_EQ(count("SELECT count(*) FROM sessions"), 0) << i;
  }
  EXPECT_EQ(log_in("ada", "another password").status, 200);
}

TEST_F(Access, ASessionLetsInUntilLogout) {
  add_user("Ada", {Role::admin}, kPassword);
  const net::Response in = log_in("ada", kPassword);
  ASSERT_EQ(in.status, 200) << in.body;
  const std::string& set = in.headers.at("Set-Cookie");
  EXPECT_NE(set.find("HttpOnly"), std::string::npos);
  EXPECT_NE(set.find("SameSite=Strict"), std::string::npos);
  EXPECT_EQ(set.find("Secure"), std::string::npos) << "plain HTTP on this machine";
  cookie_ = cookie_of(in);
  EXPECT_EQ(count("SELECT count(*) FROM sessions WHERE instr('" + cookie_ + "', token_sha256)"), 0) << "hashed";
  const net::Response who = ask(by_cookie("GET", "/api/firebreak/session"));
  ASSERT_EQ(who.status, 200);
  EXPECT_EQ(Json::parse(who.body)["user"], "Ada") << "as the name was written first";
  EXPECT_EQ(status(by_cookie("GET", "/api/firebreak/users")), 200);
  EXPECT_EQ(status(with(by_cookie("DELETE", "/api/firebreak/session"), "kbn-xsrf", "x")), 200);
  EXPECT_EQ(status(by_cookie("GET", "/api/firebreak/users")), 401);
  EXPECT_EQ(audited("logged_in"), 1);
  EXPECT_EQ(audited("logged_out"), 1);
  EXPECT_EQ(ask("SELECT actor || ' ' || ref || ' ' || detail FROM audit WHERE what = 'api_request'"),
            "user:Ada POST /api/firebreak/session 200, session, from 192.0.2.7");
}

TEST_F(Access, TheCookieIsSecureOverTls) {
  add_user("ada", {Role::admin}, kPassword);
  net::Request r = request("POST", "/api/firebreak/session", Json{{"user", "ada"}, {"password", kPassword}}.dump());
  r.tls = true;
  EXPECT_NE(ask(std::move(r)).headers.at("Set-Cookie").find("; Secure"), std::string::npos);
}

TEST_F(Access, ASessionEndsWhenIdleAndWhenOld) {
  add_user("ada", {Role::admin}, kPassword);
  cookie_ = cookie_of(log_in("ada", kPassword));
  for (int i = 0; i < 25; ++i) {  // busy for 12.5 hours
    clock_.advance_ms(29 * 60'000);
    if (i < 24) {
      EXPECT_EQ(status(by_cookie("GET", "/api/firebreak/users")), 200) << i;
    }
  }
  EXPECT_EQ(status(by_cookie("GET", "/api/firebreak/users")), 401) << "older than 12 hours";
  cookie_ = cookie_of(log_in("ada", kPassword));
  clock_.advance_ms(30 * 60'000);
  EXPECT_EQ(status(by_cookie("GET", "/api/firebreak/users")), 401) << "idle for 30 minutes";
}

TEST_F(Access, AWriteBySessionNeedsTheHeaderAndAKeyDoesNot) {
  add_user("ada", {Role::admin}, kPassword);
  cookie_ = cookie_of(log_in("ada", kPassword));
  const std::string body = R"({"on": false, "comment": "test"})";
  EXPECT_EQ(status(by_cookie("POST", "/api/firebreak/kill_switch", body)), 400);
  EXPECT_EQ(status(with(by_cookie("POST", "/api/firebreak/kill_switch", body), "kbn-xsrf", "true")), 200);
  EXPECT_EQ(status(with(by_cookie("POST", "/api/firebreak/kill_switch", body), "kbn-version", "8.18.0")), 200);
  const auto by_key = with(request("POST", "/api/firebreak/kill_switch", body), "authorization", add_key("ada"));
  EXPECT_EQ(status(by_key), 200);
  EXPECT_EQ(status(with(by_key, "origin", "https://evil.example")), 403);
  EXPECT_EQ(status(with(by_key, "origin", "http://127.0.0.1:8770")), 200);
  EXPECT_EQ(status(with(by_key, "sec-fetch-site", "cross-site")), 403);
}

TEST_F(Access, BasicWorksAndANewPasswordEndsTheOldOne) {
  add_user("ada", {Role::admin}, kPassword);
  const auto list = [&](const std::string& password) {
    return status(with(request("GET", "/api/firebreak/users"), "authorization", basic("ada", password)));
  };
  EXPECT_EQ(list(kPassword), 200);
  EXPECT_EQ(list(kPassword), 200) << "remembered";
  EXPECT_EQ(list("wrong password!"), 401);
  cookie_ = cookie_of(log_in("ada", kPassword));
  ASSERT_TRUE(store_->set_password("ada", *hash_password("another password"), "user:ada"));
  EXPECT_EQ(list(kPassword), 401) << "what is remembered is bound to the hash";
  EXPECT_EQ(list("another password"), 200);
  EXPECT_EQ(status(by_cookie("GET", "/api/firebreak/users")), 401) << "and sessions end";
}

TEST_F(Access, GuessingIsLimitedForAnAddressAndForNobodyElse) {
  add_user("ada", {Role::admin}, kPassword);
  const std::string key = add_key("ada");
  int unauthorized = 0, slowed = 0;
  for (int i = 0; i < 30; ++i) {
    const net::Response r = log_in("ada", "guess number " + std::to_string(i));
    unauthorized += r.status == 401;
    slowed += r.status == 429;
    if (r.status == 429) {
      EXPECT_TRUE(r.headers.contains("Retry-After"));
    }
  }
  EXPECT_EQ(unauthorized, 10);
  EXPECT_EQ(slowed, 20);
  EXPECT_EQ(log_in("ada", kPassword).status, 429) << "not even the right one";
  EXPECT_EQ(status(with(request("GET", "/api/firebreak/users"), "authorization", key)), 200) << "a key goes on";
  net::Request elsewhere = with(request("GET", "/api/firebreak/users"), "authorization", basic("ada", kPassword));
  elsewhere.peer = "198.51.100.1";
  EXPECT_EQ(status(elsewhere), 200);
  // What a header says of the address is not believed.
  const auto spoofed = with(with(request("GET", "/api/firebreak/users"), "authorization", basic("ada", "x")),
                            "x-forwarded-for", "203.0.113.9");
  EXPECT_EQ(status(with(spoofed, "remote_addr", "203.0.113.9")), 429);
  clock_.advance_ms(60'000);
  EXPECT_EQ(log_in("ada", kPassword).status, 200);
}

TEST_F(Access, RefusalsAreAuditedButNoFloodOfThem) {
  for (int i = 0; i < 500; ++i) {
    EXPECT_NE(status(with(request("GET", "/api/firebreak/users"), "authorization", "ApiKey " + base64("a:b"))), 200);
  }
  EXPECT_EQ(audited("api_refused"), 20);
  EXPECT_NE(ask("SELECT detail FROM audit WHERE what = 'api_refused' LIMIT 1").find("192.0.2.7"), std::string::npos);
  clock_.advance_ms(60'000);
  status(request("GET", "/api/firebreak/users"));
  const std::string last = ask("SELECT detail FROM audit ORDER BY seq DESC LIMIT 1");
  EXPECT_NE(last.find("480 refusals before it are not listed"), std::string::npos) << last;
}

// What is open is no place to try passwords unseen.
TEST_F(Access, WrongCredentialsAreRefusedAndAuditedOnOpenRoutesToo) {
  add_user("ada", {Role::admin}, kPassword);
  const std::string wrong = basic("ada", "not her password");
  int64_t refused = 0;
  for (const char* path : {"/api/firebreak/session", "/api/status", "/healthz"}) {
    EXPECT_EQ(status(with(request("GET", path), "authorization", wrong)), 401) << path;
    EXPECT_EQ(audited("api_refused"), ++refused) << path;
    EXPECT_NE(status(request("GET", path)), 429) << "without credentials it is as ever";
  }
  const std::string row = ask("SELECT detail FROM audit WHERE what = 'api_refused' ORDER BY seq DESC LIMIT 1");
  EXPECT_NE(row.find("192.0.2.7"), std::string::npos) << row;
  for (int i = 0; i < 10; ++i) status(with(request("GET", "/api/status"), "authorization", wrong));
  const net::Response later = ask(with(request("GET", "/api/firebreak/session"), "authorization", wrong));
  EXPECT_EQ(later.status, 429);
  EXPECT_EQ(later.headers.count("Retry-After"), 1u);
  const int64_t before = audited("api_refused");
  EXPECT_EQ(log_in("ada", kPassword).status, 429);
  EXPECT_EQ(audited("api_refused"), before + 1) << "a login that has to wait";
}

TEST_F(Access, WhatAHandlerRefusesIsAuditedWithItsReason) {
  add_user("root", {Role::admin});
  add_user("ada", {Role::viewer});
  const std::string narrow = add_key("root", {Privilege::users_manage});
  const net::Request raise = request("PATCH", "/api/firebreak/users/ada", R"({"roles": ["admin"]})");
  EXPECT_EQ(status(with(raise, "authorization", narrow)), 403);
  EXPECT_EQ(audited("api_request"), 0);
  const std::string row = ask("SELECT actor || ' ' || ref || ' ' || detail FROM audit WHERE what = 'api_refused'");
  EXPECT_TRUE(row.starts_with("user:root PATCH /api/firebreak/users/ada 403 these roles may do what you may not, key "))
      << row;
}

TEST_F(Access, ABodyOfPeopleAndKeysTakesNothingThatItDoesNotKnow) {
  add_user("root", {Role::admin});
  const std::string admin = add_key("root");
  const auto post = [&](const std::string& path, const std::string& body) {
    return ask(with(request("POST", path, body), "authorization", admin));
  };
  const int64_t keys = count("SELECT count(*) FROM api_keys");
  for (const char* body : {R"({"user": "root", "expires": "1d"})", R"({"user": "root", "scope": ["rules_read"]})"}) {
    const net::Response r = post("/api/firebreak/keys", body);
    EXPECT_EQ(r.status, 400) << body;
    EXPECT_NE(r.body.find("there is no field '"), std::string::npos) << r.body;
  }
  EXPECT_EQ(count("SELECT count(*) FROM api_keys"), keys) << "no key without the limit that was meant";
  EXPECT_EQ(post("/api/firebreak/users", R"({"name": "bob", "roles": ["viewer"], "disabled": true})").status, 400);
  EXPECT_EQ(post("/api/firebreak/users", R"({"name": "Local", "roles": ["viewer"]})").status, 400);
  EXPECT_EQ(post("/api/firebreak/users", R"({"name": "SERVICE", "roles": ["viewer"]})").status, 400);
  EXPECT_EQ(post("/api/firebreak/users", R"({"name": "bob", "roles": ["viewer"], "roles": ["admin"]})").status, 400);
  EXPECT_EQ(count("SELECT count(*) FROM users"), 1);
}

TEST_F(Access, AChangeIsAuditedWithKeyAddressAndReason) {
  add_user("ada", {Role::admin});
  std::string id;
  const std::string key = add_key("ada", {}, 0, &id);
  ASSERT_EQ(status(with(request("POST", "/api/firebreak/kill_switch", R"({"on": true, "comment": "rule 7 misfires"})"),
                        "authorization", key)),
            200);
  const std::string row = ask("SELECT actor || ' ' || ref || ' ' || detail FROM audit WHERE what = 'api_request'");
  for (const std::string& part : {std::string("user:ada"), std::string("POST /api/firebreak/kill_switch"), id,
                                  std::string("192.0.2.7"), std::string("rule 7 misfires")}) {
    EXPECT_NE(row.find(part), std::string::npos) << part << " in " << row;
  }
  status(with(request("GET", "/api/firebreak/users"), "authorization", key));
  EXPECT_EQ(audited("api_request"), 1) << "reading is no change";
}

TEST_F(Access, PeopleAndKeysAreManagedOverTheApi) {
  add_user("root", {Role::admin});
  const std::string admin = add_key("root");
  const auto call = [&](const std::string& method, const std::string& target, const Json& body, const std::string& as) {
    return ask(with(request(method, target, body.is_null() ? "" : body.dump()), "authorization", as));
  };
  const net::Response made =
      call("POST", "/api/firebreak/users", {{"name", "bob"}, {"roles", {"responder"}}, {"password", kPassword}}, admin);
  ASSERT_EQ(made.status, 200) << made.body;
  EXPECT_EQ(Json::parse(made.body)["roles"], Json::array({"responder"}));
  EXPECT_EQ(made.body.find("argon2"), std::string::npos);
  EXPECT_EQ(call("POST", "/api/firebreak/users", {{"name", "BOB"}, {"roles", Json::array()}}, admin).status, 409);
  for (const char* name : {"", "a:b", "-x", "local", "a b", "ü"}) {
    EXPECT_EQ(call("POST", "/api/firebreak/users", {{"name", name}, {"roles", Json::array()}}, admin).status, 400)
        << name;
  }
  const auto names = [&](const net::Response& r, int status, const std::string& word) {
    EXPECT_EQ(r.status, status) << r.body;
    EXPECT_NE(r.body.find("'" + word + "'"), std::string::npos) << r.body;
  };
  names(call("POST", "/api/firebreak/keys", {{"user", "nobody"}}, admin), 404, "nobody");
  names(call("POST", "/api/firebreak/keys", {{"scopes", {"bogus"}}}, admin), 400, "bogus");
  names(call("POST", "/api/firebreak/users", {{"name", "eve"}, {"roles", {"nope"}}}, admin), 400, "nope");
  const net::Response key = call("POST", "/api/firebreak/keys", {{"user", "bob"}, {"expires_in", "1d"}}, admin);
  ASSERT_EQ(key.status, 200) << key.body;
  const std::string bobs = "ApiKey " + Json::parse(key.body)["api_key"].get<std::string>();
  EXPECT_EQ(call("GET", "/api/firebreak/endpoints", nullptr, bobs).status, 200);
  EXPECT_EQ(call("GET", "/api/firebreak/users", nullptr, bobs).status, 403);
  const net::Response keys = call("GET", "/api/firebreak/keys", nullptr, admin);
  EXPECT_EQ(keys.body.find(Json::parse(key.body)["api_key"].get<std::string>()), std::string::npos) << "shown once";
  clock_.advance_ms(86'400'000);
  EXPECT_EQ(call("GET", "/api/firebreak/endpoints", nullptr, bobs).status, 401) << "expired";

  // A narrow key of an admin can't make itself wider, nor a person mightier than itself.
  const std::string narrow = add_key("root", {Privilege::users_manage});
  EXPECT_EQ(call("POST", "/api/firebreak/keys", {{"user", "root"}}, narrow).status, 403);
  EXPECT_EQ(call("POST", "/api/firebreak/users", {{"name", "eve"}, {"roles", {"admin"}}}, narrow).status, 403);
  EXPECT_EQ(call("PUT", "/api/firebreak/users/root/password", {{"password", kPassword}}, narrow).status, 403);
  EXPECT_EQ(call("POST", "/api/firebreak/keys", {{"scopes", {"users_manage"}}}, narrow).status, 200);

  EXPECT_EQ(call("PATCH", "/api/firebreak/users/root", {{"disabled", true}}, admin).status, 409) << "the last admin";
  EXPECT_EQ(call("PATCH", "/api/firebreak/users/root", {{"roles", {"viewer"}}}, admin).status, 409);
  EXPECT_EQ(call("PATCH", "/api/firebreak/users/bob", {{"disabled", true}, {"comment", "left"}}, admin).status, 200);
  EXPECT_EQ(call("DELETE", "/api/firebreak/keys/none", nullptr, admin).status, 404);
}

TEST_F(Access, KeysOfTheOldFileAreTakenOverOnce) {
  const std::string file = dir_.path() + "/api_keys";
  const auto shown = create_key_in_file(file, "admin");
  ASSERT_TRUE(shown);
  ASSERT_TRUE(take_over_keys(file, *store_));
  ASSERT_TRUE(take_over_keys(file, *store_));
  EXPECT_EQ(count("SELECT count(*) FROM api_keys"), 1);
  const auto users = with(request("GET", "/api/firebreak/users"), "authorization", "ApiKey " + *shown);
  EXPECT_EQ(status(users), 200);
  const std::string id = store_->keys("admin").value().at(0).id;
  ASSERT_TRUE(store_->revoke_key(id, "user:test", "lost").value());
  ASSERT_TRUE(take_over_keys(file, *store_));
  EXPECT_EQ(status(users), 401) << "a revoked key does not come back";
}

}  // namespace
}  // namespace fb::api::test
