// Real terminals (ptys) and a real session bus on which a small service plays the desktop.
#include "apps/enforcer/user_notice.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <termios.h>
#include <unistd.h>
#include <utmpx.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tests/support/closed_root.h"

namespace fb::agent {
namespace {

namespace fs = std::filesystem;

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/fb-notice-XXXXXX";
    path_ = mkdtemp(name);
    chmod(path_.c_str(), 0755);
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// A terminal and the other end of its cable.
class Pty {
 public:
  Pty() {
    master_ = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    grantpt(master_);
    unlockpt(master_);
    char name[64] = "";
    ptsname_r(master_, name, sizeof(name));
    path_ = name;
    slave_ = open(name, O_RDWR | O_NOCTTY);
    termios t{};
    tcgetattr(slave_, &t);
    cfmakeraw(&t);
    tcsetattr(slave_, TCSANOW, &t);
  }
  ~Pty() {
    close(slave_);
    close(master_);
  }
  std::string line() const { return path_.substr(5); }  // without "/dev/"
  int slave() const { return slave_; }
  std::string read_all() {
    std::string out;
    char buffer[4096];
    for (ssize_t n = 0; (n = read(master_, buffer, sizeof(buffer))) > 0;) out.append(buffer, static_cast<size_t>(n));
    return out;
  }

 private:
  int master_ = -1;
  int slave_ = -1;
  std::string path_;
};

void add_login(const std::string& file, const std::string& line, short type = USER_PROCESS) {
  utmpx entry{};
  entry.ut_type = type;
  entry.ut_pid = getpid();
  std::memcpy(entry.ut_line, line.data(), std::min(line.size(), sizeof(entry.ut_line)));
  std::memcpy(entry.ut_user, "ada", 3);
  std::ofstream(file, std::ios::binary | std::ios::app)
      .write(reinterpret_cast<const char*>(&entry), static_cast<std::streamsize>(sizeof(entry)));
}

NoticeOptions nowhere(const Folder& folder) {
  NoticeOptions o;
  o.utmp_file = folder / "utmp";
  o.sessions_dir = folder / "sessions";
  o.runtime_dir = folder / "user";
  return o;
}

TEST(UserNotice, a_logged_in_terminal_gets_the_line_and_its_reason) {
  const Folder folder;
  Pty pty;
  const NoticeOptions options = nowhere(folder);
  add_login(options.utmp_file, pty.line());
  const NoticeResult r = tell_users(Isolation::isolated, "Call 4242.", "incident 42", options);
  EXPECT_EQ(r.terminals, 1);
  EXPECT_TRUE(r.failures.empty());
  const std::string seen = pty.read_all();
  EXPECT_NE(seen.find("cut off the network"), std::string::npos) << seen;
  EXPECT_NE(seen.find("Call 4242. Reason: incident 42"), std::string::npos) << seen;

  EXPECT_EQ(tell_users(Isolation::released, "", "", options).terminals, 1);
  const std::string then = pty.read_all();
  EXPECT_NE(then.find("has its network back"), std::string::npos) << then;
  EXPECT_EQ(then.find("Reason"), std::string::npos) << then;
}

TEST(UserNotice, a_session_file_names_the_terminal_where_there_is_no_utmp) {
  const Folder folder;
  Pty pty;
  const NoticeOptions options = nowhere(folder);
  fs::create_directories(options.sessions_dir);
  std::ofstream(options.sessions_dir + "/3") << "UID=1000\nACTIVE=1\nTYPE=tty\nTTY=" << pty.line() << "\n";
  ASSERT_EQ(mkfifo((options.sessions_dir + "/3.ref").c_str(), 0600), 0);  // as the login service has it
  const NoticeResult r = tell_users(Isolation::isolated, "", "why", options);
  EXPECT_EQ(r.terminals, 1);
  EXPECT_NE(pty.read_all().find("Reason: why"), std::string::npos);
}

TEST(UserNotice, control_escape_and_bidi_characters_do_not_reach_a_terminal) {
  const Folder folder;
  Pty pty;
  const NoticeOptions options = nowhere(folder);
  add_login(options.utmp_file, pty.line());
  tell_users(Isolation::isolated, "a\x1b]0;title\x07z\x08", "x\r\ny\u202Eevil\u2066\u0085\x7f\xff caf\u00e9", options);
  std::string seen = pty.read_all();
  ASSERT_TRUE(seen.starts_with("\r\n\a"));
  ASSERT_TRUE(seen.ends_with("\r\n"));
  seen = seen.substr(3, seen.size() - 5);
  for (const char c : seen) EXPECT_FALSE((c >= 0 && c < 0x20) || c == 0x7f) << static_cast<int>(c);
  EXPECT_NE(seen.find("a]0;titlez Reason: x yevil\uFFFD caf\u00e9"), std::string::npos) << seen;
}

TEST(UserNotice, only_character_devices_of_the_terminal_folder_are_written_to) {
  const Folder folder;
  NoticeOptions options = nowhere(folder);
  options.tty_dir = folder / "dev";
  fs::create_directories(options.tty_dir);
  std::ofstream(options.tty_dir + "/plain") << "kept";
  std::ofstream(folder / "outside") << "kept";
  ASSERT_EQ(mkfifo((options.tty_dir + "/fifo").c_str(), 0600), 0);
  fs::create_symlink("/dev/null", options.tty_dir + "/link");
  for (const char* name : {"plain", "fifo", "link", "../outside", "/etc/passwd", "gone", ":0"})
    add_login(options.utmp_file, name);
  add_login(options.utmp_file, "plain", LOGIN_PROCESS);
  const int64_t before = now_ms();
  const NoticeResult r = tell_users(Isolation::isolated, "", "", options);
  EXPECT_LT(now_ms() - before, 1000);
  EXPECT_EQ(r.terminals, 0);
  EXPECT_EQ(r.failures.size(), 4u);  // the names that lead elsewhere were not even tried
  std::string kept;
  std::getline(std::ifstream(options.tty_dir + "/plain"), kept);
  EXPECT_EQ(kept, "kept");
  std::getline(std::ifstream(folder / "outside"), kept);
  EXPECT_EQ(kept, "kept");
}

TEST(UserNotice, a_stopped_terminal_holds_nothing_up) {
  const Folder folder;
  Pty stopped;
  Pty other;
  const NoticeOptions options = nowhere(folder);
  add_login(options.utmp_file, stopped.line());
  add_login(options.utmp_file, other.line());
  ASSERT_EQ(tcflow(stopped.slave(), TCOOFF), 0);
  const int64_t before = now_ms();
  const NoticeResult r = tell_users(Isolation::isolated, "", "", options);
  EXPECT_LT(now_ms() - before, 1000);
  EXPECT_EQ(r.terminals, 1);
  ASSERT_EQ(r.failures.size(), 1u);
  EXPECT_NE(other.read_all().find("cut off"), std::string::npos);
  tcflow(stopped.slave(), TCOON);
}

// --- desktops ---

// The bus of one user, and the service on it that shows notifications.
class Desktop {
 public:
  Desktop(const std::string& runtime_dir, uid_t uid) : dir_(runtime_dir + "/" + std::to_string(uid)) {
    fs::create_directories(dir_);
    if (chown(dir_.c_str(), uid, uid) != 0) ADD_FAILURE() << "chown " << dir_;
    const std::string address = "--address=unix:path=" + dir_ + "/bus";
    daemon_ = fork();
    if (daemon_ == 0) {
      if (uid != geteuid() && (setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0)) _exit(90);
      execl(FB_DBUS_DAEMON, "dbus-daemon", "--session", "--nofork", "--nopidfile", address.c_str(), nullptr);
      _exit(91);
    }
    for (int i = 0; i < 500 && !fs::is_socket(dir_ + "/bus"); ++i) usleep(10'000);
    service_ = fork_service(uid);
  }
  ~Desktop() {
    for (const pid_t pid : {service_, daemon_}) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
    close(pipe_);
  }

  // What the service was asked to show, one record a line; "" after five seconds without.
  std::string wait_line() {
    std::string out;
    char c = 0;
    timeval limit{5, 0};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pipe_, &set);
    if (select(pipe_ + 1, &set, nullptr, nullptr, &limit) != 1) return "";
    while (read(pipe_, &c, 1) == 1 && c != '\n') out += c;
    return out;
  }

 private:
  static int on_notify(sd_bus_message* m, void* user, sd_bus_error*) {
    const char *app = "", *icon = "", *summary = "", *body = "", *key = "";
    uint32_t replaces = 0;
    uint8_t urgency = 255;
    int32_t expires = 0;
    if (sd_bus_message_read(m, "susss", &app, &replaces, &icon, &summary, &body) < 0 ||
        sd_bus_message_skip(m, "as") < 0 || sd_bus_message_read(m, "a{sv}", 1, &key, "y", &urgency) < 0 ||
        sd_bus_message_read(m, "i", &expires) < 0) {
      return -EINVAL;
    }
    const std::string line = std::string(app) + "|" + summary + "|" + body + "|" + key + "=" + std::to_string(urgency) +
                             "|" + std::to_string(expires) + "\n";
    if (write(*static_cast<int*>(user), line.data(), line.size()) < 0) return -EIO;
    return sd_bus_reply_method_return(m, "u", uint32_t{7});
  }

  pid_t fork_service(uid_t uid) {
    int ends[2] = {-1, -1};
    if (pipe(ends) != 0) ADD_FAILURE() << "pipe";
    const std::string address = "unix:path=" + dir_ + "/bus";
    const pid_t pid = fork();
    if (pid == 0) {
      close(ends[0]);
      if (uid != geteuid() && (setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0)) _exit(92);
      static const sd_bus_vtable kTable[] = {
          SD_BUS_VTABLE_START(0), SD_BUS_METHOD("Notify", "susssasa{sv}i", "u", on_notify, SD_BUS_VTABLE_UNPRIVILEGED),
          SD_BUS_VTABLE_END};
      sd_bus* bus = nullptr;
      if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, address.c_str()) < 0 || sd_bus_set_bus_client(bus, 1) < 0 ||
          sd_bus_start(bus) < 0 ||
          sd_bus_add_object_vtable(bus, nullptr, "/org/freedesktop/Notifications", "org.freedesktop.Notifications",
                                   kTable, &ends[1]) < 0 ||
          sd_bus_request_name(bus, "org.freedesktop.Notifications", 0) < 0) {
        _exit(93);
      }
      if (write(ends[1], "ready\n", 6) != 6) _exit(94);
      for (;;) {
        const int r = sd_bus_process(bus, nullptr);
        if (r < 0) _exit(95);
        if (r == 0 && sd_bus_wait(bus, 30'000'000) < 0) _exit(96);
      }
    }
    close(ends[1]);
    pipe_ = ends[0];
    EXPECT_EQ(wait_line(), "ready");
    return pid;
  }

  std::string dir_;
  pid_t daemon_ = -1;
  pid_t service_ = -1;
  int pipe_ = -1;
};

void expect_shown(uid_t uid) {
  const Folder folder;
  const NoticeOptions options = nowhere(folder);
  Desktop desktop(options.runtime_dir, uid);
  const NoticeResult r = tell_users(Isolation::isolated, "Call <b>4242</b>", "x\x1b[31m & y", options);
  EXPECT_EQ(r.desktops, 1) << (r.failures.empty() ? "" : r.failures[0]);
  EXPECT_EQ(desktop.wait_line(),
            "Firebreak|This computer is cut off the network|Call &lt;b&gt;4242&lt;/b&gt; Reason: x[31m &amp; "
            "y|urgency=2|0");
  EXPECT_EQ(tell_users(Isolation::released, "", "", options).desktops, 1);
  EXPECT_EQ(desktop.wait_line(),
            "Firebreak|This computer has its network back|The isolation of this computer has ended.|urgency=1|-1");
}

TEST(UserNotice, the_desktop_of_this_user_shows_it) {
  expect_shown(geteuid());
}

// A bus lets only its own user in: run by root, the messenger has to become that user.
TEST(UserNotice, the_desktop_of_another_user_shows_it_when_run_by_root) {
  ASSERT_TRUE(fb::test::walk_through_closed_root());
  expect_shown(geteuid() == 0 ? 65534 : geteuid());
}

TEST(UserNotice, a_bus_that_never_answers_costs_two_seconds_and_the_others_are_told) {
  const Folder folder;
  Pty pty;
  const NoticeOptions options = nowhere(folder);
  add_login(options.utmp_file, pty.line());
  const std::string dir = options.runtime_dir + "/" + std::to_string(geteuid());
  fs::create_directories(dir);
  const int silent = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, (dir + "/bus").c_str(), sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(silent, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(silent, 8), 0);
  const int64_t before = now_ms();
  const NoticeResult r = tell_users(Isolation::isolated, "", "", options);
  EXPECT_LT(now_ms() - before, 2500);
  EXPECT_EQ(r.desktops, 0);
  EXPECT_EQ(r.terminals, 1);
  EXPECT_EQ(r.failures.size(), 1u);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a child was left behind";
  close(silent);
}

TEST(UserNotice, a_bus_planted_by_another_user_is_left_alone) {
  const Folder folder;
  const NoticeOptions options = nowhere(folder);
  const std::string dir = options.runtime_dir + "/12345";  // the folder is ours, not that user's
  fs::create_directories(dir);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, (dir + "/bus").c_str(), sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  const NoticeResult r = tell_users(Isolation::isolated, "", "", options);
  EXPECT_EQ(r.desktops, 0);
  ASSERT_EQ(r.failures.size(), 1u);
  EXPECT_NE(r.failures[0].find("somebody else"), std::string::npos) << r.failures[0];
  close(fd);
}

}  // namespace
}  // namespace fb::agent
