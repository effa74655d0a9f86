// Random lives of one endpoint: commands and answers late, lost, doubled and out of order, crashes at any point, an
// endpoint that comes and goes, actions that run out of time, leases that end at the host, a code that lets it back in,
// a stop that is pulled and pushed back. When the storm is over, the endpoint must be as the record wants it, and must
// never have obeyed an overtaken command.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <set>

#include "engine/base/failpoint.h"
#include "engine/base/log.h"
#include "engine/respond/dispatch.h"
#include "tests/support/fake_agent.h"
#include "tests/unit/respond/fixtures.h"

namespace fb {
namespace {

using test::FakeAction;
using test::FakeActionStore;
using test::FakeAgent;
using test::FakeClock;

struct Tally {
  int64_t actions = 0;
  int64_t crashes = 0;
  int64_t refused = 0;
  int64_t verified = 0;
  int64_t expired = 0;
  int64_t superseded = 0;
  int64_t ended_isolated = 0;
  int64_t leases_ended = 0;  // by the host's own clock
  int64_t let_in = 0;        // by a code that was typed there
  int64_t withheld = 0;      // never given to the host, and blocked for it
};

// The wire between the plugin and the agent.
class Wire final : public ActionPlugin {
 public:
  Result<SendOutcome> send(const Command& c) override {
    if (!online) return SendOutcome::offline;
    if (broken) return fail(ErrorCode::timeout, "no answer", "", Retry::yes);
    commands.push_back(c);
    return SendOutcome::sent;
  }
  bool online = true;
  bool broken = false;
  std::vector<Command> commands;
  std::vector<Report> reports;
  std::set<std::string> given;  // actions, in this run
};

class Life {
 public:
  explicit Life(uint64_t seed) : random_(seed), store_(clock_) {
    store_.add_endpoint("a1");
    store_.tell_orders(true);
    restart();
  }

  void storm(Tally& tally) {
    const int64_t length = 10 + pick(50);
    for (int64_t i = 0; i < length; ++i) act(tally);
  }

  // No more faults; true when everything came to rest in the bounded time.
  bool calm() {
    wire_.online = true;
    wire_.broken = false;
    store_.fail_writes(0, {});
    EXPECT_TRUE(store_.set_kill_switch(false, "jo", ""));
    for (int round = 0; round < 400; ++round) {
      clock_.advance_ms(5'000);
      while (!wire_.commands.empty()) carry(0, false);
      agent_.tick(clock_.wall_ms());
      heartbeat();
      wire_.reports.push_back(agent_.heartbeat());
      step(std::exchange(wire_.reports, {}));
      const Endpoint e = store_.at("a1");
      const Result<std::vector<OpenAction>> open = store_.open_actions();
      if (open && open->empty() && wire_.commands.empty() && e.observed == e.desired && agent_.state == e.desired)
        return true;
    }
    return false;
  }

  void check(Tally& tally) {
    EXPECT_EQ(agent_.stale_applies, 0);
    EXPECT_EQ(store_.illegal_moves(), 0);
    int64_t generation = 0;
    std::set<std::string> ids;
    for (const FakeAgent::Applied& a : agent_.applied) {
      EXPECT_GE(a.generation, generation);
      generation = a.generation;
      EXPECT_TRUE(ids.insert(a.action_id).second) << "applied twice";
    }
    std::map<std::string, FakeAction> rows;
    for (FakeAction& a : store_.all_actions()) rows.emplace(a.row.action_id, a);
    for (const FakeAgent::Applied& applied : agent_.applied) {
      const auto row = rows.find(applied.action_id);
      if (row == rows.end()) continue;  // a repair: the same command under another id
      const auto& history = row->second.history;
      EXPECT_NE(std::find(history.begin(), history.end(), ActionState::dispatched), history.end());
      EXPECT_EQ(row->second.row.generation, applied.generation);
      EXPECT_NE(row->second.row.state, ActionState::blocked) << "and the host obeyed it";
    }
    for (const auto& [id, a] : rows) {
      ++tally.actions;
      tally.verified += a.row.state == ActionState::verified ? 1 : 0;
      tally.expired += a.row.state == ActionState::expired ? 1 : 0;
      tally.withheld += pledged_.contains(id) && a.row.state == ActionState::blocked ? 1 : 0;
      tally.superseded += a.row.state == ActionState::superseded ? 1 : 0;
      EXPECT_FALSE(is_open(a.row.state));
    }
    tally.ended_isolated += agent_.state == Isolation::isolated ? 1 : 0;
  }

  std::string story() const { return story_; }

 private:
  int64_t pick(int64_t below) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(below)); }
  void tell(const std::string& what) { story_ += what + "\n"; }

  void restart() {
    core_ = std::make_unique<DispatchCore>(store_, wire_, kill_switch_, clock_, metrics_, DispatchSettings{},
                                           "boot-" + std::to_string(++boots_));
  }

  // As the agents' gateway does: the record hears what the endpoint says of itself before the dispatcher does.
  void heartbeat() {
    EndpointReport r;
    r.endpoint_id = "a1";
    r.host_id = "host-of-a1";
    r.observed = agent_.state;
    r.generation = agent_.generation;
    r.local_release = agent_.let_in;
    r.at_ms = clock_.wall_ms();
    static_cast<void>(store_.seen(r));  // may fail when the record is locked; the next one says it again
  }

  bool step(std::vector<Report> reports) { return core_->step(std::move(reports)).has_value(); }

  // One command reaches the agent.
  void carry(size_t at, bool keep) {
    const Command c = wire_.commands[at];
    if (!keep) wire_.commands.erase(wire_.commands.begin() + static_cast<std::ptrdiff_t>(at));
    if (!wire_.online) return;
    wire_.given.insert(c.action_id);
    if (pick(2) == 0) {
      Report has_it;
      has_it.kind = Report::Kind::accepted;
      has_it.endpoint_id = "a1";
      has_it.action_id = c.action_id;
      has_it.generation = agent_.generation;
      wire_.reports.push_back(has_it);
    }
    wire_.reports.push_back(agent_.obey(c, clock_.wall_ms()));
  }

  void act(Tally& tally) {
    const auto any = [this](size_t size) { return static_cast<size_t>(pick(static_cast<int64_t>(size))); };
    switch (pick(19)) {
      case 0:
      case 1:
        return ask(Verb::isolate);
      case 2:
      case 3:
        return ask(Verb::release);
      case 17: {  // a rule isolates, with a lease
        tell("a rule isolates");
        PlannedAction p = test::make_planned(test::make_rule("r"), "a1", ++alerts_, clock_.wall_ms());
        p.lease_ms = 1'000 + pick(60'000);
        static_cast<void>(store_.keep(p));
        return;
      }
      case 18:  // somebody at the host has the code
        if (agent_.state != Isolation::isolated || pick(3) != 0) return;
        tell("let in at the host");
        agent_.let_itself_in("break_glass");
        ++tally.let_in;
        return;
      case 4:
      case 5:
        tell("step");
        step({});
        return;
      case 6:
      case 7:
        if (wire_.commands.empty()) return;
        tell("a command arrives");
        return carry(any(wire_.commands.size()), pick(4) == 0);
      case 8:
        if (pick(2) == 0) return withhold();
        if (!wire_.commands.empty())
          wire_.commands.erase(wire_.commands.begin() + static_cast<std::ptrdiff_t>(any(wire_.commands.size())));
        return;
      case 9:
      case 10: {  // an answer arrives, maybe once more later
        if (wire_.reports.empty()) return;
        const size_t at = any(wire_.reports.size());
        const Report r = wire_.reports[at];
        if (pick(4) != 0) wire_.reports.erase(wire_.reports.begin() + static_cast<std::ptrdiff_t>(at));
        tally.refused += r.kind == Report::Kind::refused ? 1 : 0;
        tell("an answer of kind " + std::to_string(static_cast<int>(r.kind)));
        step({r});
        return;
      }
      case 11:
        if (!wire_.reports.empty()) wire_.reports.pop_back();
        return;
      case 12:
        if (!wire_.online) return;
        tell("heartbeat");
        heartbeat();
        step({agent_.heartbeat()});
        return;
      case 13:
        tell("time passes");
        clock_.advance_ms(pick(25'000));
        if (agent_.tick(clock_.wall_ms())) ++tally.leases_ended;
        return;
      case 14:
        return crash(tally);
      case 15:
        switch (pick(4)) {
          case 0:
            wire_.online = !wire_.online;
            return;
          case 1:
            wire_.broken = !wire_.broken;
            return;
          case 2:
            static_cast<void>(store_.set_kill_switch(pick(2) == 0, "jo", ""));
            return;
          default:
            store_.fail_writes(1, {ErrorCode::busy, Retry::yes, "locked", ""});
            return;
        }
      default: {  // an action runs out of time
        const Result<std::vector<OpenAction>> open = store_.open_actions();
        if (!open || open->empty()) return;
        const std::string id = (*open)[any(open->size())].action_id;
        tell("expiry of " + id.substr(0, 6));
        store_.change_action(id, [this](FakeAction& a) { a.row.expires_at_ms = clock_.wall_ms() + pick(3'000); });
        return;
      }
    }
  }

  void ask(Verb verb) {
    ActionRequest r;
    r.verb = verb;
    r.endpoint_ids = {"a1"};
    r.requested_by = "user:jo";
    tell(std::string("ask to ") + std::string(to_string(verb)));
    static_cast<void>(store_.submit(r));  // may fail when the record is locked
  }

  // Something stands against an isolation that the host was not given: every copy of it goes, and the plugin says so.
  void withhold() {
    const auto at = std::find_if(wire_.commands.begin(), wire_.commands.end(), [this](const Command& c) {
      return c.verb == Verb::isolate && c.attempt > 0 && !wire_.given.contains(c.action_id);
    });
    if (at == wire_.commands.end()) return;
    Report back;
    back.kind = Report::Kind::refused;
    back.endpoint_id = "a1";
    back.action_id = at->action_id;
    back.generation = at->generation;
    back.withheld = Guard::protected_endpoint;
    for (const Command& c : wire_.commands) {
      if (c.action_id == back.action_id) back.attempt = std::max(back.attempt, c.attempt);
    }
    tell("withheld " + back.action_id.substr(0, 6));
    pledged_.insert(back.action_id);
    std::erase_if(wire_.commands, [&back](const Command& c) { return c.action_id == back.action_id; });
    wire_.reports.push_back(back);
  }

  void crash(Tally& tally) {
    wire_.given.clear();  // the plugin ends with the service; what was under way may still arrive
    ++tally.crashes;
    tell("crash");
    const char* const points[] = {"dispatch.before_send:1:err", "dispatch.after_send:1:err"};
    const int64_t where = pick(3);
    if (where < 2) {
      EXPECT_TRUE(arm_failpoint(points[where]));
      step({});
      EXPECT_TRUE(arm_failpoint(""));
    }
    restart();
  }

  std::mt19937_64 random_;
  FakeClock clock_;
  FakeActionStore store_;
  Wire wire_;
  FakeAgent agent_{"a1"};
  KillSwitch kill_switch_;
  Metrics metrics_;
  std::unique_ptr<DispatchCore> core_;
  int boots_ = 0;
  int64_t alerts_ = 0;
  std::set<std::string> pledged_;  // withheld at some time
  std::string story_;
};

TEST(DispatchModel, TenThousandStormsEndAsTheRecordWants) {
  set_log_level(LogLevel::error);
  Tally tally;
  for (uint64_t seed = 1; seed <= 10'000; ++seed) {
    Life life(seed);
    life.storm(tally);
    const bool rests = life.calm();
    EXPECT_TRUE(rests) << "seed " << seed;
    life.check(tally);
    if (testing::Test::HasFailure()) {
      FAIL() << "seed " << seed << "\n" << life.story();
    }
  }
  set_log_level(LogLevel::info);
  // The storms do visit the corners.
  EXPECT_GT(tally.actions, 40'000);
  EXPECT_GT(tally.crashes, 10'000);
  EXPECT_GT(tally.refused, 100);
  EXPECT_GT(tally.verified, 10'000);
  EXPECT_GT(tally.expired, 1'000);
  EXPECT_GT(tally.superseded, 10'000);
  EXPECT_GT(tally.ended_isolated, 1'000);
  EXPECT_LT(tally.ended_isolated, 9'000);
  EXPECT_GT(tally.leases_ended, 100);
  EXPECT_GT(tally.let_in, 100);
  EXPECT_GT(tally.withheld, 100);
}

}  // namespace
}  // namespace fb
