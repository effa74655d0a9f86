// Random histories against a small model: whatever comes in whichever order, and wherever the process dies, the host is
// where the newest order, or its own release after it, says; and no effect is without a line in the journal before it.
#include <random>

#include "apps/enforcer/journal.h"
#include "engine/base/failpoint.h"
#include "tests/unit/enforcer/enforcer_support.h"

namespace fb::agent {
namespace {

using namespace test;
using Kind = Report::Kind;

constexpr int kSteps = 10'000;
constexpr int kStepsOfOneHost = 250;
constexpr int64_t kLongestLeaseMs = 20'000;

// Keeps the newest journal line's claim: which state was begun last.
struct JournalReader {
  std::ifstream in;
  Isolation begun = Isolation::unknown;
  int64_t lines = 0;

  explicit JournalReader(const std::string& path) : in(path) {}
  void read_on() {
    in.clear();
    std::string line;
    while (std::getline(in, line)) {
      ++lines;
      const auto entry = read_entry(line);
      ASSERT_TRUE(entry) << line;
      if (entry->phase == JournalEntry::Phase::begin) {
        begun = entry->verb == Verb::isolate ? Isolation::isolated : Isolation::released;
      }
    }
  }
};

// What must be true, told by nothing but the orders that were sent and the answers that came.
struct Model {
  Isolation wanted = Isolation::released;
  int64_t generation = 0;  // of the newest order that was begun
  int64_t epoch = 0;
  bool stands = false;    // an isolation stands
  int64_t lease_end = 0;  // by the clock; 0 = none
};

class History {
 public:
  explicit History(uint32_t seed) : random_(seed), reader_(host_.journal()) {
    host_.enforcer.reset();
    host_.options.changes_per_hour = 1'000'000;
    host_.restart();
    host_.backend.before_effect = [this](Isolation effect) {
      reader_.read_on();
      EXPECT_EQ(reader_.begun, effect) << "an effect that the journal does not tell of";
    };
  }

  void run(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFatalFailure(); ++i) {
      SCOPED_TRACE("step " + std::to_string(i));
      step();
      if (::testing::Test::HasFailure()) return;
    }
  }
  int isolated() const { return isolated_; }
  int released() const { return released_; }
  int local() const { return local_; }
  int crashes() const { return crashes_; }
  int refused() const { return refused_; }

 private:
  int64_t pick(int64_t from, int64_t to) { return std::uniform_int_distribution<int64_t>(from, to)(random_); }
  bool chance(int percent) { return pick(1, 100) <= percent; }

  void step() {
    armed_ = chance(25);
    died_at_ = static_cast<uint64_t>(pick(1, 3));
    ASSERT_TRUE(arm_failpoint(armed_ ? "*:" + std::to_string(died_at_) + ":err" : ""));
    switch (pick(0, 11)) {
      case 0:
      case 1:
        isolate();
        break;
      case 2:
        release();
        break;
      case 3:
        update();
        break;
      case 4:
        renew();
        break;
      case 5:
        pass_time();
        break;
      case 6:
        break_glass();
        break;
      case 7:
        send_again();
        break;
      case 8:
        send_late();
        break;
      case 9:
        tamper_with_an_envelope();
        break;
      case 10:
        somebody_changes_the_rules();
        break;
      default:
        if (chance(30)) host_.service.epoch++;
        host_.carry(host_.service.order(Order::status, "", model_.generation));
    }
    const bool died = armed_ && failpoint_died();
    ASSERT_TRUE(arm_failpoint(""));
    if (died || chance(8)) reopen();
    // Drift and a lease's end need a moment; then the effect must be what the model says.
    host_.pass_ms(1'000);
    look_at_leases();
    check();
  }

  bool failpoint_died() const { return failpoint_hits() >= died_at_; }

  void check() {
    ASSERT_EQ(host_.backend.state, model_.wanted)
        << "generation " << model_.generation << ", last: " << last_ << " " << last_report_.message;
    const EnforcementStatus status = host_.status();
    ASSERT_EQ(status.generation, model_.generation) << last_;
    ASSERT_EQ(status.policy_digest.empty(), !model_.stands) << last_;
    ASSERT_EQ(status.lease_left_ms > 0, model_.lease_end > 0) << last_;
  }

  // A lease that is over by the clock must have let the host back in.
  void look_at_leases() {
    if (!model_.stands || model_.lease_end == 0 || host_.clock.mono_ms() < model_.lease_end) return;
    model_.stands = false;
    model_.lease_end = 0;
    model_.wanted = Isolation::released;
    ++local_;
  }

  // Did the journal take the order? That is what makes it count, also when the process died right after.
  bool begun(const std::string& id) const { return host_.journal_lines(id, "begin") > 0; }

  void isolate() {
    Envelope e = host_.service.isolate("a" + std::to_string(++ids_), model_.generation + pick(1, 3));
    if (chance(40)) e.lease_ms = pick(2'000, kLongestLeaseMs);
    if (chance(10)) e.expires_at_ms = e.issued_at_ms - 1;
    send(e);
    const bool void_now = e.expires_at_ms > 0;
    if (void_now) {
      EXPECT_FALSE(begun(e.action_id));
      return;
    }
    // Kept but not begun when it died: the restart begins it.
    pending_ = e;
    if (begun(e.action_id)) settle();
  }

  // The pending isolation counts now.
  void settle() {
    const Envelope e = *std::exchange(pending_, std::nullopt);
    model_.generation = e.generation;
    model_.epoch = e.epoch;
    model_.stands = true;
    model_.wanted = Isolation::isolated;
    model_.lease_end = e.lease_ms > 0 ? host_.clock.mono_ms() + e.lease_ms : 0;
    ++isolated_;
  }

  void release() {
    Envelope e = host_.service.release("r" + std::to_string(++ids_), model_.generation + pick(0, 2));
    const bool newer = e.generation > model_.generation;
    if (chance(20)) e.expires_at_ms = 1;  // must not matter
    const int64_t newest = model_.generation;
    send(e);
    if (!begun(e.action_id)) {
      EXPECT_TRUE(!newer || newest == 0 || armed_) << last_report_.message;
      return;
    }
    EXPECT_TRUE(newer || e.epoch > model_.epoch) << "an old release was obeyed";
    model_.generation = e.generation;
    model_.epoch = e.epoch;
    model_.stands = false;
    model_.lease_end = 0;
    model_.wanted = Isolation::released;
    ++released_;
  }

  void update() {
    Envelope e = host_.service.order(Order::update_allow_set, "", chance(70) ? model_.generation : pick(0, 50));
    e.policy.exceptions = {"198.51.100." + std::to_string(pick(1, 250))};
    const bool fits = model_.stands && e.generation == model_.generation;
    send(e);
    if (!fits) {
      EXPECT_EQ(last_report_.kind, Kind::refused);
    }
    if (fits && last_report_.kind == Kind::done) {
      EXPECT_EQ(host_.backend.last.exceptions, std::vector{prefix(e.policy.exceptions[0])});
    }
  }

  void renew() {
    Envelope e = host_.service.order(Order::renew, "", chance(70) ? model_.generation : pick(0, 50));
    e.lease_ms = chance(30) ? 0 : pick(2'000, kLongestLeaseMs);
    const bool fits = model_.stands && e.generation == model_.generation;
    const size_t before = lines_of(host_.journal()).size();
    send(e);
    if (!fits) {
      EXPECT_EQ(last_report_.kind, Kind::refused);
      return;
    }
    const bool counts = lines_of(host_.journal()).size() > before;
    if (counts) {
      model_.lease_end = e.lease_ms > 0 ? host_.clock.mono_ms() + e.lease_ms : 0;
    } else {
      pending_lease_ = e;
    }
  }

  void pass_time() {
    last_ = "time";
    host_.pass_ms(pick(1, 8'000));
    look_at_leases();
  }

  void break_glass() {
    last_ = "break glass";
    const bool right = chance(60);
    const size_t before = lines_of(host_.journal()).size();
    const Status done = host_.enforcer->break_glass(right ? Service::code(model_.generation) : "WRONG");
    const bool local = lines_of(host_.journal()).size() > before;
    EXPECT_TRUE(!done || (right && model_.stands));
    // Its use may be on the disk and nothing else yet: the restart finishes it.
    const bool used =
        local || get_file(host_.options.folder + "/state.json").find("\"break_glass\"") != std::string::npos;
    const bool of_this =
        used && get_file(host_.options.folder + "/state.json")
                        .find("\"generation\": " + std::to_string(model_.generation) + ",") != std::string::npos;
    if (!right || !model_.stands || !(local || of_this)) return;
    model_.stands = false;
    model_.lease_end = 0;
    model_.wanted = Isolation::released;
    ++local_;
  }

  void send_again() {
    if (sent_.empty()) return;
    last_ = "the same envelope again";
    const std::string text = sent_[static_cast<size_t>(pick(0, static_cast<int64_t>(sent_.size()) - 1))];
    const auto e = endpoint::open_envelope(text, host_.service.keys());
    ASSERT_TRUE(e);
    const int before = effects();
    last_report_ = host_.enforcer->carry(text, {});
    EXPECT_EQ(last_report_.kind, Kind::refused);
    EXPECT_EQ(effects(), before);
    ++refused_;
  }

  // Signed anew, but of an older generation, or of this one: nothing is lost, or the host let itself back in since.
  void send_late() {
    if (model_.generation < 2) return;
    last_ = "late, or a repair of what stands or has ended";
    Envelope e = host_.service.isolate("late" + std::to_string(++ids_), pick(0, model_.generation));
    const int before = effects();
    last_report_ = host_.enforcer->carry(host_.service.sign(e), {});
    EXPECT_EQ(last_report_.kind, Kind::refused);
    EXPECT_EQ(effects(), before);
    ++refused_;
  }

  void tamper_with_an_envelope() {
    last_ = "tampered";
    const int64_t revision = host_.service.revision;
    std::string text =
        host_.service.sign(host_.service.isolate("evil" + std::to_string(++ids_), model_.generation + 1));
    host_.service.revision = revision;
    const size_t at = static_cast<size_t>(pick(0, static_cast<int64_t>(text.size()) - 1));
    text[at] = static_cast<char>(text[at] ^ (1 << pick(0, 7)));
    const int before = effects();
    last_report_ = host_.enforcer->carry(text, {});
    EXPECT_EQ(last_report_.kind, Kind::refused);
    EXPECT_EQ(effects(), before);
    ++refused_;
  }

  void somebody_changes_the_rules() {
    last_ = "drift";
    if (model_.wanted == Isolation::isolated) host_.backend.state = Isolation::released;
  }

  void reopen() {
    ++crashes_;
    const int64_t left_before = model_.lease_end > 0 ? model_.lease_end - host_.clock.mono_ms() : 0;
    const bool reboots = chance(50);
    reboots ? host_.reboot() : host_.restart();
    if (pending_ && begun(pending_->action_id)) settle();
    const int64_t left = host_.status().lease_left_ms;
    if (model_.stands && pending_lease_) {
      // Whether it was kept before the end is not for the model to say; one of the two leases runs.
      EXPECT_LE(left, kLongestLeaseMs);
      model_.lease_end = left > 0 ? host_.clock.mono_ms() + left : 0;
    } else if (model_.stands && model_.lease_end > 0) {
      // What was last made durable counts: never less than was left, never more than a whole lease.
      EXPECT_GE(left, left_before);
      EXPECT_LE(left, kLongestLeaseMs);
      model_.lease_end = host_.clock.mono_ms() + left;
    }
    pending_lease_.reset();
    pending_.reset();
    look_at_leases();
  }

  void send(const Envelope& e) {
    last_ = std::string(to_string(e.order)) + " " + e.action_id;
    const std::string text = host_.service.sign(e);
    last_report_ = host_.enforcer->carry(text, {});
    // One that died before it was kept was never taken: its revision is free, so it may come again. It is not resent.
    if (!armed_) sent_.push_back(text);
  }

  int effects() const { return host_.backend.isolations + host_.backend.releases; }

  std::mt19937 random_;
  Host host_;
  JournalReader reader_;
  Model model_;
  std::optional<Envelope> pending_, pending_lease_;
  std::vector<std::string> sent_;
  std::string last_;
  Report last_report_;
  bool armed_ = false;
  uint64_t died_at_ = 1;
  int ids_ = 0;
  int isolated_ = 0, released_ = 0, local_ = 0, crashes_ = 0, refused_ = 0;
};

TEST(EnforcerModel, TheHostIsAlwaysWhereTheNewestOrderOrItsOwnReleaseSays) {
  // Tens of thousands of synced writes: in memory where there is such a folder.
  if (::access("/dev/shm", W_OK) == 0) ::setenv("TMPDIR", "/dev/shm", 1);
  int isolated = 0, released = 0, local = 0, crashes = 0, refused = 0;
  const auto begin = std::chrono::steady_clock::now();
  int steps = 0;
  for (uint32_t seed = 1; steps < kSteps && !HasFailure(); ++seed, steps += kStepsOfOneHost) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    History history(seed);
    history.run(kStepsOfOneHost);
    isolated += history.isolated();
    released += history.released();
    local += history.local();
    crashes += history.crashes();
    refused += history.refused();
    ASSERT_LT(std::chrono::steady_clock::now() - begin, std::chrono::minutes(5));
  }
  // A run in which nothing happens would prove nothing.
  EXPECT_GT(isolated, 500);
  EXPECT_GT(released, 200);
  EXPECT_GT(local, 100);
  EXPECT_GT(crashes, 500);
  EXPECT_GT(refused, 500);
}

}  // namespace
}  // namespace fb::agent
