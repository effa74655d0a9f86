#include "apps/enforcer/helper_client.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include "apps/enforcer/helper_wire.h"

namespace fb::agent {
namespace {

constexpr int kSendMs = 5'000;
constexpr int kStatusMs = 15'000;  // another order may be on its way
constexpr int kEffectMs = 60'000;
constexpr int kPauseMs = 200;

struct Connection {
  explicit Connection(int n) : fd(n) {}
  ~Connection() {
    if (fd >= 0) ::close(fd);
  }
  Connection(Connection&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  Connection& operator=(Connection&&) = delete;
  int fd;
};

Result<Connection> dial(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail(ErrorCode::invalid_argument, "the path is too long", path);
  std::memcpy(address.sun_path, path.c_str(), path.size());
  Connection connection(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connection.fd < 0) return fail(ErrorCode::io, std::string("no socket: ") + std::strerror(errno));
  if (::connect(connection.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    // It may become reachable either way: a helper that starts sets the rights of its socket last.
    const bool forbidden = errno == EACCES || errno == EPERM;
    return fail(ErrorCode::unavailable,
                forbidden ? "the helper's socket is not open to this user; run this as root, or as the user that the "
                            "agent runs as"
                          : std::string("the helper is not there: ") + std::strerror(errno),
                path, Retry::yes);
  }
  return connection;
}

tl::unexpected<Error> unreadable(const std::string& path) {
  return fail(ErrorCode::corrupt, "the helper gave an answer that does not fit", path);
}

class HelperClient final : public Enforcement {
 public:
  HelperClient(std::string path, int patience_ms) : path_(std::move(path)), patience_ms_(patience_ms) {}

  Report carry(const std::string& envelope, const std::function<void()>& on_begin) override {
    const std::lock_guard lock(mutex_);
    bool begun = false;
    const auto tell_once = [&] {
      if (!std::exchange(begun, true) && on_begin) on_begin();
    };
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms_);
    auto report = ask_to_carry(envelope, tell_once);
    while (!report && report.error().code == ErrorCode::unavailable && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(kPauseMs));
      report = ask_to_carry(envelope, tell_once);
    }
    if (report) return *report;
    Report failed;
    failed.kind = Report::Kind::failed;
    failed.message = report.error().describe();
    return failed;
  }

  // Once more when there was no room for a moment; a helper that is away is an answer too.
  Result<EnforcementStatus> status() override {
    const std::lock_guard lock(mutex_);
    auto status = ask_status();
    if (status || status.error().code != ErrorCode::unavailable) return status;
    std::this_thread::sleep_for(std::chrono::milliseconds(kPauseMs));
    return ask_status();
  }

 private:
  Result<EnforcementStatus> ask_status() {
    FB_TRY(const Connection connection, dial(path_));
    FB_TRY_VOID(send_message(connection.fd, kAskStatus, "", kSendMs));
    FB_TRY(const Message answer, receive_message(connection.fd, kMaxAnswer, kStatusMs));
    if (answer.kind == kSayError) return tl::unexpected<Error>(read_error(answer.body));
    if (answer.kind != kSayStatus) return unreadable(path_);
    return read_status(answer.body);
  }

  Result<Report> ask_to_carry(const std::string& envelope, const std::function<void()>& on_begin) {
    FB_TRY(const Connection connection, dial(path_));
    FB_TRY_VOID(send_message(connection.fd, kAskCarry, envelope, kSendMs));
    FB_TRY(Message answer, receive_message(connection.fd, kMaxAnswer, kEffectMs));
    if (answer.kind == kSayBegun) {
      on_begin();
      FB_TRY(answer, receive_message(connection.fd, kMaxAnswer, kEffectMs));
    }
    if (answer.kind == kSayError) return tl::unexpected<Error>(read_error(answer.body));
    if (answer.kind != kSayReport) return unreadable(path_);
    return read_report(answer.body);
  }

  const std::string path_;
  const int patience_ms_;
  std::mutex mutex_;
};

}  // namespace

std::unique_ptr<Enforcement> connect_helper(const std::string& socket_path, int patience_ms) {
  return std::make_unique<HelperClient>(socket_path, patience_ms);
}

Status break_glass_at_helper(const std::string& socket_path, const std::string& code) {
  if (code.size() > kMaxCode) return fail(ErrorCode::invalid_argument, "this is no code: it is too long");
  FB_TRY(const Connection connection, dial(socket_path));
  FB_TRY_VOID(send_message(connection.fd, kAskBreakGlass, code, kSendMs));
  FB_TRY(const Message answer, receive_message(connection.fd, kMaxAnswer, kEffectMs));
  if (answer.kind == kSayDone) return {};
  if (answer.kind == kSayError) return tl::unexpected<Error>(read_error(answer.body));
  return unreadable(socket_path);
}

}  // namespace fb::agent
