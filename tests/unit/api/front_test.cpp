// Spaces, hosts, methods, the status that Kibana's clients ask for.
#include "api/front.h"

#include "api/api_version.h"

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

TEST(Front, FindsAKeyThatStandsTwiceInOneObject) {
  EXPECT_EQ(repeated_key(R"({"a": 1, "b": [{"c": 1}, {"c": 2}], "d": {"a": 1}})"), std::nullopt);
  EXPECT_EQ(repeated_key(R"({"a": {"b": 1, "c": {}, "b": 2}})"), "b");
  EXPECT_EQ(repeated_key(R"([{"a": 1}, {"x": [], "\u0078": 2, "a": 1, "a": 2}])"), "x");
  EXPECT_EQ(repeated_key("{\"a\": 1, \"a\": 2}\n{\"a\": 1}"), std::nullopt) << "lines are looked at one by one";
  EXPECT_EQ(repeated_key(R"({"a": 1, "a": )"), std::nullopt) << "no JSON";
  EXPECT_EQ(repeated_key(""), std::nullopt);
}

TEST(Front, ATargetMayNameTheHost) {
  EXPECT_EQ(host_in_target("http://evil.example:1/api/status"), "evil.example:1");
  EXPECT_EQ(host_in_target("https://a?x=http://b/"), "a");
  for (const char* without : {"/api/status", "/http://a/b", "*", "", "a/b"}) EXPECT_EQ(host_in_target(without), "");
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
  EXPECT_EQ(status(as_ada("OPTIONS", "/api/firebreak/users")), 404);
  EXPECT_EQ(status(as_ada("BREW", "/api/firebreak/users")), 404);
  EXPECT_EQ(status(as_ada("GET", "/api/none")), 404);
  EXPECT_EQ(status(as_ada("GET", "/api/firebreak/%2e%2e/firebreak/users")), 404);
  EXPECT_EQ(ask(request("GET", "/healthz")).headers.at("X-Content-Type-Options"), "nosniff");
}

TEST_F(FrontApi, WhatIsNotServedLooksAsInKibana) {
  add_user("ada", {Role::admin});
  const std::string key = add_key("ada");
  const auto body = [&](const std::string& method, const std::string& target) {
    return Json::parse(ask(with(request(method, target), "authorization", key)).body);
  };
  const Json none = {{"statusCode", 404}, {"error", "Not Found"}, {"message", "Not Found"}};
  EXPECT_EQ(body("GET", "/api/none"), none);
  EXPECT_EQ(body("PUT", "/api/status"), none) << "another method";
  EXPECT_EQ(body("DELETE", "/api/exception_lists/_find"), none);
}

TEST_F(FrontApi, AChallengeNamesWhatIsTaken) {
  const net::Response program = ask(request("GET", "/api/firebreak/users"));
  EXPECT_EQ(program.headers.at("WWW-Authenticate"), R"(ApiKey, Basic realm="firebreak", charset="UTF-8")");
  const net::Response page = ask(with(request("GET", "/api/firebreak/users"), "sec-fetch-mode", "cors"));
  EXPECT_EQ(page.headers.at("WWW-Authenticate"), "ApiKey") << "a page's request opens no dialogue";
}

TEST(ApiVersion, IsTakenOrRefusedInKibanasWords) {
  const auto refused = [](const char* pattern, const char* asked) {
    return refuse_version("GET", pattern, asked).value_or("");
  };
  const char* items = "/api/exception_lists/items";
  EXPECT_EQ(refused(items, "2023-10-31"), "");
  EXPECT_EQ(refused(items, "1"), "");
  EXPECT_EQ(refused(items, "2099-01-01"),
            "No version \"2099-01-01\" available for [get] [/api/exception_lists/items]. Available versions are: "
            "[2023-10-31]");
  for (const char* none : {"", "2", "latest", "2023-13-01", "2023-10-3", "2023-10-31 ", "2023/10/31"}) {
    EXPECT_EQ(refused(items, none), std::string("Invalid version. Received \"") + none +
                                        "\", expected a valid date string formatted as YYYY-MM-DD.");
  }
  EXPECT_EQ(refused("/internal/security/me", "1"), "");
  EXPECT_NE(refused("/internal/security/me", "2").find("Available versions are: [1]"), std::string::npos);
  EXPECT_NE(refused("/internal/security/me", "2023-10-31").find("Invalid version number."), std::string::npos);
  EXPECT_EQ(refused("/api/firebreak/users", "anything"), "") << "no route of Kibana";
  EXPECT_EQ(refused("/healthz", "anything"), "");
}

TEST_F(FrontApi, TheVersionIsAskedForAndTold) {
  add_user("ada", {Role::admin});
  const auto find = with(request("GET", "/api/exception_lists/_find"), "authorization", add_key("ada"));
  const net::Response plain = ask(find);
  EXPECT_EQ(plain.status, 200) << plain.body;
  EXPECT_EQ(plain.headers.at("Elastic-Api-Version"), "2023-10-31");
  EXPECT_EQ(status(with(find, "elastic-api-version", "2023-10-31")), 200);
  const net::Response other = ask(with(find, "elastic-api-version", "2024-01-01"));
  EXPECT_EQ(other.status, 400);
  EXPECT_EQ(Json::parse(other.body)["message"],
            "No version \"2024-01-01\" available for [get] [/api/exception_lists/_find]. Available versions are: "
            "[2023-10-31]");
  EXPECT_EQ(status(with(request("GET", "/api/exception_lists/_find"), "elastic-api-version", "x")), 401)
      << "first who asks";
}

TEST_F(FrontApi, KibanasClientsLearnWhoTheyAre) {
  add_user("ada", {Role::responder}, "correct horse battery");
  add_user("root", {Role::admin});
  std::string id;
  const std::string key = add_key("ada", {Privilege::alerts_read}, 0, &id);
  const auto me = with(request("GET", "/internal/security/me"), "x-elastic-internal-origin", "Kibana");
  EXPECT_EQ(status(me), 401);
  const Json by_key = Json::parse(ask(with(me, "authorization", key)).body);
  EXPECT_EQ(by_key["username"], "ada");
  EXPECT_EQ(by_key["roles"], Json::array({"responder"}));
  EXPECT_EQ(by_key["authentication_type"], "api_key");
  EXPECT_EQ(by_key["api_key"]["id"], id);
  const Json by_password = Json::parse(ask(with(me, "authorization", basic("ada", "correct horse battery"))).body);
  EXPECT_EQ(by_password["authentication_type"], "realm");

  const std::string admin = add_key("root");
  const auto get = [&](const std::string& target) { return ask(with(request("GET", target), "authorization", admin)); };
  const Json roles = Json::parse(get("/api/security/role").body);
  ASSERT_EQ(roles.size(), all_roles().size());
  const Json responder = Json::parse(get("/s/default/api/security/role/responder").body);
  const Json gives = responder["kibana"][0]["feature"]["siem"];
  EXPECT_NE(std::find(gives.begin(), gives.end(), "host_isolation_all"), gives.end());
  EXPECT_NE(std::find(gives.begin(), gives.end(), "host_isolation_exceptions_all"), gives.end());
  EXPECT_EQ(gives[0], "read") << "rules are not theirs to change";
  EXPECT_EQ(get("/api/security/role/king").status, 404);
  EXPECT_EQ(Json::parse(get("/api/features").body)[0]["id"], "siem");
  EXPECT_EQ(status(with(request("GET", "/api/security/role"), "authorization", key)), 403);
}

TEST_F(FrontApi, TheSocketIsTheLocalAdmin) {
  net::Request r = request("GET", "/api/firebreak/users");
  r.peer = "unix";
  r.headers["host"] = "anything";
  EXPECT_EQ(status(r), 200);
}

}  // namespace
}  // namespace fb::api::test
