// The helper as a program: what it links, what it gives up, and that dying in the middle of an order loses nothing.
#include <elf.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>

#include "apps/enforcer/helper_client.h"
#include "tests/unit/enforcer/enforcer_support.h"

extern char** environ;

namespace fb::agent {
namespace {

using namespace test;
using Kind = Report::Kind;

std::string program() {
  const char* build = std::getenv("FB_BUILD_DIR");
  return std::string(build == nullptr ? "." : build) + "/apps/firebreak-agent-helper/firebreak-agent-helper";
}

// Ends with the test, whatever happens.
class Process {
 public:
  Process(const std::vector<std::string>& arguments, const std::string& failpoint, const std::string& log_file) {
    std::vector<std::string> words = {program()};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    std::string armed = "FB_FAILPOINT=" + failpoint;
    std::vector<char*> environment;
    for (char** at = environ; *at != nullptr; ++at) {
      if (std::strncmp(*at, "FB_FAILPOINT=", 13) != 0) environment.push_back(*at);
    }
    if (!failpoint.empty()) environment.push_back(armed.data());
    environment.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    EXPECT_EQ(posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environment.data()), 0) << program();
    posix_spawn_file_actions_destroy(&actions);
  }
  ~Process() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number) const { ::kill(pid_, number); }
  // The exit code, 128 + the signal, or -1 when it still runs then.
  int wait(int ms = 10'000) {
    int result = -1;
    const bool ended = eventually([&] { return ::waitpid(pid_, &result, WNOHANG) == pid_; }, ms);
    if (!ended) return -1;
    pid_ = -1;
    return WIFEXITED(result) ? WEXITSTATUS(result) : 128 + WTERMSIG(result);
  }

 private:
  pid_t pid_ = -1;
};

struct Machine {
  TemporaryFolder dir;
  Service service{dir};
  std::string folder = dir / "f";
  std::string socket = dir / "s";
  std::unique_ptr<Process> helper;

  void enroll(const std::string& agent_id = kAgent) {
    Identity identity;
    identity.agent_id = agent_id;
    identity.server = "https://127.0.0.1:1";
    identity.trusted = service.keys();
    EXPECT_TRUE(keep_identity(folder, identity));
  }
  std::vector<std::string> arguments() const {
    return {"--folder",       folder,        "--socket=" + socket,       "--backend",
            "simulated",      "--allow-uid", std::to_string(::getuid()), "--protected-file",
            dir / "protected"};
  }
  void start(const std::string& failpoint = "") {
    helper = std::make_unique<Process>(arguments(), failpoint, dir / "log");
    EXPECT_TRUE(eventually(
        [&] {
          const auto status = connect_helper(socket)->status();
          return status || status.error().message.find("enrolled") != std::string::npos;
        },
        10'000))
        << get_file(dir / "log");
  }
  Report carry(const Envelope& e) const { return connect_helper(socket, 0)->carry(service.sign(e), {}); }
  Isolation observed() const {
    const auto status = connect_helper(socket)->status();
    return status ? status->observed : Isolation::unknown;
  }
};

TEST(HelperProcess, ObeysAndBringsTheStateBackWhenItIsStartedAgain) {
  Machine m;
  m.enroll();
  m.start();
  EXPECT_EQ(m.carry(m.service.isolate("a", 1)).kind, Kind::done);
  m.helper->signal(SIGKILL);
  EXPECT_EQ(m.helper->wait(), 128 + SIGKILL);
  std::filesystem::remove(m.folder + "/simulated_isolation.json");  // the kernel forgot
  m.start();
  EXPECT_EQ(m.observed(), Isolation::isolated);
  EXPECT_TRUE(break_glass_at_helper(m.socket, Service::code(1)));
  EXPECT_EQ(m.observed(), Isolation::released);
  m.helper->signal(SIGTERM);
  EXPECT_EQ(m.helper->wait(), 0) << get_file(m.dir / "log");
  EXPECT_FALSE(std::filesystem::exists(m.socket));
}

// At boot the network waits for that word.
TEST(HelperProcess, SaysThatItIsReadyOnceTheStateOfBeforeIsInForce) {
  Machine m;
  m.enroll();
  m.start();
  ASSERT_EQ(m.carry(m.service.isolate("a", 1)).kind, Kind::done);
  m.helper->signal(SIGKILL);
  ASSERT_EQ(m.helper->wait(), 128 + SIGKILL);
  const std::string state = m.folder + "/simulated_isolation.json";
  std::filesystem::remove(state);  // the kernel forgot
  const std::string name = m.dir / "ready";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(name.size(), sizeof address.sun_path);
  std::memcpy(address.sun_path, name.c_str(), name.size());
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const timeval patience{10, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
  m.helper = std::make_unique<Process>(m.arguments(), "", m.dir / "log");
  ::unsetenv("NOTIFY_SOCKET");
  char word[64] = "";
  EXPECT_GT(::recv(fd, word, sizeof word - 1, 0), 0) << get_file(m.dir / "log");
  ::close(fd);
  EXPECT_STREQ(word, "READY=1");
  EXPECT_TRUE(std::filesystem::exists(state)) << "not before the host is cut off again";
}

TEST(HelperProcess, EndsWhereTheOrderWantedWhereverItIsKilled) {
  for (const char* point : {"agent_begun", "agent_applied", "enforcer_forgotten"}) {
    SCOPED_TRACE(point);
    Machine m;
    m.enroll();
    m.start();
    const bool releases = std::string(point) == "enforcer_forgotten";
    if (releases) {
      ASSERT_EQ(m.carry(m.service.isolate("first", 1)).kind, Kind::done);
    }
    m.helper->signal(SIGTERM);
    ASSERT_EQ(m.helper->wait(), 0);
    m.start(std::string(point) + ":1:kill");
    const Report cut = m.carry(releases ? m.service.release("a", 2) : m.service.isolate("a", 2));
    EXPECT_EQ(cut.kind, Kind::failed);
    EXPECT_EQ(m.helper->wait(), 128 + SIGKILL);
    m.start();
    EXPECT_EQ(m.observed(), releases ? Isolation::released : Isolation::isolated);
    const Report again = m.carry(releases ? m.service.release("a", 2) : m.service.isolate("a", 2));
    EXPECT_EQ(again.kind, Kind::done) << again.message;
  }
}

TEST(HelperProcess, WaitsForItsIdentityAndEndsToStartAnewWithAnother) {
  Machine m;
  m.start();
  EXPECT_FALSE(connect_helper(m.socket)->status());
  m.enroll();
  EXPECT_TRUE(eventually([&] { return connect_helper(m.socket)->status().has_value(); }, 10'000));
  m.enroll("agent-2");
  EXPECT_EQ(m.helper->wait(), 3) << get_file(m.dir / "log");
}

TEST(HelperProcess, KeepsFewRights) {
  Machine m;
  m.enroll();
  m.start();
  const std::string status = get_file("/proc/" + std::to_string(m.helper->pid()) + "/status");
  const auto field = [&](const std::string& name) {
    const size_t at = status.find(name + ":");
    EXPECT_NE(at, std::string::npos) << name;
    return at == std::string::npos ? std::string() : status.substr(at + name.size() + 2, 16);
  };
  constexpr uint64_t kMayKeep = 1ull << 12 | 1ull << 7 | 1ull << 6 | 1ull << 5 | 1ull << 1;
  for (const char* set : {"CapPrm", "CapEff", "CapInh", "CapAmb"}) {
    EXPECT_EQ(std::stoull(field(set), nullptr, 16) & ~kMayKeep, 0u) << set << " " << field(set);
  }
  EXPECT_EQ(field("NoNewPrivs").substr(0, 1), "1");
  const std::string limits = get_file("/proc/" + std::to_string(m.helper->pid()) + "/limits");
  if (::getuid() == 0) {  // nobody else may read them of a process that is closed to others
    const size_t core = limits.find("Max core file size");
    ASSERT_NE(core, std::string::npos);
    EXPECT_EQ(limits.substr(core, 30).find_first_of("0123456789"), limits.substr(core, 30).find('0'));
  }
}

TEST(HelperProcess, SaysWhatIsWrongWithItsCommandLine) {
  const TemporaryFolder dir;
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"--folder", dir / "f"},
      {"--folder", dir / "f", "--socket", dir / "s", "--backend", "magic"},
      {"--folder", dir / "f", "--socket", dir / "s", "--allow-user", "nobody-has-this-name"},
      {"--folder", dir / "f", "--socket", dir / "s", "--allow-uid", "12x"},
      {"--folder", dir / "f", "--socket", dir / "s", "--unknown", "1"},
      {"--folder", dir / "f", "--socket", dir / "none/s", "--backend", "simulated"}};
  for (const auto& words : wrong) {
    Process process(words, "", dir / "log");
    EXPECT_EQ(process.wait(), 2) << words.size();
  }
  for (const char* word : {"--help", "--version"}) {
    Process process({word}, "", dir / "log");
    EXPECT_EQ(process.wait(), 0);
  }
  EXPECT_NE(get_file(dir / "log").find("Exit codes"), std::string::npos);
}

// The libraries that the program itself names in its dynamic section.
std::vector<std::string> libraries_of(const std::string& file) {
  const std::string bytes = get_file(file);
  std::vector<std::string> names;
  Elf64_Ehdr head{};
  if (bytes.size() < sizeof head || bytes.compare(0, SELFMAG, ELFMAG) != 0) return names;
  std::memcpy(&head, bytes.data(), sizeof head);
  std::vector<Elf64_Shdr> sections(head.e_shnum);
  if (head.e_shoff + sections.size() * sizeof(Elf64_Shdr) > bytes.size()) return names;
  std::memcpy(sections.data(), bytes.data() + head.e_shoff, sections.size() * sizeof(Elf64_Shdr));
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_type != SHT_DYNAMIC) continue;
    for (size_t at = 0; at + sizeof(Elf64_Dyn) <= section.sh_size; at += sizeof(Elf64_Dyn)) {
      Elf64_Dyn entry{};
      std::memcpy(&entry, bytes.data() + section.sh_offset + at, sizeof entry);
      if (entry.d_tag == DT_NEEDED)
        names.emplace_back(bytes.c_str() + sections[section.sh_link].sh_offset + entry.d_un.d_val);
    }
  }
  return names;
}

TEST(HelperProcess, LinksNoParserAndNoNetworkClient) {
  const std::vector<std::string> libraries = libraries_of(program());
  ASSERT_FALSE(libraries.empty()) << program();
  bool nftables = false;
  for (const std::string& library : libraries) {
    nftables = nftables || library.starts_with("libnftables");
    for (const char* unwanted : {"yaml", "curl", "boost", "sqlite", "rdkafka", "ssl.", "re2", "simdjson", "toml"}) {
      EXPECT_EQ(library.find(unwanted), std::string::npos) << library;
    }
  }
  EXPECT_TRUE(nftables) << "this looks into the wrong file";
}

}  // namespace
}  // namespace fb::agent
