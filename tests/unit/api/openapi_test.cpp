// api/openapi.yaml and the routes that are served say the same.
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>

#include "api/api.h"
#include "api/openapi.h"

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

TEST(OpenApi, EveryReferenceLeadsSomewhere) {
  const std::string text(kOpenApi);
  const YAML::Node document = YAML::Load(text);
  size_t found = 0;
  for (size_t at = text.find("'#/components/"); at != std::string::npos; at = text.find("'#/components/", at + 1)) {
    const std::string ref = text.substr(at + 3, text.find('\'', at + 1) - at - 3);
    YAML::Node node = YAML::Clone(document);
    for (size_t begin = 0; begin < ref.size();) {
      const size_t end = std::min(ref.find('/', begin), ref.size());
      const YAML::Node next = node[ref.substr(begin, end - begin)];
      ASSERT_TRUE(next) << ref;
      node.reset(next);
      begin = end + 1;
    }
    ++found;
  }
  EXPECT_GT(found, 20u);
}

}  // namespace
}  // namespace fb::api::test
