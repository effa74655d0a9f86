// Every route that is served, asked by every role with every kind of credentials: who gets in, and who does not.
#include <set>

#include "tests/unit/api/api_support.h"

namespace fb::api::test {
namespace {

// The routes that anybody may ask. A route that is added without a privilege has to be added here as well.
const std::set<std::string> kOpenRoutes = {
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /api/status",
    "GET /internal/security/me",
    "GET /api/firebreak/openapi.yaml",
    "GET /api/firebreak/session",
    "POST /api/firebreak/session",
    "DELETE /api/firebreak/session",
    "GET /api/firebreak/session/oidc",
    "GET /api/firebreak/session/oidc/callback",
};

class Matrix : public ApiTest {
 protected:
  // Each from an address of its own, so that no budget of guesses interferes.
  net::Response ask_route(const Router::Listed& route, const std::string& authorization) {
    std::string target;
    for (size_t at = 0; at < route.pattern.size();) {
      if (route.pattern[at] != '{') {
        target += route.pattern[at++];
      } else {
        target += "nothing-of-this-name";
        at = route.pattern.find('}', at) + 1;
      }
    }
    net::Request r = request(route.method, target);
    ++asked_;
    r.peer = "10." + std::to_string(asked_ >> 16) + "." + std::to_string((asked_ >> 8) & 255) + "." +
             std::to_string(asked_ & 255);
    if (!authorization.empty()) r.headers["authorization"] = authorization;
    return ask(std::move(r));
  }
  static bool lacks_privilege(const net::Response& r) {
    const auto notice = r.headers.find("Firebreak-Notice");
    const bool told = r.body.find("is unauthorized for user") != std::string::npos ||
                      r.body.find("Endpoint authorization failure") != std::string::npos;
    return r.status == 403 && told && notice != r.headers.end() &&
           notice->second.starts_with("this needs the privilege ");
  }
  int asked_ = 0;
};

TEST_F(Matrix, EveryRouteHasAPrivilegeOrIsKnownToBeOpen) {
  std::set<std::string> open;
  for (const Router::Listed& route : all_routes().list()) {
    if (!route.privilege) open.insert(route.method + " " + route.pattern);
  }
  EXPECT_EQ(open, kOpenRoutes);
}

TEST_F(Matrix, EveryRouteByEveryRole) {
  size_t let_in = 0, kept_out = 0;
  for (const Role role : all_roles()) {
    const std::string name(to_string(role));
    add_user(name, {role});
    const std::string key = add_key(name);
    for (const Router::Listed& route : all_routes().list()) {
      const net::Response r = ask_route(route, key);
      const std::string what = name + ": " + route.method + " " + route.pattern + " -> " + std::to_string(r.status);
      if (!route.privilege) continue;
      EXPECT_NE(r.status, 401) << what;
      EXPECT_EQ(lacks_privilege(r), !has(role, *route.privilege)) << what << " " << r.body;
      (lacks_privilege(r) ? kept_out : let_in) += 1;
    }
  }
  EXPECT_GT(let_in, 50u);
  EXPECT_GT(kept_out, 50u);
  // Each of these answers was held against the document: none of the routes escapes that.
  EXPECT_GE(fb::test::described_so_far().operations, all_routes().list().size());
}

TEST_F(Matrix, NobodyGetsInWithoutCredentialsThatHold) {
  add_user("ada", {Role::admin});
  add_user("gone", {Role::admin});
  std::string revoked_id;
  const std::string good = add_key("ada");
  const std::string revoked = add_key("ada", {}, 0, &revoked_id);
  ASSERT_TRUE(store_->revoke_key(revoked_id, "user:test", "lost").value());
  const std::string of_disabled = add_key("gone");
  ASSERT_TRUE(store_->set_disabled("gone", true, "user:test", "left"));
  const std::string id_only = base64(unbase64(good.substr(7))->substr(0, 17) + "wrong");
  const std::vector<std::string> bad = {
      "",           "ApiKey " + id_only, "ApiKey " + base64("nobody:nothing"),     "ApiKey !!!",
      "Bearer abc", basic("ada", ""),    add_key("ada", {}, clock_.wall_ms() - 1), revoked,
      of_disabled,
  };
  std::set<std::string> bodies;
  for (const Router::Listed& route : all_routes().list()) {
    if (!route.privilege) continue;
    for (const std::string& authorization : bad) {
      const net::Response r = ask_route(route, authorization);
      EXPECT_EQ(r.status, 401) << route.method << " " << route.pattern << " with " << authorization;
      bodies.insert(r.body);
    }
  }
  EXPECT_EQ(bodies.size(), 1u) << "the answer must not tell what was wrong";
  // And a path that is not there looks the same.
  EXPECT_EQ(ask(request("GET", "/api/none")).body, *bodies.begin());
}

TEST_F(Matrix, AScopeNarrowsAndARoleSwapHoldsAtOnce) {
  add_user("ada", {Role::admin});
  const std::string narrow = add_key("ada", {Privilege::alerts_read});
  for (const Router::Listed& route : all_routes().list()) {
    if (!route.privilege) continue;
    EXPECT_EQ(lacks_privilege(ask_route(route, narrow)), *route.privilege != Privilege::alerts_read) << route.pattern;
  }
  add_user("bob", {Role::admin});
  const std::string key = add_key("bob");
  const auto users = [&] { return status(with(request("GET", "/api/firebreak/users"), "authorization", key)); };
  EXPECT_EQ(users(), 200);
  ASSERT_TRUE(store_->set_roles("bob", {Role::viewer}, "user:ada", "moved"));
  EXPECT_EQ(users(), 403);
}

}  // namespace
}  // namespace fb::api::test
