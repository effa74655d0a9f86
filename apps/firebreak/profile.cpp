#include "apps/firebreak/profile.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "engine/base/text.h"

namespace fb::cli {
namespace {

constexpr size_t kMaxName = 64;
constexpr std::uintmax_t kMaxFileBytes = 1u << 20;

Status check_mode(const std::string& file, const char* what) {
  struct stat info {};
  if (stat(file.c_str(), &info) != 0)
    return fail(ErrorCode::not_found, std::string("can't read ") + what + ": " + std::strerror(errno), file);
  if ((info.st_mode & 0077) != 0)
    return fail(ErrorCode::refused, std::string("others may read ") + what + "; make it mode 0600", file);
  return {};
}

std::string text_of(const YAML::Node& map, const char* key) {
  const YAML::Node value = map[key];
  return value && value.IsScalar() ? value.Scalar() : std::string();
}

Result<Profiles> read(const std::string& text, const std::string& file) {
  Profiles profiles;
  profiles.file = file;
  try {
    const YAML::Node document = YAML::Load(text);
    if (document.IsNull()) return profiles;
    if (!document.IsMap()) return fail(ErrorCode::corrupt, "is not a file of profiles", file);
    profiles.current = text_of(document, "current");
    const YAML::Node list = document["profiles"];
    if (list && !list.IsMap()) return fail(ErrorCode::corrupt, "'profiles' is not a map of names", file);
    if (!list) return profiles;
    for (const auto& entry : list) {
      Profile p;
      p.name = entry.first.as<std::string>();
      if (!is_profile_name(p.name) || !entry.second.IsMap() || text_of(entry.second, "url").empty()) {
        return fail(ErrorCode::corrupt, "the profile '" + printable(p.name) + "' has no url, or its name is none",
                    file);
      }
      p.url = text_of(entry.second, "url");
      p.api_key = text_of(entry.second, "api_key");
      p.ca_file = text_of(entry.second, "ca_file");
      profiles.list.push_back(std::move(p));
    }
  } catch (const YAML::Exception& e) {
    return fail(ErrorCode::corrupt, e.what(), file);
  }
  return profiles;
}

}  // namespace

const Profile* Profiles::find(std::string_view name) const {
  const auto it = std::find_if(list.begin(), list.end(), [&](const Profile& p) { return p.name == name; });
  return it == list.end() ? nullptr : &*it;
}

bool is_profile_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                  c == '.';
         });
}

std::string profiles_file() {
  if (const char* file = std::getenv("FIREBREAK_PROFILES"); file != nullptr && *file != '\0') return file;
  if (const char* base = std::getenv("XDG_CONFIG_HOME"); base != nullptr && *base == '/') {
    return std::string(base) + "/firebreak/profiles.yml";
  }
  const char* home = std::getenv("HOME");
  return home != nullptr && *home == '/' ? std::string(home) + "/.config/firebreak/profiles.yml" : std::string();
}

Result<Profiles> load_profiles(const std::string& file) {
  std::error_code error;
  if (file.empty() || !std::filesystem::exists(file, error)) {
    Profiles none;
    none.file = file;
    return none;
  }
  FB_TRY_VOID(check_mode(file, "the profiles and their keys"));
  if (const auto size = std::filesystem::file_size(file, error); error || size > kMaxFileBytes) {
    return fail(ErrorCode::corrupt, "is not a file of profiles", file);
  }
  std::ifstream in(file, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (!in.is_open()) return fail(ErrorCode::io, "can't be read", file);
  return read(text, file);
}

Status save_profiles(const Profiles& profiles) {
  if (profiles.file.empty()) return fail(ErrorCode::invalid_argument, "there is no home; set FIREBREAK_PROFILES");
  YAML::Emitter out;
  out << YAML::BeginMap << YAML::Key << "current" << YAML::Value << YAML::DoubleQuoted << profiles.current;
  out << YAML::Key << "profiles" << YAML::Value << YAML::BeginMap;
  for (const Profile& p : profiles.list) {
    out << YAML::Key << YAML::DoubleQuoted << p.name << YAML::Value << YAML::BeginMap;
    out << YAML::Key << "url" << YAML::Value << YAML::DoubleQuoted << p.url;
    out << YAML::Key << "api_key" << YAML::Value << YAML::DoubleQuoted << p.api_key;
    if (!p.ca_file.empty()) out << YAML::Key << "ca_file" << YAML::Value << YAML::DoubleQuoted << p.ca_file;
    out << YAML::EndMap;
  }
  out << YAML::EndMap << YAML::EndMap << YAML::Newline;

  const std::filesystem::path path(profiles.file);
  std::error_code error;
  if (path.has_parent_path() && !std::filesystem::exists(path.parent_path(), error)) {
    std::filesystem::create_directories(path.parent_path(), error);
    if (error) return fail(ErrorCode::io, "can't make the folder: " + error.message(), path.parent_path().string());
    ::chmod(path.parent_path().c_str(), 0700);
  }
  // A new file with its mode from the start, moved over the old one: nobody sees half of it.
  const std::string fresh = profiles.file + ".new";
  ::unlink(fresh.c_str());
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return fail(ErrorCode::io, std::string("can't be written: ") + std::strerror(errno), fresh);
  const std::string text(out.c_str(), out.size());
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(fd) == 0;
  const bool closed = ::close(fd) == 0;
  if (!written || !closed || ::rename(fresh.c_str(), profiles.file.c_str()) != 0) {
    const std::string why = std::strerror(errno);
    ::unlink(fresh.c_str());
    return fail(ErrorCode::io, "can't be written: " + why, profiles.file);
  }
  return {};
}

Result<std::string> key_in_file(const std::string& file) {
  FB_TRY_VOID(check_mode(file, "the API key"));
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
  if (line.empty()) return fail(ErrorCode::corrupt, "there is no API key in its first line", file);
  return line;
}

}  // namespace fb::cli
