// firebreak login, logout, profiles list|use|rm.
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "apps/firebreak/answers.h"
#include "apps/firebreak/client.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/profile.h"
#include "apps/firebreak/terminal.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"

namespace fb::cli {
namespace {

using Json = nlohmann::ordered_json;

int no_profile(const std::string& name) {
  return complain("there is no profile '" + printable(name) + "' (firebreak profiles list)", kCantRun);
}

}  // namespace

int run_login(const ProfileOptions& options) {
  if (!is_profile_name(options.name)) {
    return complain("--profile takes letters, digits, '.', '_' and '-', not '" + printable(options.name) + "'",
                    kCantRun);
  }
  if (options.connect.url.empty()) return complain("login needs --url", kCantRun);
  auto profiles = load_profiles(profiles_file());
  if (!profiles) return complain(profiles.error(), kCantRun);

  ConnectOptions connect = options.connect;
  connect.socket.clear();
  if (connect.api_key.empty() && connect.api_key_file.empty()) {
    connect.api_key = read_secret("API key of " + printable(connect.url));
    if (connect.api_key.empty()) return complain("no API key came on standard input", kCantRun);
  }
  if (!connect.api_key_file.empty()) {
    auto key = key_in_file(connect.api_key_file);
    if (!key) return complain(key.error(), kCantRun);
    connect.api_key = *key;
    connect.api_key_file.clear();
  }
  if (!connect.ca_file.empty()) {
    std::error_code error;
    connect.ca_file = std::filesystem::absolute(connect.ca_file, error).string();
  }
  auto client = ApiClient::connect(connect);
  if (!client) return complain(client.error(), kCantRun);
  const auto who = client->get("/api/firebreak/session");
  if (!who) return give_up(*client, who.error());
  const Json answer = parse_ordered_json(*who);
  if (!answer.is_object() || !answer.contains("user") || !answer["user"].is_string()) {
    return complain("what answers at " + printable(connect.url) + " is no Firebreak service", kCantRun);
  }

  std::erase_if(profiles->list, [&](const Profile& p) { return p.name == options.name; });
  profiles->list.push_back({options.name, connect.url, connect.api_key, connect.ca_file});
  profiles->current = options.name;
  if (const Status saved = save_profiles(*profiles); !saved) return complain(saved.error(), kCantRun);
  std::printf("logged in at %s as %s; profile %s is the current one\n", printable(connect.url).c_str(),
              printable(answer["user"].get<std::string>()).c_str(), options.name.c_str());
  return kDone;
}

int run_logout(const ProfileOptions& options) {
  auto profiles = load_profiles(profiles_file());
  if (!profiles) return complain(profiles.error(), kCantRun);
  const std::string name = options.name.empty() ? profiles->current : options.name;
  if (name.empty()) return complain("there is no current profile", kCantRun);
  if (profiles->find(name) == nullptr) return no_profile(name);
  std::erase_if(profiles->list, [&](const Profile& p) { return p.name == name; });
  if (profiles->current == name) profiles->current.clear();
  if (const Status saved = save_profiles(*profiles); !saved) return complain(saved.error(), kCantRun);
  std::printf("profile %s and its key are gone from this machine; the key itself holds until it is revoked\n",
              name.c_str());
  return kDone;
}

int run_profiles_list(const ProfileOptions& options) {
  const auto profiles = load_profiles(profiles_file());
  if (!profiles) return complain(profiles.error(), kCantRun);
  Table table({"PROFILE", "URL", "CURRENT"});
  for (const Profile& p : profiles->list) {
    const bool current = p.name == profiles->current;
    if (options.names_only) {
      std::printf("%s\n", p.name.c_str());
    } else if (options.format == Format::json) {
      std::printf("%s\n", dumped(Json{{"profile", p.name}, {"url", p.url}, {"current", current}}).c_str());
    } else {
      table.row({p.name, printable(p.url), current ? "yes" : ""});
    }
  }
  if (!options.names_only && options.format == Format::text) table.print();
  return kDone;
}

int run_profiles_use(const ProfileOptions& options) {
  auto profiles = load_profiles(profiles_file());
  if (!profiles) return complain(profiles.error(), kCantRun);
  if (profiles->find(options.name) == nullptr) return no_profile(options.name);
  profiles->current = options.name;
  if (const Status saved = save_profiles(*profiles); !saved) return complain(saved.error(), kCantRun);
  std::printf("profile %s is the current one\n", options.name.c_str());
  return kDone;
}

}  // namespace fb::cli
