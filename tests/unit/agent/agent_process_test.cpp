// The program firebreak-agent as a process: its command line, its end, and its death in the middle of a command.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "apps/enforcer/journal.h"
#include "tests/unit/agent/gateway_support.h"

namespace fb::agent {
namespace {

using test::command;
using test::eventually;
using test::get_file;
using test::lines_of;
using test::put_file;
using test::Service;
using test::TemporaryFolder;

std::string program() {
  const char* build = std::getenv("FB_BUILD_DIR");
  EXPECT_NE(build, nullptr) << "run by ctest, or set FB_BUILD_DIR";
  return std::string(build == nullptr ? "." : build) + "/apps/firebreak-agent/firebreak-agent";
}

class Process {
 public:
  Process(std::vector<std::string> arguments, const std::string& output, const std::string& failpoint = "") {
    arguments.insert(arguments.begin(), program());
    std::vector<char*> argv;
    for (std::string& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    std::string point = "FB_FAILPOINT=" + failpoint;
    char* environment[] = {point.data(), nullptr};
    char** env = failpoint.empty() ? environment + 1 : environment;
    pid_ = fork();
    if (pid_ == 0) {
      if (freopen(output.c_str(), "w", stdout) == nullptr) _exit(126);
      dup2(1, 2);
      ::close_range(3, ~0u, 0);  // else it would hold the service's own listener open
      execve(argv[0], argv.data(), env);
      _exit(127);
    }
  }
  ~Process() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void signal(int number) const { kill(pid_, number); }
  // The exit code; 1000 + the signal that ended it; -1 when it runs on after ten seconds.
  int wait() {
    int status = 0;
    if (!eventually([&] { return waitpid(pid_, &status, WNOHANG) == pid_; }, 10'000)) return -1;
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

 private:
  pid_t pid_;
};

struct Rig {
  Service service;
  std::string config = service.dir / "agent.yml";
  std::string output = service.dir / "output";

  Rig() {
    service.start();
    put_file(service.dir / "token", service.token());
    put_file(config, "server: " + service.url() +
                         "\nstate_dir: state\nbackend: simulated\ntoken_file: token\nagent_id: a1\n"
                         "simulated: {host_id: h1, hostname: desk}\n");
  }
  int run(const std::vector<std::string>& arguments) { return Process(arguments, output).wait(); }
  std::string journal() const { return service.dir / "state/enforcer/journal.ndjson"; }
  bool polls() const {
    return eventually([&] { return service.plugin->stats().open_polls == 1; }, 10'000);
  }
};

TEST(AgentProgram, SaysWhatItIsAndWhatIsWrong) {
  Rig rig;
  EXPECT_EQ(rig.run({"--version"}), 0);
  EXPECT_NE(get_file(rig.output).find("simulated"), std::string::npos);
  EXPECT_EQ(rig.run({"--help"}), 0);
  EXPECT_NE(get_file(rig.output).find("Example:"), std::string::npos);
  const struct {
    std::vector<std::string> arguments;
    const char* says;
  } cases[] = {
      {{}, "give a command"},
      {{"fly"}, "unknown command 'fly'"},
      {{"run"}, "run needs -c FILE"},
      {{"run", "-c"}, "option -c needs a value"},
      {{"run", "-c", "/nonexistent.yml"}, "/nonexistent.yml"},
      {{"run", "-c", rig.config, "--url", "x"}, "unknown option '--url'"},
      {{"release"}, "release needs --break-glass"},
      {{"release", "--break-glass", "CODE", "-c", rig.config}, "only backend nftables has a helper"},
      {{"enroll", "--tokenfile", "x"}, "did you mean --token-file?"},
      {{"enroll", "-c", rig.config, "--ca-file", "a", "--fingerprint", "b"}, "not both"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(rig.run(c.arguments), 2) << c.says;
    EXPECT_NE(get_file(rig.output).find(c.says), std::string::npos) << get_file(rig.output);
    EXPECT_EQ(lines_of(rig.output).size(), 1u) << get_file(rig.output);
  }
}

TEST(AgentProgram, EnrolsOnceByTheCommandLine) {
  Rig rig;
  EXPECT_EQ(rig.run({"enroll", "-c", rig.config}), 0) << get_file(rig.output);
  EXPECT_NE(get_file(rig.output).find("Enrolled as agent a1"), std::string::npos);
  EXPECT_EQ(rig.run({"enroll", "-c", rig.config}), 0);
  EXPECT_NE(get_file(rig.output).find("Enrolled before as agent a1"), std::string::npos);
  put_file(rig.service.dir / "second.yml",
           "server: " + rig.service.url() + "\nstate_dir: second\nbackend: simulated\nsimulated: {host_id: h2}\n");
  EXPECT_EQ(rig.run({"enroll", "-c", rig.service.dir / "second.yml", "--token-file", rig.service.dir / "token"}), 1);
  EXPECT_NE(get_file(rig.output).find("401"), std::string::npos);
  EXPECT_EQ(rig.run({"enroll", "-c", rig.service.dir / "second.yml", "--token-file", rig.service.dir / "token", "--url",
                     "https://127.0.0.1:1"}),
            1)
      << "nobody there";
}

TEST(AgentProgram, RunsUntilItIsToldToEnd) {
  for (int signal : {SIGTERM, SIGINT}) {
    Rig rig;
    Process agent({"run", "-c", rig.config}, rig.output);
    ASSERT_TRUE(rig.polls()) << get_file(rig.output);
    ASSERT_TRUE(rig.service.plugin->send(command("i1", Verb::isolate, "a1", 1)));
    EXPECT_EQ(rig.service.wait_for_end("i1").observed, Isolation::isolated);
    agent.signal(signal);
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(agent.wait(), 0) << get_file(rig.output);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3));
    const std::string log = get_file(rig.output);
    EXPECT_NE(log.find("the isolation backend is simulated"), std::string::npos) << log;
    for (const std::string& line : lines_of(rig.output)) EXPECT_TRUE(line.starts_with("{\"ts\":")) << line;
  }
}

TEST(AgentProgram, EndsWhileItWaitsForTheService) {
  Rig rig;
  rig.service.stop();
  Process agent({"run", "-c", rig.config}, rig.output);
  usleep(500'000);
  agent.signal(SIGTERM);
  EXPECT_EQ(agent.wait(), 0);
}

// A port on which whoever calls is hung up on.
class HangsUp {
 public:
  explicit HangsUp(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int yes = 1;
    ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool listens =
        ::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 && ::listen(fd_, 16) == 0;
    EXPECT_TRUE(listens);
    thread_ = std::thread([this] {
      for (int caller = ::accept(fd_, nullptr, nullptr); caller >= 0; caller = ::accept(fd_, nullptr, nullptr)) {
        ::close(caller);
      }
    });
  }
  ~HangsUp() {
    ::shutdown(fd_, SHUT_RDWR);
    thread_.join();
    ::close(fd_);
  }
  HangsUp(const HangsUp&) = delete;
  HangsUp& operator=(const HangsUp&) = delete;

 private:
  int fd_;
  std::thread thread_;
};

TEST(AgentProgram, TellsWhyTheServiceIsAwayNowNotOnlyWhyItWentAway) {
  Rig rig;
  Process agent({"run", "-c", rig.config}, rig.output);
  ASSERT_TRUE(rig.polls()) << get_file(rig.output);
  const auto reasons = [&] {
    std::vector<std::string> out;
    for (const std::string& line : lines_of(rig.output)) {
      const size_t at = line.find("\"message\"");
      if (line.find("\"service_lost\"") != std::string::npos) out.push_back(line.substr(at, line.find('}', at) - at));
    }
    return out;
  };
  const uint16_t port = rig.service.plugin->port();
  rig.service.stop();
  ASSERT_TRUE(eventually([&] { return !reasons().empty(); }, 10'000)) << get_file(rig.output);
  // Nobody is there, for some tries: told once. The first reason may have been the end of the open poll.
  usleep(1'500'000);
  const size_t before = reasons().size();
  EXPECT_LE(before, 2u) << get_file(rig.output);
  const std::string away = reasons().back();
  const HangsUp other(port);
  ASSERT_TRUE(eventually([&] { return reasons().size() > before; }, 20'000)) << get_file(rig.output);
  EXPECT_NE(reasons().back(), away);
  agent.signal(SIGTERM);
  EXPECT_EQ(agent.wait(), 0);
}

// Whatever moment it dies in, a command that comes again acts once and ends done.
TEST(AgentProgram, DiesInTheMiddleOfACommandAndFinishesItAfterwards) {
  for (const char* point : {"agent_begun:1:kill", "agent_applied:1:kill"}) {
    Rig rig;
    {
      Process agent({"run", "-c", rig.config}, rig.output, point);
      ASSERT_TRUE(rig.polls()) << get_file(rig.output);
      ASSERT_TRUE(rig.service.plugin->send(command("i1", Verb::isolate, "a1", 1)));
      EXPECT_EQ(agent.wait(), 1000 + SIGKILL) << point;
    }
    EXPECT_EQ(lines_of(rig.journal()).size(), 1u) << point;
    EXPECT_FALSE(rig.service.finished("i1"));
    Process again({"run", "-c", rig.config}, rig.output);
    // The gateway hands it out again; the agent answers with what it finished on start.
    const Report end = rig.service.wait_for_end("i1");
    EXPECT_EQ(end.kind, Report::Kind::done) << point;
    EXPECT_EQ(end.observed, Isolation::isolated);
    again.signal(SIGTERM);
    EXPECT_EQ(again.wait(), 0);
    const auto lines = lines_of(rig.journal());
    ASSERT_EQ(lines.size(), 2u) << point;
    EXPECT_EQ(read_entry(lines[0])->phase, JournalEntry::Phase::begin);
    EXPECT_EQ(read_entry(lines[1])->phase, JournalEntry::Phase::done);
  }
}

}  // namespace
}  // namespace fb::agent
