// Spaces, hosts, methods, the status that Kibana's clients ask for.
#include "api/front.h"

#include "tests/unit/api/api_support.h"

namespace fb::api::test {
namespace {

TEST(Front, TheDefaultSpaceMayBeNamed) {
  EXPECT_EQ(path_in_space("/api/status?x=1"), "/api/status");
  EXPECT_EQ(path_in_space("/s/default/api/status"), "/api/status");
  EXPECT_EQ(path_in_space("/s/default"), "/");
  EXPECT_EQ(path_in_space("http://host:1/s/default/api/x?y#z"), "/api/x");
  for (const char* other : {"/s/other/api/status", "/s/", "/s//api", "/s/defaultx/api", "/s/../api"}) {
    EXPECT_EQ(path_in_space(other), std::nullopt) << other;
  }
}

TEST(Front, KnowsItsOwnNames) {
  for (const char* ours :
       {"127.0.0.1:8770", "[::1]:8770", "localhost", "LOCALHOST:1", "api.example", "api.example.:443"}) {
    EXPECT_TRUE(is_our_host(ours, {"api.example"})) << ours;
  }
  for (const char* other : {"evil.example", "", "127.0.0.1.evil.example", "api.example.evil", "[", ":"}) {
    EXPECT_FALSE(is_our_host(other, {"api.example"})) << other;
  }
}

using FrontApi = ApiTest;

TEST_F(FrontApi, StatusTellsAllToWhoIsKnownAndLittleToOthers) {
  add_user("ada", {Role::viewer});
  const Json little = Json::parse(ask(request("GET", "/api/status")).body);
  EXPECT_EQ(little["status"]["overall"]["level"], "available");
  EXPECT_FALSE(little.contains("version"));
  const auto known = with(request("GET", "/s/default/api/status"), "authorization", add_key("ada"));
  const Json all = Json::parse(ask(known).body);
  EXPECT_TRUE(all["version"]["number"].get<std::string>().starts_with("8."));
  EXPECT_EQ(all["uuid"].get<std::string>().size(), 36u);
  EXPECT_EQ(all["uuid"], Json::parse(ask(known).body)["uuid"]);
  EXPECT_FALSE(all["name"].get<std::string>().empty());
  EXPECT_EQ(status(with(request("GET", "/api/status"), "authorization", "ApiKey x")), 401);
  health_[1].ready = false;
  EXPECT_EQ(Json::parse(ask(known).body)["status"]["overall"]["level"], "degraded");
  health_[0].ready = false;
  EXPECT_EQ(ask(known).status, 503);
}

TEST_F(FrontApi, OtherSpacesHostsAndMethods) {
  add_user("ada", {Role::admin});
  const std::string key = add_key("ada");
  const auto as_ada = [&](const std::string& method, const std::string& target) {
    return with(request(method, target), "authorization", key);
  };
  EXPECT_EQ(status(as_ada("GET", "/s/default/api/firebreak/users")), 200);
  EXPECT_EQ(status(as_ada("GET", "/s/other/api/firebreak/users")), 404);
  EXPECT_EQ(status(with(as_ada("GET", "/api/firebreak/users"), "host", "evil.example")), 421);
  EXPECT_EQ(status(with(as_ada("GET", "/api/firebreak/users"), "host", "firebreak.example:8770")), 200);
  EXPECT_EQ(status(with(as_ada("GET", "/api/firebreak/users"), "elastic-api-version", "2023-10-31")), 200);
  EXPECT_EQ(status(as_ada("HEAD", "/api/firebreak/users")), 200);
  EXPECT_EQ(status(as_ada("OPTIONS", "/api/firebreak/users")), 405);
  EXPECT_EQ(status(as_ada("BREW", "/api/firebreak/users")), 405);
  EXPECT_EQ(status(as_ada("GET", "/api/none")), 404);
  EXPECT_EQ(status(as_ada("GET", "/api/firebreak/%2e%2e/firebreak/users")), 404);
  EXPECT_EQ(ask(request("GET", "/healthz")).headers.at("X-Content-Type-Options"), "nosniff");
}

TEST_F(FrontApi, TheSocketIsTheLocalAdmin) {
  net::Request r = request("GET", "/api/firebreak/users");
  r.peer = "unix";
  r.headers["host"] = "anything";
  EXPECT_EQ(status(r), 200);
}

}  // namespace
}  // namespace fb::api::test
