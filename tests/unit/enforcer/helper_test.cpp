// The helper's socket: who gets in, what may be asked, and that hostile bytes harm their own connection only.
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <thread>

#include "apps/enforcer/helper_client.h"
#include "apps/enforcer/helper_server.h"
#include "apps/enforcer/helper_wire.h"
#include "tests/support/closed_root.h"
#include "tests/unit/enforcer/enforcer_support.h"
#include "tests/unit/enforcer/order_fuzz.h"

namespace fb::agent {
namespace {

using namespace test;
using Kind = Report::Kind;

struct ServedHost : Host {
  HelperServerOptions serving;
  std::shared_ptr<Enforcer> shared;
  std::unique_ptr<HelperServer> server;

  ServedHost() {
    serving.socket = dir / "helper.sock";
    serving.allowed_uids = {::getuid()};
    serving.read_ms = 300;
    start();
  }
  void start() {
    server.reset();
    shared = std::shared_ptr<Enforcer>(enforcer.get(), [](Enforcer*) {});
    const auto listening = HelperServer::listen(serving);
    ASSERT_TRUE(listening) << listening.error().describe();
    auto started = HelperServer::start(serving, *listening, [this] { return shared; });
    ASSERT_TRUE(started) << started.error().describe();
    server = std::move(*started);
  }
  int dial() const {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, serving.socket.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  bool alive() const {
    const auto status = connect_helper(serving.socket)->status();
    return status.has_value();
  }
};

// Did the server end this connection within the time? What it said before does not matter.
bool is_ended(int fd, int ms) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
  char buffer[4096];
  while (std::chrono::steady_clock::now() < end) {
    pollfd ready{fd, POLLIN, 0};
    if (::poll(&ready, 1, 20) <= 0) continue;
    if (::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT) <= 0) return true;
  }
  return false;
}

// Root is let in everywhere, so root calls as somebody else.
TEST(Helper, ASocketThatIsClosedToTheUserIsNotCalledAHelperThatIsAway) {
  ServedHost host;
  const bool is_root = ::geteuid() == 0;
  ASSERT_EQ(::chmod(host.serving.socket.c_str(), 0), 0);
  if (is_root) {
    ASSERT_EQ(::seteuid(65534), 0);
  }
  const auto closed = connect_helper(host.serving.socket)->status();
  const Status typed = break_glass_at_helper(host.serving.socket, "code");
  if (is_root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().code, ErrorCode::unavailable) << "tried again: a helper that starts opens its socket last";
  EXPECT_NE(closed.error().message.find("not open to this user"), std::string::npos) << closed.error().describe();
  ASSERT_FALSE(typed);
  EXPECT_NE(typed.error().message.find("run this as root"), std::string::npos);

  host.server.reset();
  const auto away = connect_helper(host.serving.socket)->status();
  ASSERT_FALSE(away);
  EXPECT_NE(away.error().message.find("the helper is not there"), std::string::npos) << away.error().describe();
}

TEST(Helper, CarriesOrdersAndTellsItsStatus) {
  ServedHost host;
  const auto client = connect_helper(host.serving.socket);
  int begun = 0;
  Envelope e = host.service.isolate("a", 1);
  e.lease_ms = 50'000;
  const Report report = client->carry(host.service.sign(e), [&] { ++begun; });
  EXPECT_EQ(report.kind, Kind::done) << report.message;
  EXPECT_EQ(report.action_id, "a");
  EXPECT_EQ(report.generation, 1);
  EXPECT_EQ(report.observed, Isolation::isolated);
  EXPECT_GT(report.at_ms, 0);
  EXPECT_EQ(begun, 1);
  host.backend.state = Isolation::released;
  const auto status = client->status();
  ASSERT_TRUE(status) << status.error().describe();
  EXPECT_EQ(status->observed, Isolation::released);
  EXPECT_EQ(status->generation, 1);
  EXPECT_EQ(status->revision, 1);
  EXPECT_EQ(status->lease_left_ms, 50'000);
  EXPECT_EQ(status->action_id, "a");
  EXPECT_EQ(status->backend, "fake");
  EXPECT_TRUE(status->simulated);
  EXPECT_EQ(status->policy_digest, endpoint::digest({}));
  EXPECT_EQ(client->carry(host.service.sign(e), {}).kind, Kind::refused);
}

TEST(Helper, TakesABreakGlassCode) {
  ServedHost host;
  host.isolate("a", 1);
  const Status wrong = break_glass_at_helper(host.serving.socket, "WRONG");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::refused);
  const Status released = break_glass_at_helper(host.serving.socket, Service::code(1));
  EXPECT_TRUE(released) << released.error().describe();
  EXPECT_EQ(host.backend.state, Isolation::released);
  const auto status = connect_helper(host.serving.socket)->status();
  ASSERT_TRUE(status);
  EXPECT_EQ(status->local_release.how, "break_glass");
  EXPECT_EQ(status->local_release.proof, Service::code(1));
  EXPECT_FALSE(break_glass_at_helper(host.serving.socket, std::string(kMaxCode + 1, 'A')));
}

TEST(Helper, ThatIsAwayOrNotEnrolledIsAnErrorOfEachCall) {
  ServedHost host;
  const auto client = connect_helper(host.serving.socket, 0);
  host.shared = nullptr;
  EXPECT_EQ(client->status().error().code, ErrorCode::unavailable);
  EXPECT_EQ(client->carry("x", {}).kind, Kind::failed);
  host.server.reset();
  EXPECT_FALSE(std::filesystem::exists(host.serving.socket));
  EXPECT_EQ(client->status().error().code, ErrorCode::unavailable);
  const Report away = client->carry("x", {});
  EXPECT_EQ(away.kind, Kind::failed);
  EXPECT_EQ(away.action_id, "");
  host.start();
  EXPECT_TRUE(client->status()) << "the next call connects anew";
}

TEST(Helper, ThatIsStartedAgainInBetweenIsWaitedFor) {
  ServedHost host;
  const std::string order = host.service.sign(host.service.isolate("a", 1));
  host.server.reset();
  std::thread starts([&] {
    usleep(400'000);
    host.start();
  });
  const Report report = connect_helper(host.serving.socket)->carry(order, {});
  starts.join();
  EXPECT_EQ(report.kind, Kind::done) << report.message;
}

TEST(Helper, TheSocketIsClosedToOthersAndAForeignFileIsNotReplaced) {
  ServedHost host;
  struct stat facts {};
  ASSERT_EQ(::lstat(host.serving.socket.c_str(), &facts), 0);
  EXPECT_TRUE(S_ISSOCK(facts.st_mode));
  EXPECT_EQ(facts.st_mode & 0777, 0660u);
  HelperServerOptions other = host.serving;
  other.socket = host.dir / "file";
  put_file(other.socket, "precious");
  EXPECT_FALSE(HelperServer::listen(other));
  EXPECT_EQ(get_file(other.socket), "precious");
  other.socket = std::string(200, 'x');
  EXPECT_FALSE(HelperServer::listen(other));
}

// The test's own user is refused where it is no root; a root test becomes somebody else in a child.
TEST(Helper, WhoMayNotConnectIsTurnedAway) {
  ServedHost host;
  host.serving.allowed_uids = {};
  host.start();
  ASSERT_EQ(::chmod(host.serving.socket.c_str(), 0777), 0);
  ASSERT_EQ(::chmod(host.dir.path().c_str(), 0777), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    if (!fb::test::walk_through_closed_root()) ::_exit(4);
    if (::getuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) ::_exit(3);
    const auto status = connect_helper(host.serving.socket)->status();
    ::_exit(status ? 1 : 0);
  }
  int result = -1;
  ASSERT_EQ(::waitpid(child, &result, 0), child);
  ASSERT_TRUE(WIFEXITED(result));
  EXPECT_EQ(WEXITSTATUS(result), 0);
  EXPECT_GE(host.server->counts().refused, 1u);  // a client asks once more
  EXPECT_EQ(host.server->counts().taken, 0u);
}

TEST(Helper, AConnectionThatSaysNothingOrTooLittleIsEnded) {
  ServedHost host;
  const int silent = host.dial();
  const int half = host.dial();
  ASSERT_EQ(::send(half, "\0\0\1", 3, MSG_NOSIGNAL), 3);
  const int endless = host.dial();
  ASSERT_EQ(::send(endless, "\0\1\0\0C", 5, MSG_NOSIGNAL), 5);
  const auto begin = std::chrono::steady_clock::now();
  std::thread dribble([&] {
    for (int i = 0; i < 40 && ::send(endless, "A", 1, MSG_NOSIGNAL) == 1; ++i) usleep(25'000);
  });
  EXPECT_TRUE(is_ended(silent, 2'000));
  EXPECT_TRUE(is_ended(half, 2'000));
  EXPECT_TRUE(is_ended(endless, 2'000)) << "the deadline is for the whole message";
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(1'500));
  dribble.join();
  EXPECT_TRUE(host.alive());
  for (const int fd : {silent, half, endless}) ::close(fd);
  EXPECT_EQ(host.server->counts().broken, 3u);
}

TEST(Helper, NoMoreThanAFewConnectionsAtOnce) {
  ServedHost host;
  host.serving.read_ms = 2'000;
  host.serving.max_connections = 4;
  host.serving.kept_for_root = 2;
  host.start();
  const bool root = ::getuid() == 0;
  const size_t room = root ? 4 : 2;
  std::vector<int> fds;
  for (size_t i = 0; i < room; ++i) fds.push_back(host.dial());
  ASSERT_TRUE(eventually([&] { return host.server->counts().taken == room; }));
  const int over = host.dial();
  EXPECT_TRUE(is_ended(over, 1'000));
  EXPECT_EQ(host.server->counts().refused, 1u);
  ::close(over);
  for (const int fd : fds) ::close(fd);
  EXPECT_TRUE(eventually([&] { return host.alive(); })) << "there is room again";
}

TEST(Helper, UnknownQuestionsAndMonstrousLengthsEndTheirConnectionOnly) {
  ServedHost host;
  const std::vector<std::string> bad = {std::string("\0\0\0\0X", 5),
                                        std::string("\xff\xff\xff\xff"
                                                    "C",
                                                    5),
                                        std::string("\0\0\0\1X", 5),
                                        std::string("\0\0\0\2Sx", 6),
                                        std::string("\0\x20\0\0C", 5),
                                        std::string("\0\0\2\0B", 5) + std::string(511, 'x'),
                                        std::string("GET / HTTP/1.1\r\n\r\n")};
  for (const std::string& bytes : bad) {
    const int fd = host.dial();
    ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    EXPECT_TRUE(is_ended(fd, 1'000)) << bytes.size();
    ::close(fd);
  }
  EXPECT_TRUE(host.alive());
  EXPECT_EQ(host.backend.isolations + host.backend.releases, 0);
}

TEST(Helper, SeveralConnectionsAtOnceAreServed) {
  ServedHost host;
  host.isolate("a", 1);
  std::vector<std::thread> threads;
  std::atomic<int> answered{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const auto client = connect_helper(host.serving.socket);
      for (int n = 0; n < 25; ++n) answered += client->status().has_value();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(answered.load(), 100);
}

// Thousands of messages that were valid once: none has an effect, none ends the server.
TEST(Helper, MutatedMessagesHaveNoEffect) {
  ServedHost host;
  host.isolate("a", 1);
  const int effects = host.backend.isolations + host.backend.releases;
  std::mt19937 random(20'261'121);
  const std::string release = host.service.sign(host.service.release("b", 2));
  std::string message;
  for (int shift = 24; shift >= 0; shift -= 8) {
    message += static_cast<char>((release.size() + 1) >> shift & 0xff);
  }
  message += 'C' + release;
  const std::string code = std::string(
      "\0\0\0\x06"
      "BWRONG",
      10);
  const auto begin = std::chrono::steady_clock::now();
  int sent = 0;
  while (sent < 20'000 && std::chrono::steady_clock::now() - begin < std::chrono::seconds(8)) {
    // Several on a connection: after the first that is broken the rest goes nowhere.
    const int fd = host.dial();
    std::string bytes;
    for (int i = 0; i < 8; ++i, ++sent) {
      std::string one = random() % 8 == 0 ? code : message;
      mutate(one, random, 5);  // the length stays whole most of the time, so that the bytes behind it are read
      if (one.starts_with(message)) continue;  // whole, with something behind it: that is no mutation
      bytes += one;
    }
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t n = ::send(fd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
      if (n <= 0) break;
      done += static_cast<size_t>(n);
    }
    ::shutdown(fd, SHUT_WR);
    EXPECT_TRUE(is_ended(fd, 3'000));
    ::close(fd);
  }
  EXPECT_GE(sent, 2'000);
  EXPECT_EQ(host.backend.isolations + host.backend.releases, effects);
  EXPECT_EQ(host.status().generation, 1);
  EXPECT_TRUE(eventually([&] { return host.alive(); }));
  EXPECT_EQ(connect_helper(host.serving.socket)->carry(release, {}).kind, Kind::done) << "unchanged, it is obeyed";
}

TEST(OrderFuzz, MutatedEnvelopesAreNeverObeyed) {
  Host host;
  host.isolate("a", 1);
  const int effects = host.backend.isolations + host.backend.releases;
  std::mt19937 random(7);
  Envelope e = host.service.release("b", 2);
  e.policy.exceptions = {"192.0.2.0/24"};
  e.trust = host.service.keys();
  const std::string text = host.service.sign(e);
  const std::string bytes = canonical_bytes(e);
  const auto begin = std::chrono::steady_clock::now();
  int runs = 0;
  for (; runs < 60'000 && std::chrono::steady_clock::now() - begin < std::chrono::seconds(8); ++runs) {
    std::string changed = runs % 2 == 0 ? text : bytes;
    mutate(changed, random, 0);
    if (changed == text) continue;
    // Both readers; what they take must be what they would write.
    ASSERT_EQ(LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(changed.data()), changed.size()), 0);
    if (runs % 32 == 0) {
      ASSERT_EQ(host.enforcer->carry(changed, {}).kind, Kind::refused);
    }
  }
  EXPECT_GE(runs, 10'000);
  EXPECT_EQ(host.backend.isolations + host.backend.releases, effects);
  EXPECT_EQ(host.enforcer->carry(text, {}).kind, Kind::done);
}

}  // namespace
}  // namespace fb::agent
