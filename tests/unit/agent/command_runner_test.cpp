#include "apps/enforcer/command_runner.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <map>

#include "engine/base/failpoint.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/agent/agent_support.h"

namespace fb::agent {
namespace {

using test::lines_of;
using test::put_file;
using test::TemporaryFolder;

// Counts, and fails or lies when told to.
class CountingBackend final : public IsolationBackend {
 public:
  std::string_view name() const override { return "counting"; }
  bool simulated() const override { return true; }
  Status apply(const Command& command) override {
    ++applied[command.action_id];
    if (broken) return fail(ErrorCode::io, "no nft here");
    if (!lies) state = command.verb == Verb::isolate ? Isolation::isolated : Isolation::released;
    return {};
  }
  Result<Isolation> observe() override { return state; }
  std::map<std::string, int> applied;
  Isolation state = Isolation::released;
  bool broken = false;
  bool lies = false;
};

struct Rig {
  TemporaryFolder dir;
  fb::test::FakeClock clock;
  CountingBackend backend;
  std::unique_ptr<CommandRunner> runner;

  Rig() { restart(); }
  void restart() {
    runner.reset();
    auto journal = Journal::open(dir / "journal.ndjson");
    ASSERT_TRUE(journal) << journal.error().describe();
    runner = std::make_unique<CommandRunner>("ep", std::move(*journal), backend, clock);
    ASSERT_TRUE(runner->resume());
  }
  Report run(const std::string& id, Verb verb, int64_t generation) {
    return runner->run(command(id, verb, generation), 0);
  }
  static Command command(const std::string& id, Verb verb, int64_t generation) {
    Command c;
    c.action_id = id;
    c.verb = verb;
    c.endpoint_id = "ep";
    c.generation = generation;
    return c;
  }
  size_t journal_lines(const std::string& id, const std::string& phase) const {
    size_t n = 0;
    for (const std::string& line : lines_of(dir / "journal.ndjson")) {
      n += line.find("\"" + id + "\"") != std::string::npos &&
           line.find("\"phase\":\"" + phase + "\"") != std::string::npos;
    }
    return n;
  }
};

TEST(CommandRunner, AppliesAndReadsBack) {
  Rig rig;
  const Report isolated = rig.run("a", Verb::isolate, 1);
  EXPECT_EQ(isolated.kind, Report::Kind::done);
  EXPECT_EQ(isolated.observed, Isolation::isolated);
  EXPECT_EQ(isolated.generation, 1);
  const Report released = rig.run("b", Verb::release, 2);
  EXPECT_EQ(released.kind, Report::Kind::done);
  EXPECT_EQ(released.observed, Isolation::released);
  EXPECT_EQ(rig.runner->state().generation, 2);
}

TEST(CommandRunner, WritesBeginBeforeTheEffect) {
  Rig rig;
  int applied_at_begin = -1;
  size_t lines_at_begin = 0;
  rig.runner->run(Rig::command("a", Verb::isolate, 1), 0, [&] {
    applied_at_begin = rig.backend.applied["a"];
    lines_at_begin = rig.journal_lines("a", "begin");
  });
  EXPECT_EQ(applied_at_begin, 0);
  EXPECT_EQ(lines_at_begin, 1u);
  EXPECT_EQ(rig.journal_lines("a", "done"), 1u);
}

TEST(CommandRunner, ActsOnceOnTheSameActionAndGivesTheStoredResult) {
  Rig rig;
  rig.run("a", Verb::isolate, 1);
  for (int i = 0; i < 3; ++i) {
    if (i == 2) rig.restart();
    const Report again = rig.run("a", Verb::isolate, 1);
    EXPECT_EQ(again.kind, Report::Kind::done);
    EXPECT_EQ(again.observed, Isolation::isolated);
  }
  EXPECT_EQ(rig.backend.applied["a"], 1);
  EXPECT_EQ(rig.journal_lines("a", "begin"), 1u);
  EXPECT_EQ(rig.journal_lines("a", "done"), 1u);
}

TEST(CommandRunner, ALostStateIsSetAgainForTheNewestGenerationWithoutANewBegin) {
  Rig rig;
  rig.run("a", Verb::isolate, 1);
  EXPECT_EQ(rig.run("repair", Verb::isolate, 1).kind, Report::Kind::refused) << "nothing is lost: stale";
  rig.backend.state = Isolation::released;  // somebody took the isolation away
  const Report again = rig.run("repair", Verb::isolate, 1);
  EXPECT_EQ(again.kind, Report::Kind::done);
  EXPECT_EQ(again.observed, Isolation::isolated);
  EXPECT_EQ(rig.journal_lines("a", "begin") + rig.journal_lines("repair", "begin"), 1u);
  rig.backend.state = Isolation::released;
  EXPECT_EQ(rig.run("repair2", Verb::release, 1).kind, Report::Kind::refused) << "another verb is another command";
  rig.backend.broken = true;
  EXPECT_EQ(rig.run("a", Verb::isolate, 1).kind, Report::Kind::failed);
}

TEST(CommandRunner, AnOldIsolationIsNotSetAgainAfterItsRelease) {
  Rig rig;
  rig.run("a", Verb::isolate, 1);
  rig.run("b", Verb::release, 2);
  const Report again = rig.run("a", Verb::isolate, 1);  // delivered late, a second time
  EXPECT_EQ(again.kind, Report::Kind::done);
  EXPECT_EQ(again.observed, Isolation::released) << "the state told is the one of now";
  EXPECT_EQ(rig.backend.state, Isolation::released);
}

TEST(CommandRunner, RefusesAGenerationThatIsNotNewer) {
  Rig rig;
  rig.run("b", Verb::release, 5);
  for (int64_t generation : {5, 4, 0}) {
    const Report stale = rig.run("a" + std::to_string(generation), Verb::isolate, generation);
    EXPECT_EQ(stale.kind, Report::Kind::refused);
    EXPECT_NE(stale.message.find("stale"), std::string::npos);
  }
  rig.restart();
  EXPECT_EQ(rig.run("c", Verb::isolate, 5).kind, Report::Kind::refused) << "known over a restart";
  EXPECT_EQ(rig.backend.state, Isolation::released);
  EXPECT_EQ(lines_of(rig.dir / "journal.ndjson").size(), 2u) << "a refusal is no action";
}

TEST(CommandRunner, RefusesWhatIsForAnotherEndpoint) {
  Rig rig;
  Command c = Rig::command("a", Verb::isolate, 1);
  c.endpoint_id = "other";
  EXPECT_EQ(rig.runner->run(c, 0).kind, Report::Kind::refused);
  EXPECT_TRUE(rig.backend.applied.empty());
}

TEST(CommandRunner, RefusesAnExpiredIsolationByTheServicesClockButNeverARelease) {
  Rig rig;
  Command c = Rig::command("a", Verb::isolate, 1);
  c.expires_at_ms = 1000;
  EXPECT_EQ(rig.runner->run(c, 1000).kind, Report::Kind::refused);
  EXPECT_EQ(rig.runner->run(c, 999).kind, Report::Kind::done);
  Command late = Rig::command("b", Verb::release, 2);
  late.expires_at_ms = 1000;
  EXPECT_EQ(rig.runner->run(late, 5000).kind, Report::Kind::done);
}

TEST(CommandRunner, ReportsAFailureAndKeepsItAsTheResult) {
  Rig rig;
  rig.backend.broken = true;
  const Report failed = rig.run("a", Verb::isolate, 1);
  EXPECT_EQ(failed.kind, Report::Kind::failed);
  EXPECT_NE(failed.message.find("no nft here"), std::string::npos);
  rig.backend.broken = false;
  rig.restart();
  const Report again = rig.run("a", Verb::isolate, 1);
  EXPECT_EQ(again.kind, Report::Kind::failed);
  EXPECT_EQ(rig.backend.applied["a"], 1);
}

TEST(CommandRunner, DoneIsNotSaidWhenTheStateReadBackIsAnother) {
  Rig rig;
  rig.backend.lies = true;
  const Report report = rig.run("a", Verb::isolate, 1);
  EXPECT_EQ(report.kind, Report::Kind::failed);
  EXPECT_EQ(report.observed, Isolation::released);
}

TEST(CommandRunner, FinishesWhatACrashCutShortAfterBegin) {
  Rig rig;
  ASSERT_TRUE(arm_failpoint("agent_begun:1:err"));
  EXPECT_EQ(rig.run("a", Verb::isolate, 1).kind, Report::Kind::failed);
  ASSERT_TRUE(arm_failpoint(""));
  EXPECT_EQ(rig.journal_lines("a", "begin"), 1u);
  EXPECT_EQ(rig.journal_lines("a", "done"), 0u);
  EXPECT_EQ(rig.backend.applied["a"], 0);
  rig.restart();
  EXPECT_EQ(rig.backend.state, Isolation::isolated);
  EXPECT_EQ(rig.backend.applied["a"], 1);
  EXPECT_EQ(rig.journal_lines("a", "begin"), 1u);
  EXPECT_EQ(rig.journal_lines("a", "done"), 1u);
  EXPECT_EQ(rig.run("a", Verb::isolate, 1).kind, Report::Kind::done);
  EXPECT_EQ(rig.backend.applied["a"], 1);
}

TEST(CommandRunner, FinishesWhatACrashCutShortAfterTheEffect) {
  Rig rig;
  ASSERT_TRUE(arm_failpoint("agent_applied:1:err"));
  EXPECT_EQ(rig.run("a", Verb::isolate, 1).kind, Report::Kind::done) << "the effect is there, so it is reported";
  ASSERT_TRUE(arm_failpoint(""));
  EXPECT_EQ(rig.journal_lines("a", "done"), 0u);
  rig.restart();
  EXPECT_EQ(rig.journal_lines("a", "done"), 1u);
  EXPECT_EQ(rig.backend.state, Isolation::isolated);
}

TEST(CommandRunner, ActsNotAtAllWhenTheJournalCannotBeWritten) {
  Rig rig;
  rig.run("a", Verb::release, 1);
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit full = old;
  full.rlim_cur = std::filesystem::file_size(rig.dir / "journal.ndjson");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  const Report report = rig.run("b", Verb::isolate, 2);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(report.kind, Report::Kind::failed);
  EXPECT_EQ(rig.backend.applied.count("b"), 0u);
  EXPECT_EQ(rig.run("b", Verb::isolate, 2).kind, Report::Kind::done) << "with space again, the same command runs";
}

TEST(CommandRunner, SetsTheLastStateAgainWhenItWasLost) {
  Rig rig;
  rig.run("a", Verb::isolate, 1);
  rig.backend.state = Isolation::released;  // a reboot without memory
  rig.restart();
  EXPECT_EQ(rig.backend.state, Isolation::isolated);
  EXPECT_EQ(lines_of(rig.dir / "journal.ndjson").size(), 2u) << "it is no new action";
}

TEST(SimulatedBackend, KeepsItsStateOverARestartAndSaysThatItIsSimulated) {
  TemporaryFolder dir;
  {
    const auto backend = make_simulated_backend(dir.path());
    EXPECT_EQ(*backend->observe(), Isolation::released);
    ASSERT_TRUE(backend->apply(Rig::command("a", Verb::isolate, 1)));
  }
  const auto backend = make_simulated_backend(dir.path());
  EXPECT_EQ(*backend->observe(), Isolation::isolated);
  EXPECT_TRUE(backend->simulated());
  EXPECT_NE(test::get_file(dir / "simulated_isolation.json").find("\"simulated\":true"), std::string::npos);
  put_file(dir / "simulated_isolation.json", "{");
  EXPECT_FALSE(backend->observe());
}

}  // namespace
}  // namespace fb::agent
