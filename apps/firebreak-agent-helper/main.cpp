// firebreak-agent-helper: the part of the agent that has rights. It parses its command line, gives up what it does not
// need, brings the state of before back and serves its socket.
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "apps/enforcer/enforcer.h"
#include "apps/enforcer/helper_server.h"
#include "apps/enforcer/nftables/nftables_backend.h"
#include "apps/enforcer/user_notice.h"
#include "apps/firebreak-agent-helper/privileges.h"
#include "engine/base/log.h"
#include "engine/base/text.h"

namespace {

using fb::LogLevel;
using fb::agent::Enforcer;

constexpr int kDone = 0;
constexpr int kCannotRun = 2;
constexpr int kStartAnew = 3;

constexpr const char* kHelp =
    "firebreak-agent-helper: cuts this host off the network, and lets it back in, when a signed order says so\n"
    "\n"
    "  firebreak-agent-helper --folder DIR --socket PATH [options]\n"
    "      --folder DIR           what it keeps: identity, journal, the orders in force (0700)\n"
    "      --socket PATH          where the agent and `firebreak-agent release` reach it\n"
    "      --backend NAME         nftables (default), or simulated: cuts nothing off\n"
    "      --protected-file FILE  while it exists, no isolation is obeyed\n"
    "      --changes-per-hour N   isolations and changed exceptions obeyed within an hour (120); a release always is\n"
    "      --allow-user NAME      who may connect besides root; the socket's group becomes that user's\n"
    "      --allow-uid NUMBER     the same by number; either may be given several times\n"
    "      --version, --help\n"
    "\n"
    "Starting it brings the isolation of before a reboot back; it can start before there is any network.\n"
    "Exit codes: 0 ended by a signal, 2 it could not run, 3 the host has another identity now: start it again.\n";

struct Arguments {
  fb::agent::EnforcerOptions enforcer;
  fb::agent::HelperServerOptions server;
  std::string backend = "nftables";
};

int cannot_run(const std::string& problem) {
  std::fprintf(stderr, "firebreak-agent-helper: %s\n", fb::printable(problem).c_str());
  return kCannotRun;
}

// "" when all is well, else what is wrong.
std::string allow(const std::string& name, const std::string& value, fb::agent::HelperServerOptions& server) {
  const passwd* user = nullptr;
  uid_t uid = 0;
  if (name == "--allow-user") {
    user = ::getpwnam(value.c_str());
    if (user == nullptr) return "there is no user '" + value + "'";
    uid = user->pw_uid;
  } else {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), uid);
    if (error != std::errc() || end != value.data() + value.size()) return "'" + value + "' is no user id";
    user = ::getpwuid(uid);
  }
  server.allowed_uids.push_back(uid);
  server.group = user != nullptr ? user->pw_gid : static_cast<gid_t>(uid);
  return "";
}

std::string parse(const std::vector<std::string>& words, Arguments& out) {
  for (size_t i = 0; i < words.size(); ++i) {
    std::string name = words[i];
    std::string value;
    const size_t equals = name.find('=');
    if (name.starts_with("--") && equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
    } else if (i + 1 < words.size()) {
      value = words[++i];
    }
    if (value.empty()) return "option " + name + " needs a value";
    std::string problem;
    if (name == "--folder") {
      out.enforcer.folder = value;
    } else if (name == "--socket") {
      out.server.socket = value;
    } else if (name == "--backend") {
      out.backend = value;
    } else if (name == "--protected-file") {
      out.enforcer.protected_file = value;
    } else if (name == "--changes-per-hour") {
      const auto [end, error] =
          std::from_chars(value.data(), value.data() + value.size(), out.enforcer.changes_per_hour);
      if (error != std::errc() || end != value.data() + value.size() || out.enforcer.changes_per_hour < 1) {
        problem = "--changes-per-hour takes a whole number from 1 on, not '" + value + "'";
      }
    } else if (name == "--allow-user" || name == "--allow-uid") {
      problem = allow(name, value, out.server);
    } else {
      problem = "unknown option '" + name + "'";
    }
    if (!problem.empty()) return problem;
  }
  if (out.enforcer.folder.empty()) return "--folder is needed";
  if (out.server.socket.empty()) return "--socket is needed";
  if (out.backend != "nftables" && out.backend != "simulated") {
    return "backend '" + out.backend + "' is not in this build; it has: nftables, simulated";
  }
  return "";
}

void tell(fb::Isolation now, const std::string& comment, const std::string& message) {
  const auto told = fb::agent::tell_users(now, message, comment);
  for (const std::string& failure : told.failures) fb::log(LogLevel::warn, "notice_failed", failure);
  fb::log(LogLevel::info, "users_told", "the people at this host were told",
          {{"state", std::string(to_string(now))},
           {"terminals", std::to_string(told.terminals)},
           {"desktops", std::to_string(told.desktops)}});
}

// The enforcer comes to be once the host is enrolled, which may be later than the socket.
class Holder {
 public:
  std::shared_ptr<Enforcer> get() const {
    const std::lock_guard lock(mutex_);
    return enforcer_;
  }
  void set(std::shared_ptr<Enforcer> enforcer) {
    const std::lock_guard lock(mutex_);
    enforcer_ = std::move(enforcer);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<Enforcer> enforcer_;
};

fb::Result<std::unique_ptr<fb::agent::IsolationBackend>> backend_of(const Arguments& arguments) {
  if (arguments.backend == "nftables") return fb::agent::make_nftables_backend(arguments.enforcer.folder);
  return fb::agent::make_simulated_backend(arguments.enforcer.folder);
}

// False: not enrolled (yet).
fb::Result<bool> try_open(const Arguments& arguments, fb::agent::IsolationBackend& backend, Holder& holder) {
  auto opened = Enforcer::open(arguments.enforcer, backend, fb::system_clock());
  if (!opened && opened.error().code == fb::ErrorCode::not_found) return false;
  if (!opened) return tl::unexpected<fb::Error>(opened.error());
  std::shared_ptr<Enforcer> enforcer = std::move(*opened);
  enforcer->start_thread();
  holder.set(std::move(enforcer));
  return true;
}

// Tells whoever started this that the state of before is in force: at boot the network waits for it.
void tell_ready() {
  const char* name = std::getenv("NOTIFY_SOCKET");
  if (name == nullptr || name[0] == '\0') return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const size_t size = std::strlen(name);
  if (size >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, name, size);
  if (name[0] == '@') address.sun_path[0] = '\0';  // an abstract socket
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const std::string_view ready = "READY=1";
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + size);
  if (fd < 0 ||
      ::sendto(fd, ready.data(), ready.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), length) < 0) {
    fb::log(LogLevel::warn, "ready_not_told", std::strerror(errno));
  }
  if (fd >= 0) ::close(fd);
}

int serve(const Arguments& arguments, fb::agent::IsolationBackend& backend, int listening) {
  Holder holder;
  // First the state of before: at boot the links are about to come up.
  auto open = try_open(arguments, backend, holder);
  if (!open) return cannot_run(open.error().describe());
  if (!*open) {
    fb::log(LogLevel::warn, "not_enrolled", "this host is not enrolled; waiting for its identity",
            {{"folder", arguments.enforcer.folder}});
  }
  auto server = fb::agent::HelperServer::start(arguments.server, listening, [&holder] { return holder.get(); });
  if (!server) return cannot_run(server.error().describe());
  tell_ready();
  fb::log(LogLevel::info, "helper_started", "the helper runs",
          {{"version", FB_VERSION},
           {"backend", std::string(backend.name())},
           {"simulated", backend.simulated() ? "true" : "false"},
           {"socket", arguments.server.socket}});
  if (backend.simulated()) {
    fb::log(LogLevel::warn, "simulated_backend", "the isolation backend is simulated: nothing is cut off the network");
  }
  fb::Result<fb::agent::Identity> identity = fb::agent::read_identity(arguments.enforcer.folder);
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  int code = kDone;
  for (;;) {
    const timespec pause{1, 0};
    if (::sigtimedwait(&ends, nullptr, &pause) > 0) break;
    const auto now = fb::agent::read_identity(arguments.enforcer.folder);
    if (!*open) {
      open = try_open(arguments, backend, holder);
      if (!open) {
        code = cannot_run(open.error().describe());
        break;
      }
      if (*open) {
        identity = fb::agent::read_identity(arguments.enforcer.folder);
        fb::log(LogLevel::info, "enrolled", "this host has its identity now");
      }
    } else if (now && identity && (now->agent_id != identity->agent_id || now->server != identity->server)) {
      fb::log(LogLevel::warn, "identity_changed", "this host was enrolled anew; the helper ends to start with that");
      code = kStartAnew;
      break;
    }
  }
  // The isolation stays as it is.
  server->reset();
  holder.set(nullptr);
  fb::log(LogLevel::info, "helper_stopped", "the helper ends");
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  for (const std::string& word : words) {
    if (word == "--help" || word == "-h") {
      std::fputs(kHelp, stdout);
      return kDone;
    }
    if (word == "--version") {
      std::printf("firebreak-agent-helper %s (isolation backends: nftables, simulated; the latter cuts nothing off)\n",
                  FB_VERSION);
      return kDone;
    }
  }
  Arguments arguments;
  if (const std::string problem = parse(words, arguments); !problem.empty()) {
    return cannot_run(problem + "; see firebreak-agent-helper --help");
  }
  arguments.enforcer.notice = tell;
  ::umask(0077);
  // The signals are blocked in every thread and waited for, so that no handler runs anywhere.
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  if (const auto closed = fb::agent::close_to_others(); !closed) return cannot_run(closed.error().describe());
  // The socket's group needs a right that is not kept.
  const auto listening = fb::agent::HelperServer::listen(arguments.server);
  if (!listening) return cannot_run(listening.error().describe());
  if (const auto dropped = fb::agent::drop_capabilities(); !dropped) return cannot_run(dropped.error().describe());
  const auto backend = backend_of(arguments);
  if (!backend) return cannot_run(backend.error().describe());
  return serve(arguments, **backend, *listening);
}
