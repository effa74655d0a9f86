#include "api_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <deque>
#include <memory>

namespace fb::bench {
namespace {

using std::chrono::steady_clock;

constexpr int kPatienceMs = 30'000;
constexpr std::string_view kLength = "Content-Length: ";

// What an answer's head says: where the body begins and how long it is.
struct Head {
  int status = 0;
  size_t body = 0;  // 0: the head is not complete
  size_t length = 0;
};

Head read_head(std::string_view got) {
  Head head;
  const size_t end = got.find("\r\n\r\n");
  if (end == std::string_view::npos || got.size() < 12) return head;
  std::from_chars(got.data() + 9, got.data() + 12, head.status);
  const size_t at = got.find(kLength);
  if (at != std::string_view::npos && at < end) {
    std::from_chars(got.data() + at + kLength.size(), got.data() + end, head.length);
  }
  head.body = end + 4;
  return head;
}

}  // namespace

Connection::~Connection() {
  if (fd_ >= 0) close(fd_);
}

Status Connection::open(uint16_t port) {
  if (fd_ >= 0) close(fd_);
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const timeval patience{kPatienceMs / 1000, 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
    return fail(ErrorCode::unavailable, std::strerror(errno), "connect");
  }
  return {};
}

Result<Connection::Answer> Connection::ask(std::string_view request) {
  while (!request.empty()) {
    const ssize_t n = ::send(fd_, request.data(), request.size(), MSG_NOSIGNAL);
    if (n <= 0) return fail(ErrorCode::io, "the connection was cut");
    request.remove_prefix(static_cast<size_t>(n));
  }
  std::string got;
  Head head;
  while (head.body == 0 || got.size() < head.body + head.length) {
    std::array<char, 16384> buffer;
    const ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), 0);
    if (n <= 0) return fail(ErrorCode::timeout, "the answer did not come");
    got.append(buffer.data(), static_cast<size_t>(n));
    if (head.body == 0) head = read_head(got);
  }
  if (got.size() != head.body + head.length) return fail(ErrorCode::corrupt, "more came than the answer");
  return Answer{head.status, got.substr(head.body)};
}

std::string wire(const std::string& what, const std::string& authorization) {
  const size_t blank = what.find(' ');
  const size_t body_at = what.find(' ', blank + 1);
  const std::string body = body_at == std::string::npos ? "" : what.substr(body_at + 1);
  std::string out = what.substr(0, body_at) + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: " + authorization +
                    "\r\nkbn-xsrf: true\r\n";
  if (!body.empty()) out += "Content-Type: application/json\r\n";
  if (!body.empty() || what.starts_with("P")) out += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  return out + "\r\n" + body;
}

namespace {

// A connection of the load. Of an answer only the head, the number of bytes and the last one are kept.
struct Lane {
  Connection connection;
  std::deque<size_t> due;  // requests whose time came while another one is under way here
  bool busy = false;
  size_t asked = 0;  // the one under way
  std::string head;
  Head said;
  size_t bytes = 0;  // of the body so far
  char first = 0;
  char last = 0;
};

class Load {
 public:
  Load(const LoadPlan& plan, Sample* samples) : plan_(plan), samples_(samples), buffer_(256u << 10) {}
  ~Load() {
    if (poll_ >= 0) close(poll_);
  }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  Status run() {
    poll_ = epoll_create1(EPOLL_CLOEXEC);
    if (poll_ < 0) return fail(ErrorCode::io, std::strerror(errno), "epoll");
    for (size_t i = 0; i < plan_.connections; ++i) {
      lanes_.push_back(std::make_unique<Lane>());
      FB_TRY_VOID(lanes_[i]->connection.open(plan_.port));
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = i;
      if (epoll_ctl(poll_, EPOLL_CTL_ADD, lanes_[i]->connection.fd(), &event) != 0) {
        return fail(ErrorCode::io, std::strerror(errno), "epoll");
      }
    }
    began_ = steady_clock::now();
    size_t next = 0;
    auto heard = began_;
    while (done_ < plan_.count) {
      const auto now = steady_clock::now();
      for (; next < plan_.count && due(next) <= now; ++next) FB_TRY_VOID(ask(next));
      std::array<epoll_event, 64> events;
      const auto until = next < plan_.count ? due(next) - now : std::chrono::nanoseconds(std::chrono::seconds(1));
      const auto ns = std::max<int64_t>(0, std::chrono::duration_cast<std::chrono::nanoseconds>(until).count());
      const timespec wait{ns / 1'000'000'000, ns % 1'000'000'000};
      const int ready = epoll_pwait2(poll_, events.data(), static_cast<int>(events.size()), &wait, nullptr);
      if (ready < 0 && errno != EINTR) return fail(ErrorCode::io, std::strerror(errno), "epoll");
      for (int i = 0; i < ready; ++i) FB_TRY_VOID(take(*lanes_[events[static_cast<size_t>(i)].data.u64]));
      if (ready > 0) heard = steady_clock::now();
      if (next > done_ && steady_clock::now() - heard > std::chrono::milliseconds(kPatienceMs)) {
        return fail(ErrorCode::timeout, "an answer did not come");
      }
    }
    return {};
  }

 private:
  steady_clock::time_point due(size_t k) const {
    const std::chrono::duration<double> after(static_cast<double>(k) / static_cast<double>(plan_.per_second));
    return began_ + std::chrono::duration_cast<steady_clock::duration>(after);
  }

  // In turn on each connection too, whatever both numbers have in common: else a connection would be asked a few kinds
  // for good, and a costly one would hold up just those that share its connections.
  size_t kind(size_t k) const { return (k + k / lanes_.size()) % plan_.requests.size(); }

  Status ask(size_t k) {
    Lane& lane = *lanes_[k % lanes_.size()];
    if (lane.busy) {
      lane.due.push_back(k);
      return {};
    }
    return send(lane, k);
  }

  Status send(Lane& lane, size_t k) {
    lane.busy = true;
    lane.asked = k;
    lane.head.clear();
    lane.said = {};
    lane.bytes = 0;
    const std::string& request = plan_.requests[kind(k)];
    const ssize_t n = ::send(lane.connection.fd(), request.data(), request.size(), MSG_NOSIGNAL);
    if (n == static_cast<ssize_t>(request.size())) return {};  // it fits into an empty socket
    return fail(ErrorCode::io, "the connection was cut", request.substr(0, request.find('\r')));
  }

  Status take(Lane& lane) {
    const ssize_t n = ::recv(lane.connection.fd(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    const std::string& request = plan_.requests[kind(lane.asked)];
    const auto wrong = [&](const std::string& what) {
      return fail(ErrorCode::corrupt, what + ": " + lane.head.substr(0, 200), request.substr(0, request.find('\r')));
    };
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return {};
    if (n <= 0 || !lane.busy) return wrong("the connection was cut, or more came than was asked for");
    std::string_view got(buffer_.data(), static_cast<size_t>(n));
    if (lane.said.body == 0) {
      const size_t before = lane.head.size();
      lane.head.append(got);
      lane.said = read_head(lane.head);
      if (lane.said.body == 0) return {};
      got.remove_prefix(lane.said.body - before);
      if (lane.said.status != 200) return wrong("not a 200");
      lane.first = got.empty() ? 0 : got.front();
    }
    if (lane.bytes == 0 && !got.empty()) lane.first = got.front();
    if (!got.empty()) lane.last = got.back() == '\n' && got.size() > 1 ? got[got.size() - 2] : got.back();
    lane.bytes += got.size();
    if (lane.bytes < lane.said.length) return {};
    const bool json =
        (lane.first == '{' && (lane.last == '}' || lane.last == '\n')) || (lane.first == '[' && lane.last == ']');
    if (lane.bytes != lane.said.length || !json) return wrong("not the JSON that it names");
    const std::chrono::duration<float, std::milli> took = steady_clock::now() - due(lane.asked);
    samples_[done_++] = {static_cast<uint32_t>(kind(lane.asked)), took.count()};
    lane.busy = false;
    if (lane.due.empty()) return {};
    const size_t k = lane.due.front();
    lane.due.pop_front();
    return send(lane, k);
  }

  const LoadPlan& plan_;
  Sample* samples_;
  std::vector<char> buffer_;
  int poll_ = -1;
  std::vector<std::unique_ptr<Lane>> lanes_;
  steady_clock::time_point began_;
  size_t done_ = 0;
};

}  // namespace

Status run_load(const LoadPlan& plan, Sample* samples) {
  Load load(plan, samples);
  return load.run();
}

}  // namespace fb::bench
