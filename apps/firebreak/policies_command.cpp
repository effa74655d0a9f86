// firebreak policies: what isolated hosts may still talk to, host by host.
#include <cstdio>

#include "apps/firebreak/answers.h"
#include "apps/firebreak/client.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/terminal.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"

namespace fb::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kPolicies = "/api/firebreak/policies";

std::string path_of(const std::string& id) {
  return std::string(kPolicies) + "/" + url_encoded(id);
}

// A value as a person reads it; lists with commas. "-" when the config decides.
std::string shown(const Json& policy, const char* key) {
  const auto it = policy.find(key);
  if (it == policy.end() || it->is_null()) return "-";
  if (it->is_boolean()) return it->get<bool>() ? "yes" : "no";
  if (it->is_string()) return printable(it->get<std::string>());
  if (!it->is_array()) return it->dump();
  std::string all;
  for (const Json& one : *it)
    all += (all.empty() ? "" : ", ") + printable(one.is_string() ? one.get<std::string>() : "");
  return all.empty() ? "none" : all;
}

void show(const Json& policy) {
  for (const char* key : {"id", "name", "description", "services", "dns", "dhcp", "on_lockout", "message", "version",
                          "endpoints", "updated_at", "updated_by"}) {
    std::printf("%-12s %s\n", key, shown(policy, key).c_str());
  }
}

// Shows a policy as it came back.
int print_policy(Format format, const std::string& body) {
  return show_answer(format, body, show);
}

// The settings that the command line names, over those that are there. `--unset` gives one back to the config.
void put_settings(const PoliciesOptions& options, Json& body) {
  if (!options.name.empty()) body["name"] = options.name;
  if (options.description) body["description"] = *options.description;
  if (!options.services.empty()) body["services"] = options.services;
  if (!options.dns.empty()) body["dns"] = options.dns;
  if (!options.dhcp.empty()) body["dhcp"] = options.dhcp == "yes";
  if (!options.on_lockout.empty()) body["on_lockout"] = options.on_lockout;
  if (options.message) body["message"] = *options.message;
  for (const std::string& key : options.unset) body.erase(key);
}

}  // namespace

int run_policies_list(const PoliciesOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const auto body = client->get(kPolicies);
  if (!body) return give_up(*client, body.error());
  const Json found = parse_ordered_json(*body);
  if (!found.is_object() || !found.contains("data")) return complain("the service's answer is not JSON", kCantRun);
  Table table({"ID", "NAME", "ENDPOINTS", "SERVICES", "DNS", "DHCP", "LOCKOUT", "VERSION"});
  for (const Json& policy : found["data"]) {
    if (options.format == Format::json) {
      std::printf("%s\n", dumped(policy).c_str());
      continue;
    }
    table.row({shown(policy, "id"), shortened(shown(policy, "name"), 30), shown(policy, "endpoints"),
               shortened(shown(policy, "services"), 40), shortened(shown(policy, "dns"), 30), shown(policy, "dhcp"),
               shown(policy, "on_lockout"), shown(policy, "version")});
  }
  if (options.format != Format::json) table.print();
  return kDone;
}

int run_policies_show(const PoliciesOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const auto policy = client->get(path_of(options.id));
  if (!policy) return give_up(*client, policy.error());
  const int printed = print_policy(options.format, *policy);
  if (printed != kDone || options.format == Format::json) return printed;
  const auto hosts = client->get(path_of(options.id) + "/endpoints");
  if (!hosts) return give_up(*client, hosts.error());
  const Json found = parse_ordered_json(*hosts);
  if (!found.is_object() || !found.contains("data")) return complain("the service's answer is not JSON", kCantRun);
  for (const Json& id : found["data"]) std::printf("  %s\n", printable(id.get<std::string>()).c_str());
  return kDone;
}

int run_policies_add(const PoliciesOptions& options) {
  Json body = Json::object();
  if (!options.id.empty()) body["id"] = options.id;
  put_settings(options, body);
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const auto policy = client->post(kPolicies, dumped(body));
  return policy ? print_policy(options.format, *policy) : give_up(*client, policy.error());
}

int run_policies_set(const PoliciesOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const auto there = client->get(path_of(options.id));
  if (!there) return give_up(*client, there.error());
  const Json before = parse_ordered_json(*there);
  if (!before.is_object()) return complain("the service's answer is not JSON", kCantRun);
  Json body = Json::object();
  // The version too: what somebody else changed meanwhile is not undone, it is a conflict.
  for (const char* key : {"name", "description", "services", "dns", "dhcp", "on_lockout", "message", "version"}) {
    if (before.contains(key)) body[key] = before[key];
  }
  put_settings(options, body);
  const auto policy = client->send("PUT", path_of(options.id), dumped(body));
  return policy ? print_policy(options.format, *policy) : give_up(*client, policy.error());
}

int run_policies_remove(const PoliciesOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const auto policy =
      client->remove(path_of(options.id) + (options.comment.empty() ? "" : "?comment=" + url_encoded(options.comment)));
  if (!policy) return give_up(*client, policy.error());
  return show_answer(options.format, *policy,
                     [&](const Json&) { std::printf("removed: %s\n", printable(options.id).c_str()); });
}

int run_policies_assign(const PoliciesOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const auto body = client->post(path_of(options.id) + "/assign", dumped(Json{{"hosts", options.hosts}}));
  if (!body) return give_up(*client, body.error());
  return show_answer(options.format, *body, [&](const Json& answer) {
    std::printf("%s: %s of %zu endpoints changed\n", printable(options.id).c_str(), shown(answer, "changed").c_str(),
                options.hosts.size());
  });
}

}  // namespace fb::cli
