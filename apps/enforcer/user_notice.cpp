#include "apps/enforcer/user_notice.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <paths.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>
#include <utmpx.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <set>

#include "engine/base/clock.h"
#include "engine/base/markup.h"
#include "engine/base/text.h"

namespace fb::agent {
namespace {

constexpr int64_t kAllMs = 2000;
constexpr uint64_t kCallUs = 1'500'000;
constexpr unsigned kChildSeconds = 3;  // a child whose parent died ends by itself
constexpr size_t kMaxText = 600;       // code points of one text
constexpr size_t kMaxPlaces = 256;     // terminals, and desktops; beyond it nobody is told
constexpr size_t kMaxSessionFile = 16 << 10;

bool is_bidi(uint32_t c) {
  return c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

// One line of plain text: what moves a cursor, starts an escape or turns the reading order is left out. A line break
// becomes a blank, so that words stay apart.
std::string plain_line(const std::string& text) {
  const std::string good = to_utf8(text);
  std::string out;
  size_t count = 0;
  for (size_t i = 0; i < good.size() && count < kMaxText;) {
    const auto lead = static_cast<uint8_t>(good[i]);
    const size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    uint32_t c = length == 1 ? lead : lead & (0xffu >> (length + 1));
    for (size_t k = 1; k < length; ++k) c = (c << 6) | (static_cast<uint8_t>(good[i + k]) & 0x3fu);
    const bool breaks = c == '\n' || c == '\r' || c == '\t' || c == 0x2028 || c == 0x2029;
    if (breaks) {
      if (!out.empty() && out.back() != ' ') out += ' ';
    } else if (c >= 0x20 && (c < 0x7f || c > 0x9f) && !is_bidi(c)) {
      out.append(good, i, length);
      ++count;
    }
    i += length;
  }
  return out;
}

struct Words {
  std::string summary;
  std::string body;
};

Words words_for(Isolation now, const std::string& message, const std::string& comment) {
  Words w;
  const bool isolated = now == Isolation::isolated;
  w.summary = isolated ? "This computer is cut off the network" : "This computer has its network back";
  w.body = plain_line(message);
  if (w.body.empty()) {
    w.body = isolated
                 ? "Your security team has isolated this computer. Save your work and get in touch with them; do not "
                   "restart it."
                 : "The isolation of this computer has ended.";
  }
  const std::string why = plain_line(comment);
  if (!why.empty()) w.body += " Reason: " + why;
  return w;
}

// "pts/3", "tty1". A name that leads out of the folder of terminals is none.
bool is_terminal_name(const std::string& name) {
  return !name.empty() && name.front() != '/' && name.front() != ':' && name.find("..") == std::string::npos;
}

void terminals_of_utmp(const std::string& file, std::set<std::string>& names) {
  // Read as records: getutxent() keeps its place in the process, and another thread may be reading too.
  std::ifstream in(file, std::ios::binary);
  utmpx entry{};
  while (names.size() < kMaxPlaces && in.read(reinterpret_cast<char*>(&entry), sizeof(entry))) {
    if (entry.ut_type != USER_PROCESS) continue;
    const std::string name(entry.ut_line, strnlen(entry.ut_line, sizeof(entry.ut_line)));
    if (is_terminal_name(name)) names.insert(name);
  }
}

std::vector<std::string> entries_of(const std::string& folder) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(folder.c_str()), closedir);
  if (!dir) return names;
  while (const dirent* entry = readdir(dir.get())) {
    if (names.size() >= kMaxPlaces) break;
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

void terminals_of_sessions(const std::string& folder, std::set<std::string>& names) {
  for (const std::string& session : entries_of(folder)) {
    const std::string path = folder + "/" + session;
    struct stat info {};
    // Beside each file lies a FIFO of the session; only files are read.
    if (lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    std::ifstream in(path);
    std::string line;
    for (size_t bytes = 0; bytes < kMaxSessionFile && std::getline(in, line); bytes += line.size() + 1) {
      if (line.rfind("TTY=", 0) == 0 && is_terminal_name(line.substr(4))) names.insert(line.substr(4));
    }
  }
}

// "" when the line was written whole, else why not. Never waits: a stopped terminal misses the line.
std::string write_terminal(const std::string& path, const std::string& line) {
  const int fd = open(path.c_str(), O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return std::strerror(errno);
  std::string problem;
  struct stat info {};
  if (fstat(fd, &info) != 0 || !S_ISCHR(info.st_mode) || isatty(fd) == 0) {
    problem = "not a terminal";
  } else {
    const ssize_t n = write(fd, line.data(), line.size());
    if (n < 0) {
      problem = std::strerror(errno);
    } else if (static_cast<size_t>(n) < line.size()) {
      problem = "it took only a part of the line";
    }
  }
  close(fd);
  return problem;
}

std::string bus_address(const std::string& path) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out = "unix:path=";
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '_' || c == '/' || c == '.';
    if (plain) {
      out += c;
    } else {
      const auto byte = static_cast<uint8_t>(c);
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

// 0 or a negative errno.
int notify(const std::string& address, Isolation now, const Words& words) {
  sd_bus* bus = nullptr;
  sd_bus_message* call = nullptr;
  int r = sd_bus_new(&bus);
  if (r >= 0) r = sd_bus_set_address(bus, address.c_str());
  if (r >= 0) r = sd_bus_set_bus_client(bus, 1);
  if (r >= 0) r = sd_bus_start(bus);
  if (r >= 0) {
    r = sd_bus_message_new_method_call(bus, &call, "org.freedesktop.Notifications", "/org/freedesktop/Notifications",
                                       "org.freedesktop.Notifications", "Notify");
  }
  const bool isolated = now == Isolation::isolated;
  const std::string body = escape_markup(words.body);
  if (r >= 0) {
    r = sd_bus_message_append(call, "susssasa{sv}i", "Firebreak", uint32_t{0},
                              isolated ? "network-offline" : "network-transmit-receive", words.summary.c_str(),
                              body.c_str(), 0, 1, "urgency", "y", isolated ? 2 : 1, isolated ? 0 : -1);
  }
  if (r >= 0) r = sd_bus_call(bus, call, kCallUs, nullptr, nullptr);
  sd_bus_message_unref(call);
  sd_bus_flush_close_unref(bus);
  return r < 0 ? r : 0;
}

// The whole life of the child: it becomes the user, since a session bus lets only its own user in, says it and ends.
// Its exit status is 0 or an errno.
[[noreturn]] void run_child(const std::string& address, uid_t uid, gid_t gid, Isolation now, const Words& words) {
  signal(SIGALRM, SIG_DFL);
  signal(SIGPIPE, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  alarm(kChildSeconds);
  const bool changes = geteuid() != uid || getuid() != uid;
  if (changes && (setgroups(0, nullptr) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)) {
    _exit(errno & 0xff);
  }
  _exit(-notify(address, now, words) & 0xff);
}

struct Desktop {
  pid_t child = -1;
  std::string name;
};

std::vector<Desktop> start_desktops(const std::string& folder, Isolation now, const Words& words,
                                    NoticeResult& result) {
  std::vector<Desktop> started;
  for (const std::string& name : entries_of(folder)) {
    uid_t uid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), uid);
    if (error != std::errc() || end != name.data() + name.size()) continue;
    const std::string home = folder + "/" + name;
    const std::string path = home + "/bus";
    struct stat dir {};
    struct stat socket {};
    if (lstat(home.c_str(), &dir) != 0 || lstat(path.c_str(), &socket) != 0 || !S_ISSOCK(socket.st_mode)) continue;
    if (dir.st_uid != uid || socket.st_uid != uid) {
      result.failures.push_back("desktop of user " + name + ": its bus belongs to somebody else");
      continue;
    }
    // The folder's group is the user's own; asking the user database could hang now that the network is gone.
    const std::string address = bus_address(path);
    const pid_t child = fork();
    if (child == 0) run_child(address, uid, dir.st_gid, now, words);
    if (child < 0) {
      result.failures.push_back("desktop of user " + name + ": " + std::strerror(errno));
    } else {
      started.push_back({child, name});
    }
  }
  return started;
}

void gather_desktops(std::vector<Desktop>& desktops, int64_t until_ms, NoticeResult& result) {
  const auto say = [&](const Desktop& d, const std::string& what) {
    result.failures.push_back("desktop of user " + d.name + ": " + what);
  };
  while (!desktops.empty()) {
    const bool late = system_clock().mono_ms() >= until_ms;
    for (size_t i = 0; i < desktops.size();) {
      const Desktop d = desktops[i];
      int status = 0;
      pid_t ended = waitpid(d.child, &status, WNOHANG);
      if (ended == 0 && late) {
        kill(d.child, SIGKILL);
        ended = waitpid(d.child, &status, 0);
        say(d, "no answer in time");
      } else if (ended == d.child && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        ++result.desktops;
      } else if (ended == d.child) {
        say(d, WIFEXITED(status) ? std::strerror(WEXITSTATUS(status)) : "its messenger was killed");
      } else if (ended < 0) {
        say(d, std::strerror(errno));
      }
      if (ended == 0) {
        ++i;
      } else {
        desktops.erase(desktops.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
    const timespec pause{0, 5'000'000};
    if (!desktops.empty()) nanosleep(&pause, nullptr);
  }
}

std::string or_else(const std::string& given, const char* standard) {
  return given.empty() ? standard : given;
}

}  // namespace

NoticeResult tell_users(Isolation now, const std::string& message, const std::string& comment,
                        const NoticeOptions& options) {
  const int64_t until = system_clock().mono_ms() + kAllMs;
  NoticeResult result;
  const Words words = words_for(now, message, comment);
  std::vector<Desktop> desktops = start_desktops(or_else(options.runtime_dir, "/run/user"), now, words, result);

  std::set<std::string> names;
  terminals_of_utmp(or_else(options.utmp_file, _PATH_UTMP), names);
  terminals_of_sessions(or_else(options.sessions_dir, "/run/systemd/sessions"), names);
  const std::string dir = or_else(options.tty_dir, "/dev");
  const std::string line = "\r\n\a*** " + words.summary + ". " + words.body + "\r\n";
  for (const std::string& name : names) {
    const std::string problem = write_terminal(dir + "/" + name, line);
    if (problem.empty()) {
      ++result.terminals;
    } else {
      result.failures.push_back("terminal " + printable(name) + ": " + problem);
    }
  }
  gather_desktops(desktops, until, result);
  return result;
}

}  // namespace fb::agent
