#include "engine/compile/rule_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <set>
#include <utility>

#include "engine/base/text.h"
#include "engine/compile/diagnostic_codes.h"

namespace fb::compile {
namespace {

constexpr int kMaxFolderDepth = 32;

std::string system_message(int error) {
  return std::strerror(error);
}

// The path with every link resolved; "" when there is no such thing (dangling, looping) or no way to it.
std::string resolve(const std::string& path) {
  char buffer[PATH_MAX];
  return ::realpath(path.c_str(), buffer) != nullptr ? std::string(buffer) : std::string();
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool has_rule_name(std::string_view name) {
  return ends_with(name, ".yml") || ends_with(name, ".yaml") || ends_with(name, ".toml") || ends_with(name, ".ndjson");
}

bool is_inside(const std::string& path, const std::string& root) {
  return path == root || root == "/" ||
         (path.size() > root.size() && path.rfind(root, 0) == 0 && path[root.size()] == '/');
}

class Walker {
 public:
  Walker(FoundFiles& out, const RuleLimits& limits) : out_(out), limits_(limits) {}

  Status add(const std::string& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) {
      return fail(errno == EACCES ? ErrorCode::io : ErrorCode::not_found,
                  printable(path) + ": " + system_message(errno));
    }
    const std::string real = resolve(path);
    if (real.empty()) return fail(ErrorCode::not_found, printable(path) + ": " + system_message(errno));
    if (S_ISDIR(info.st_mode)) {
      root_ = real;
      std::string shown = path;
      while (shown.size() > 1 && shown.back() == '/') shown.pop_back();
      folder(shown, real, 0);
    } else {
      file(path, real, info.st_mode);
    }
    return {};
  }

 private:
  void file(const std::string& shown, const std::string& real, mode_t mode) {
    if (!S_ISREG(mode)) {
      out_.problems.push_back(
          file_problem(code::kNotAFile, shown, "the path is not a regular file (a device, pipe or socket)"));
      return;
    }
    if (!taken_.insert(real).second) return;  // given twice, or a link to a file that is read anyway
    out_.shown.push_back(shown);
    out_.real.push_back(real);
  }

  void folder(const std::string& shown, const std::string& real, int depth) {
    struct stat info {};
    if (::stat(real.c_str(), &info) != 0) return unreadable(shown, errno);
    if (!folders_.insert({info.st_dev, info.st_ino}).second) return;  // a link back to where the walk has been
    if (depth > kMaxFolderDepth) {
      out_.problems.push_back(file_problem(
          code::kFolderTooDeep, shown, "folders lie deeper within each other than " + std::to_string(kMaxFolderDepth)));
      return;
    }
    DIR* dir = ::opendir(real.c_str());
    if (dir == nullptr) return unreadable(shown, errno);
    std::vector<std::string> names;
    const size_t most = static_cast<size_t>(limits_.max_rules) * 4;
    while (const dirent* entry = ::readdir(dir)) {
      const std::string_view name = entry->d_name;
      if (name.empty() || name.front() == '.') continue;
      names.emplace_back(name);
      if (names.size() > most) break;
    }
    ::closedir(dir);
    if (names.size() > most) {
      out_.problems.push_back(
          file_problem(code::kTooManyRules, shown, "the folder holds more entries than " + std::to_string(most)));
      return;
    }
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) entry(shown + "/" + name, real + "/" + name, name, depth);
  }

  void entry(const std::string& shown, const std::string& path, const std::string& name, int depth) {
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0) return unreadable(shown, errno);
    std::string real = path;
    if (S_ISLNK(info.st_mode)) {
      real = resolve(path);
      struct stat target {};
      if (real.empty() || ::stat(real.c_str(), &target) != 0) {
        if (has_rule_name(name)) unreadable(shown, errno, "the link leads nowhere: ");
        return;
      }
      if (!is_inside(real, root_)) {
        if (has_rule_name(name) || S_ISDIR(target.st_mode)) {
          out_.problems.push_back(file_problem(code::kLinkOutside, shown, "the link leads out of " + root_,
                                               "put a copy here, or name the other place as a rules path of its own"));
        }
        return;
      }
      info = target;
    }
    if (S_ISDIR(info.st_mode)) return folder(shown, real, depth + 1);
    if (has_rule_name(name)) file(shown, real, info.st_mode);
  }

  void unreadable(const std::string& shown, int error, const std::string& what = "the file can't be read: ") {
    out_.problems.push_back(file_problem(code::kFileUnreadable, shown, what + system_message(error)));
  }

  FoundFiles& out_;
  const RuleLimits& limits_;
  std::string root_;
  std::set<std::string> taken_;
  std::set<std::pair<dev_t, ino_t>> folders_;
};

// Appends up to `most` bytes in all; false with errno set when the machine fails.
bool read_up_to(int fd, size_t most, std::string& out) {
  while (out.size() < most) {
    const size_t old = out.size();
    const size_t step = std::min<size_t>(64u << 10, most - old);
    out.resize(old + step);
    const ssize_t n = ::read(fd, out.data() + old, step);
    out.resize(old + static_cast<size_t>(std::max<ssize_t>(n, 0)));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    if (n == 0) return true;
  }
  return true;
}

}  // namespace

Diagnostic file_problem(std::string_view code, const std::string& file, std::string message, std::string help) {
  Diagnostic d;
  d.code = code;
  d.file = file;
  d.message = printable(message);
  d.help = std::move(help);
  return d;
}

std::string resolve_path(const std::string& path) {
  std::string real = resolve(path);
  return real.empty() ? path : real;
}

Result<FoundFiles> find_rule_files(const std::vector<std::string>& paths, const RuleLimits& limits) {
  FoundFiles out;
  Walker walker(out, limits);
  for (const std::string& path : paths) FB_TRY_VOID(walker.add(path));
  return out;
}

Result<std::string> read_rule_file(const std::string& path, const RuleLimits& limits) {
  // O_NONBLOCK: opening a pipe that took the file's place must not wait for a writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
  if (fd < 0) {
    return fail(ErrorCode::io, "the file can't be read: " + system_message(errno), std::string(code::kFileUnreadable));
  }
  struct Closer {
    int fd;
    ~Closer() { ::close(fd); }
  } closer{fd};
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    return fail(ErrorCode::invalid_argument, "the path is not a regular file (a device, pipe or socket)",
                std::string(code::kNotAFile));
  }
  std::string text;
  bool read = read_up_to(fd, limits.max_rule_file_bytes + 1, text);
  size_t most = limits.max_rule_file_bytes;
  std::string_view limit = "limits.max_rule_file_bytes";
  if (read && text.size() > most && kind_of(path, text) == FileKind::json) {
    most = limits.max_rule_import_bytes;
    limit = "limits.max_rule_import_bytes";
    read = read_up_to(fd, most + 1, text);
  }
  if (!read)
    return fail(ErrorCode::io, "the file can't be read: " + system_message(errno), std::string(code::kFileUnreadable));
  if (text.size() > most) {
    return fail(ErrorCode::limit,
                "the file is larger than " + std::to_string(most) + " bytes (" + std::string(limit) + ")",
                std::string(code::kFileTooLarge));
  }
  return text;
}

FileKind kind_of(std::string_view path, std::string_view text) {
  // The first line that says something.
  std::string_view rest = text;
  std::string_view line;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    const size_t start = line.find_first_not_of(" \t\r");
    if (start == std::string_view::npos || line[start] == '#') {
      line = {};
      continue;
    }
    line.remove_prefix(start);
    break;
  }
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
  const auto after = [](std::string_view s, size_t from) {
    const size_t i = s.find_first_not_of(" \t\r\n", from);
    return i == std::string_view::npos ? '\0' : s[i];
  };
  if (!line.empty() && line[0] == '{') {
    const char next =
        after(std::string_view(line.data(), static_cast<size_t>(text.data() + text.size() - line.data())), 1);
    if (next == '"' || next == '}') return FileKind::json;
  }
  if (ends_with(path, ".ndjson") || ends_with(path, ".json")) return FileKind::json;
  if (ends_with(path, ".toml")) return FileKind::toml;
  if (ends_with(path, ".yml") || ends_with(path, ".yaml")) {
    // Only a table header at the very start makes a .yml file TOML.
    const bool header =
        line.size() > 2 && line.front() == '[' && line.back() == ']' && (line == "[metadata]" || line == "[rule]");
    return header ? FileKind::toml : FileKind::yaml;
  }
  static constexpr std::string_view kBare = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.\"";
  if (line.size() > 2 && line.front() == '[' && line.back() == ']' &&
      line.find_first_not_of(std::string(kBare) + "[]") == std::string_view::npos) {
    return FileKind::toml;
  }
  const size_t key_end = line.find_first_not_of(kBare);
  if (key_end != std::string_view::npos && key_end > 0 && after(line, key_end) == '=') return FileKind::toml;
  return FileKind::yaml;
}

}  // namespace fb::compile
