#include "apps/enforcer/helper_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>

#include "apps/enforcer/helper_wire.h"
#include "engine/base/log.h"

namespace fb::agent {
namespace {

constexpr int kBeatMs = 100;

tl::unexpected<Error> io_failed(const std::string& doing, const std::string& path) {
  return fail(ErrorCode::io, doing + ": " + std::strerror(errno), path);
}

Error not_enrolled() {
  return {ErrorCode::unavailable, Retry::yes, "this host is not enrolled yet", ""};
}

}  // namespace

Result<int> HelperServer::listen(const HelperServerOptions& options) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& path = options.socket;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::invalid_argument, "the socket's path is empty or too long", path);
  }
  std::memcpy(address.sun_path, path.c_str(), path.size());
  struct stat facts {};
  if (::lstat(path.c_str(), &facts) == 0) {
    // Only what an earlier helper left behind goes.
    if (!S_ISSOCK(facts.st_mode)) return fail(ErrorCode::already_exists, "is there and is no socket", path);
    if (::unlink(path.c_str()) != 0) return io_failed("cannot remove the old socket", path);
  }
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return io_failed("no socket", path);
  const mode_t old_mask = ::umask(0177);  // nobody gets in before its mode and group are set
  const bool bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::umask(old_mask);
  const auto no_group = static_cast<gid_t>(-1);
  const bool ready = bound &&
                     (options.group == no_group || ::chown(path.c_str(), static_cast<uid_t>(-1), options.group) == 0) &&
                     ::chmod(path.c_str(), 0660) == 0 && ::listen(fd, options.max_connections) == 0;
  if (!ready) {
    auto failed = io_failed("cannot listen", path);
    ::close(fd);
    return failed;
  }
  return fd;
}

Result<std::unique_ptr<HelperServer>> HelperServer::start(HelperServerOptions options, int listening,
                                                          EnforcerNow enforcer) {
  auto server = std::unique_ptr<HelperServer>(new HelperServer(std::move(options), std::move(enforcer), listening));
  try {
    server->acceptor_ = std::jthread([s = server.get()](const std::stop_token& stop) { s->accept_loop(stop); });
  } catch (const std::system_error& e) {
    return fail(ErrorCode::io, std::string("no thread: ") + e.what());
  }
  return server;
}

HelperServer::HelperServer(HelperServerOptions options, EnforcerNow enforcer, int fd)
    : options_(std::move(options)), enforcer_(std::move(enforcer)), fd_(fd) {}

HelperServer::~HelperServer() {
  acceptor_.request_stop();
  if (acceptor_.joinable()) acceptor_.join();
  ::close(fd_);
  {
    const std::lock_guard lock(mutex_);
    for (Connection& connection : connections_) ::shutdown(connection.fd, SHUT_RD);
  }
  // The acceptor is gone, so nobody else touches the list.
  for (Connection& connection : connections_) {
    if (connection.thread.joinable()) connection.thread.join();
    ::close(connection.fd);
  }
  ::unlink(options_.socket.c_str());
}

HelperServer::Counts HelperServer::counts() const {
  return {taken_.load(), refused_.load(), broken_.load()};
}

bool HelperServer::may_connect(int fd, bool& root) const {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  root = peer.uid == 0;
  const auto& allowed = options_.allowed_uids;
  if (root || std::find(allowed.begin(), allowed.end(), peer.uid) != allowed.end()) return true;
  log(LogLevel::warn, "helper_refused", "a process that may not use the helper's socket connected",
      {{"uid", std::to_string(peer.uid)}, {"pid", std::to_string(peer.pid)}});
  return false;
}

void HelperServer::sweep() {
  const std::lock_guard lock(mutex_);
  for (auto at = connections_.begin(); at != connections_.end();) {
    if (!at->over.load()) {
      ++at;
      continue;
    }
    if (at->thread.joinable()) at->thread.join();
    ::close(at->fd);
    at = connections_.erase(at);
  }
}

void HelperServer::accept_loop(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    pollfd ready{fd_, POLLIN, 0};
    const int n = ::poll(&ready, 1, kBeatMs);
    sweep();
    if (n <= 0) continue;
    const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) {
      // Out of descriptors, say: not a reason to spin.
      if (errno != EAGAIN && errno != EINTR) std::this_thread::sleep_for(std::chrono::milliseconds(kBeatMs));
      continue;
    }
    bool root = false;
    const bool allowed = may_connect(fd, root);
    const std::lock_guard lock(mutex_);
    const auto others = std::count_if(connections_.begin(), connections_.end(), [](const auto& c) { return !c.root; });
    const bool room = static_cast<int>(connections_.size()) < options_.max_connections &&
                      (root || others < options_.max_connections - options_.kept_for_root);
    if (!allowed || !room) {
      ++refused_;
      ::close(fd);
      continue;
    }
    Connection& connection = connections_.emplace_back();
    connection.fd = fd;
    connection.root = root;
    try {
      connection.thread = std::jthread([this, &connection] {
        serve(connection.fd);
        ::shutdown(connection.fd, SHUT_RDWR);  // closed by the sweep; the other side sees the end now
        connection.over.store(true);
      });
      ++taken_;
    } catch (const std::system_error&) {
      ++refused_;
      ::close(fd);
      connections_.pop_back();
    }
  }
}

void HelperServer::serve(int fd) {
  for (;;) {
    const auto request = receive_message(fd, kMaxRequest, options_.read_ms);
    if (!request) {
      // That the other side hangs up between two requests is the ordinary end.
      if (request.error().code != ErrorCode::unavailable) ++broken_;
      return;
    }
    const bool known = request->kind == kAskCarry || request->kind == kAskStatus || request->kind == kAskBreakGlass;
    if (!known || request->body.size() > most_bytes_of(request->kind)) {
      ++broken_;
      return;
    }
    if (!answer(fd, request->kind, request->body)) {
      ++broken_;
      return;
    }
  }
}

bool HelperServer::answer(int fd, char ask, const std::string& body) {
  const auto say = [&](char kind, const std::string& text) {
    return send_message(fd, kind, text, options_.send_ms).has_value();
  };
  const std::shared_ptr<Enforcer> enforcer = enforcer_();
  if (enforcer == nullptr) return say(kSayError, write_error(not_enrolled()));
  switch (ask) {
    case kAskCarry: {
      // That the courier is gone meanwhile does not stop the order.
      const Report report = enforcer->carry(body, [&] { static_cast<void>(say(kSayBegun, "")); });
      return say(kSayReport, write_report(report));
    }
    case kAskBreakGlass: {
      const Status released = enforcer->break_glass(body);
      return released ? say(kSayDone, "") : say(kSayError, write_error(released.error()));
    }
    default: {
      const auto status = enforcer->status();
      return status ? say(kSayStatus, write_status(*status)) : say(kSayError, write_error(status.error()));
    }
  }
}

}  // namespace fb::agent
