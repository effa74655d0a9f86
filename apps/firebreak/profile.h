// Profiles: services that a person operates, each with its URL, API key and CA, in one YAML file (mode 0600):
//   current: prod
//   profiles:
//     prod: {url: https://..., api_key: ..., ca_file: ...}
// Pure but for the file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"

namespace fb::cli {

struct Profile {
  std::string name;
  std::string url;
  std::string api_key;
  std::string ca_file;  // "" = the system's
};

struct Profiles {
  std::string file;
  std::string current;  // "" = none
  std::vector<Profile> list;

  const Profile* find(std::string_view name) const;  // null: no such profile
};

// FIREBREAK_PROFILES, else firebreak/profiles.yml in XDG_CONFIG_HOME or ~/.config; "" = there is no home.
std::string profiles_file();

// No file: no profiles. refused: others may read the file. corrupt: names what is wrong.
Result<Profiles> load_profiles(const std::string& file);
// Replaces the file as a whole; makes its folder (mode 0700).
Status save_profiles(const Profiles& profiles);

bool is_profile_name(std::string_view name);

// The key in a file that nobody else may read (its first line).
Result<std::string> key_in_file(const std::string& file);

}  // namespace fb::cli
