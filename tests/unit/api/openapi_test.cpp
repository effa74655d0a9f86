// api/openapi.yaml and the routes that are served say the same.
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "api/api.h"
#include "api/openapi.h"
#include "tests/support/openapi.h"

namespace fb::api::test {
namespace {

std::string upper(std::string text) {
  for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return text;
}

// "GET /api/status" -> its privilege, "" = open.
std::map<std::string, std::string> described() {
  std::map<std::string, std::string> all;
  const YAML::Node document = YAML::Load(std::string(kOpenApi));
  for (const auto& path : document["paths"]) {
    for (const auto& operation : path.second) {
      const std::string method = operation.first.as<std::string>();
      if (method == "parameters") continue;
      const YAML::Node privilege = operation.second["x-privilege"];
      all[upper(method) + " " + path.first.as<std::string>()] = privilege ? privilege.as<std::string>() : "";
    }
  }
  return all;
}

void keys_twice(const YAML::Node& node, const std::string& at, std::vector<std::string>& found) {
  if (node.IsSequence()) {
    for (const auto& item : node) keys_twice(item, at + "[]", found);
  }
  if (!node.IsMap()) return;
  std::set<std::string> seen;
  for (const auto& member : node) {
    const std::string place = at + "/" + member.first.as<std::string>();
    if (!seen.insert(place).second) found.push_back(place);
    keys_twice(member.second, place, found);
  }
}

// yaml-cpp takes either; generators of clients refuse the whole document.
TEST(OpenApi, NoKeyStandsTwice) {
  std::vector<std::string> found;
  keys_twice(YAML::Load(std::string(kOpenApi)), "", found);
  for (const std::string& place : found) ADD_FAILURE() << place;
  keys_twice(YAML::Load("a: {b: [{c: 1, d: 2, c: 3}]}"), "", found);
  EXPECT_EQ(found, std::vector<std::string>{"/a/b[]/c"});
}

TEST(OpenApi, DescribesEveryRouteAndNoOther) {
  std::map<std::string, std::string> served;
  for (const Router::Listed& route : all_routes().list()) {
    served[route.method + " " + route.pattern] =
        route.privilege ? std::string(to_string(*route.privilege)) : std::string();
  }
  const auto in_document = described();
  for (const auto& [route, privilege] : served) {
    const auto it = in_document.find(route);
    if (it == in_document.end()) {
      ADD_FAILURE() << route << " is not in api/openapi.yaml";
    } else {
      EXPECT_EQ(it->second, privilege) << route << ": x-privilege";
    }
  }
  for (const auto& [route, privilege] : in_document) {
    EXPECT_TRUE(served.contains(route)) << route << " is in api/openapi.yaml and not served";
  }
}

TEST(OpenApi, NothingInItEscapesTheChecks) {
  for (const std::string& part : fb::test::unchecked_parts()) ADD_FAILURE() << part;
}

// The checks themselves: what they must not let pass.
TEST(OpenApi, TheChecksFindWhatIsWrong) {
  const auto finds = [](const std::string& schema, const std::string& json) {
    return !fb::test::schema_problems(schema, json).empty();
  };
  EXPECT_FALSE(finds("KillSwitch", R"({"on":true})"));
  EXPECT_TRUE(finds("KillSwitch", R"({"on":"true"})")) << "another type";
  EXPECT_TRUE(finds("KillSwitch", "{}")) << "a required field is missing";
  EXPECT_TRUE(finds("KillSwitch", R"({"on":true,"more":1})")) << "a field that is not described";
  EXPECT_TRUE(finds("KillSwitch", "[]"));
  EXPECT_TRUE(finds("Health", R"({"status":"bad"})")) << "none of the words";
  EXPECT_TRUE(finds("Time", "\"yesterday\""));
  EXPECT_FALSE(finds("Time", "\"2026-01-02T03:04:05.678Z\""));
  EXPECT_TRUE(finds("PolicyAssign", R"({"hosts":[]})")) << "too few";
  EXPECT_TRUE(finds("IdList", R"({"data":[1],"total":1})")) << "an item of another type";
  EXPECT_TRUE(finds("TokenRequest", R"({"ttl_ms":0})"));
  net::Response answer;
  answer.body = R"({"on":true})";
  EXPECT_TRUE(fb::test::openapi_problems("GET", "/s/default/api/firebreak/kill_switch?x=1", answer).empty());
  EXPECT_FALSE(fb::test::openapi_problems("GET", "/api/firebreak/users", answer).empty()) << "another media type";
  EXPECT_FALSE(fb::test::openapi_problems("GET", "/api/none", answer).empty()) << "no such operation";
  answer.status = 202;
  EXPECT_FALSE(fb::test::openapi_problems("GET", "/api/firebreak/kill_switch", answer).empty()) << "no such status";
  answer.status = 404;
  EXPECT_FALSE(fb::test::openapi_problems("GET", "/api/firebreak/kill_switch", answer).empty())
      << "not an error's shape";
  answer.status = 200;
  // And what must not go by in a request that was taken.
  const auto refused = [](const char* method, const char* target, const char* body) {
    net::Request request;
    request.method = method;
    request.target = target;
    request.body = body;
    return !fb::test::request_problems(request).empty();
  };
  EXPECT_FALSE(refused("POST", "/s/default/api/firebreak/session", R"({"user":"ada","password":"x"})"));
  EXPECT_TRUE(refused("POST", "/api/firebreak/session", R"({"user":"ada"})")) << "a required field is missing";
  EXPECT_TRUE(refused("POST", "/api/firebreak/session", "")) << "no body";
  EXPECT_TRUE(refused("POST", "/api/firebreak/session", "{"));
  EXPECT_TRUE(refused("GET", "/api/status", "{}")) << "a body that nothing describes";
  EXPECT_TRUE(refused("POST", "/api/firebreak/session", "--B\r\n")) << "a form";
  EXPECT_FALSE(refused("POST", "/api/exception_lists/_import", "--B\r\n"));
  EXPECT_TRUE(refused("GET", "/api/none", ""));
  answer.content_type = "application/x-ndjson";
  answer.body = "{\"breaker\":\"a\"}\n{}\n";
  EXPECT_EQ(fb::test::openapi_problems("GET", "/api/firebreak/breakers", answer).size(), 1u) << "the second line";
}

}  // namespace
}  // namespace fb::api::test
