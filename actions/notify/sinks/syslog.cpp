// RFC 5424 messages over UDP (one a datagram), TCP (octet counting) or a unix socket such as /dev/log.
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "actions/notify/sink.h"
#include "engine/base/text.h"

namespace fb::notify {
namespace {

constexpr size_t kMaxDatagram = 2048;  // what every receiver takes
constexpr size_t kMaxMessage = 16 << 10;
constexpr int kFacility = 10;  // security and authorization
constexpr int64_t kTotalMs = 10'000;
constexpr const char* kElement = "firebreak@32473";

int severity_of(Level level) {
  switch (level) {
    case Level::low:
      return 6;
    case Level::medium:
      return 5;
    case Level::high:
      return 4;
    case Level::critical:
      return 2;
  }
  return 6;
}

// Printable ASCII without blanks, at most `most`; "-" when there is none.
std::string token(const std::string& text, size_t most) {
  std::string out;
  for (const char c : text) {
    if (c > 0x20 && c < 0x7f && out.size() < most) out += c;
  }
  return out.empty() ? "-" : out;
}

std::string parameter(const char* name, const std::string& value) {
  if (value.empty()) return "";
  std::string out = std::string(" ") + name + "=\"";
  for (const char c : printable(value)) {
    if (c == '"' || c == '\\' || c == ']') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string message(const Notification& n, const std::string& hostname, size_t most) {
  std::string out = "<" + std::to_string(kFacility * 8 + severity_of(n.level)) + ">1 " + token(n.at, 32) + " " +
                    token(hostname, 255) + " firebreak " + std::to_string(getpid()) + " " + token(n.kind, 32) + " [" +
                    kElement + parameter("id", n.id) + parameter("severity", std::string(to_string(n.level))) +
                    parameter("hostname", n.hostname) + parameter("endpoint_id", n.endpoint_id) +
                    parameter("action_id", n.action_id) + parameter("command", n.command) +
                    parameter("rule_id", n.rule_id) + parameter("verdict", n.verdict) + parameter("guard", n.guard) +
                    parameter("who", n.who);
  for (const auto& [kind, count] : n.counts) out += parameter(kind.c_str(), std::to_string(count));
  out += "] \xEF\xBB\xBF" + printable(n.text);
  if (out.size() > most) {
    size_t at = most;
    while (at > 0 && (static_cast<uint8_t>(out[at]) & 0xC0) == 0x80) --at;
    out.resize(at);
  }
  return out;
}

struct Place {
  enum class Way : uint8_t { udp, tcp, unix_socket };
  Way way = Way::udp;
  std::string host;  // or the path
  std::string port;
};

Result<Place> parse_place(const std::string& text) {
  Place p;
  if (text.starts_with("unix:")) {
    p.way = Place::Way::unix_socket;
    p.host = text.substr(text.starts_with("unix://") ? 7 : 5);
    if (!p.host.starts_with('/') || p.host.size() >= sizeof(sockaddr_un::sun_path)) {
      return fail(ErrorCode::invalid_argument, "address names no socket; write unix:///dev/log");
    }
    return p;
  }
  if (!text.starts_with("udp://") && !text.starts_with("tcp://")) {
    return fail(ErrorCode::invalid_argument, "address begins with udp://, tcp:// or unix://");
  }
  p.way = text.starts_with("udp") ? Place::Way::udp : Place::Way::tcp;
  std::string rest = text.substr(6);
  p.port = p.way == Place::Way::udp ? "514" : "601";
  const size_t colon = rest.rfind(':');
  if (rest.starts_with('[')) {
    const size_t end = rest.find(']');
    if (end == std::string::npos) return fail(ErrorCode::invalid_argument, "address has no closing bracket");
    p.host = rest.substr(1, end - 1);
    if (end + 1 < rest.size()) p.port = rest[end + 1] == ':' ? rest.substr(end + 2) : "";
  } else {
    p.host = rest.substr(0, colon);
    if (colon != std::string::npos) p.port = rest.substr(colon + 1);
  }
  const bool digits = !p.port.empty() && p.port.find_first_not_of("0123456789") == std::string::npos;
  if (p.host.empty() || !digits || p.port.size() > 5 || std::stoi(p.port) > 65535) {
    return fail(ErrorCode::invalid_argument, "address is a host and a port, such as udp://log.example.com:514");
  }
  return p;
}

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

tl::unexpected<Error> trouble(const char* doing, int error) {
  return fail(ErrorCode::unavailable, std::string(doing) + ": " + std::strerror(error), "", Retry::yes);
}

class Syslog final : public Sink {
 public:
  Syslog(Place place, std::string hostname, const Clock& clock)
      : place_(std::move(place)), hostname_(std::move(hostname)), clock_(clock) {}

  Status send(const Notification& n) override {
    const int64_t until = clock_.mono_ms() + kTotalMs;
    const bool datagram = place_.way != Place::Way::tcp;
    std::string text = message(n, hostname_, datagram ? kMaxDatagram : kMaxMessage);
    if (place_.way == Place::Way::unix_socket) return to_unix_socket(text, until);
    if (!datagram) text = std::to_string(text.size()) + " " + text;
    addrinfo hints{};
    hints.ai_socktype = datagram ? SOCK_DGRAM : SOCK_STREAM;
    addrinfo* list = nullptr;
    const int problem = getaddrinfo(place_.host.c_str(), place_.port.c_str(), &hints, &list);
    if (problem != 0) {
      return fail(ErrorCode::unavailable, "can't resolve " + place_.host + ": " + gai_strerror(problem), "",
                  Retry::yes);
    }
    Status last = fail(ErrorCode::unavailable, place_.host + " has no address", "", Retry::yes);
    for (const addrinfo* at = list; at != nullptr && !last; at = at->ai_next) {
      last = to_address(at->ai_addr, at->ai_addrlen, at->ai_family, hints.ai_socktype, text, until);
    }
    freeaddrinfo(list);
    return last;
  }
  void cancel() override { cancelled_.store(true); }

 private:
  // Waits until the socket may be used, in short steps so that cancel() is heard.
  Status wait(int fd, short events, int64_t until) {
    while (!cancelled_.load()) {
      pollfd p{fd, events, 0};
      const int n = poll(&p, 1, 100);
      if (n > 0) return {};
      if (n < 0 && errno != EINTR) return trouble("can't wait for the log server", errno);
      if (clock_.mono_ms() >= until) return fail(ErrorCode::timeout, "the log server takes nothing", "", Retry::yes);
    }
    return fail(ErrorCode::unavailable, "the request was cancelled");
  }

  Status to_address(const sockaddr* address, socklen_t size, int family, int type, const std::string& text,
                    int64_t until) {
    const Socket s(socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (s.fd() < 0) return trouble("can't make a socket", errno);
    if (connect(s.fd(), address, size) != 0) {
      if (errno != EINPROGRESS) return trouble("can't connect to the log server", errno);
      FB_TRY_VOID(wait(s.fd(), POLLOUT, until));
      int error = 0;
      socklen_t length = sizeof(error);
      getsockopt(s.fd(), SOL_SOCKET, SO_ERROR, &error, &length);
      if (error != 0) return trouble("can't connect to the log server", error);
    }
    for (size_t at = 0; at < text.size();) {
      const ssize_t n = ::send(s.fd(), text.data() + at, text.size() - at, MSG_NOSIGNAL);
      if (n >= 0) {
        at += static_cast<size_t>(n);
      } else if (errno == EAGAIN) {
        FB_TRY_VOID(wait(s.fd(), POLLOUT, until));
      } else if (errno != EINTR) {
        return trouble("can't send to the log server", errno);
      }
    }
    if (type == SOCK_DGRAM) return {};
    // Delivered is what the other side's machine took: it answers the end of our stream with its own, or is silent.
    shutdown(s.fd(), SHUT_WR);
    if (const Status answered = wait(s.fd(), POLLIN, clock_.mono_ms() + 1000); !answered) {
      return cancelled_.load() ? answered : Status();
    }
    char ignored[256];
    if (recv(s.fd(), ignored, sizeof(ignored), 0) < 0 && errno == ECONNRESET) {
      return trouble("the log server closed the connection", ECONNRESET);
    }
    return {};
  }

  Status to_unix_socket(const std::string& text, int64_t until) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, place_.host.c_str(), sizeof(address.sun_path) - 1);
    return to_address(reinterpret_cast<const sockaddr*>(&address), sizeof(address), AF_UNIX, SOCK_DGRAM, text, until);
  }

  const Place place_;
  const std::string hostname_;
  const Clock& clock_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace

Result<std::unique_ptr<Sink>> make_syslog_sink(const SinkContext& context) {
  const std::string address = context.text("syslog.address");
  if (address.empty()) return std::unique_ptr<Sink>();
  FB_TRY(Place place, parse_place(address));
  return std::unique_ptr<Sink>(std::make_unique<Syslog>(std::move(place), context.hostname, *context.clock));
}

}  // namespace fb::notify
