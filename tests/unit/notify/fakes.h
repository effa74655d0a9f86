// A trail in memory, a sink that does as told, and a wait that lets the fake clock run.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "actions/notify/sink.h"
#include "actions/notify/trail.h"
#include "tests/support/fake_clock.h"

namespace fb::notify::test {

// What several Trails see; stands for the record.
struct Record {
  std::mutex mutex;
  std::vector<TrailRow> rows;
  std::map<std::string, ActionFacts> actions;
  std::map<std::string, EndpointFacts> endpoints;
  std::vector<Standing> standing;
  std::map<std::string, int64_t> cursors;
  int failing_reads = 0;

  void add(const std::string& what, const std::string& ref, const std::string& detail = "",
           const std::string& actor = "dispatcher") {
    const std::lock_guard lock(mutex);
    rows.push_back({static_cast<int64_t>(rows.size()) + 1, "2026-11-21T20:14:34.123Z", actor, what, ref, detail});
  }
  void add_action(const std::string& id, ActionFacts facts) {
    const std::lock_guard lock(mutex);
    actions[id] = std::move(facts);
  }
  int64_t cursor(const std::string& name) {
    const std::lock_guard lock(mutex);
    const auto it = cursors.find(name);
    return it == cursors.end() ? -1 : it->second;
  }
};

class FakeTrail final : public Trail {
 public:
  explicit FakeTrail(Record& r) : r_(r) {}
  Result<std::vector<TrailRow>> rows(int64_t after, int64_t limit) override {
    const std::lock_guard lock(r_.mutex);
    if (r_.failing_reads > 0 && r_.failing_reads-- > 0) return fail(ErrorCode::busy, "locked");
    std::vector<TrailRow> out;
    for (const TrailRow& row : r_.rows) {
      if (row.seq > after && static_cast<int64_t>(out.size()) < limit) out.push_back(row);
    }
    return out;
  }
  Result<int64_t> head() override {
    const std::lock_guard lock(r_.mutex);
    return r_.rows.empty() ? 0 : r_.rows.back().seq;
  }
  Result<std::optional<ActionFacts>> action(const std::string& id) override {
    const std::lock_guard lock(r_.mutex);
    const auto it = r_.actions.find(id);
    if (it == r_.actions.end()) return std::nullopt;
    return it->second;
  }
  Result<std::optional<EndpointFacts>> endpoint(const std::string& id) override {
    const std::lock_guard lock(r_.mutex);
    const auto it = r_.endpoints.find(id);
    if (it == r_.endpoints.end()) return std::nullopt;
    return it->second;
  }
  Result<std::vector<Standing>> standing() override {
    const std::lock_guard lock(r_.mutex);
    return r_.standing;
  }
  Result<std::optional<int64_t>> cursor(const std::string& name) override {
    const std::lock_guard lock(r_.mutex);
    const auto it = r_.cursors.find(name);
    if (it == r_.cursors.end()) return std::nullopt;
    return it->second;
  }
  Status set_cursor(const std::string& name, int64_t value) override {
    const std::lock_guard lock(r_.mutex);
    r_.cursors[name] = value;
    return {};
  }
  Status note(const std::string& what, const std::string& ref, const std::string& detail) override {
    r_.add(what, ref, detail, "notifier");
    return {};
  }

 private:
  Record& r_;
};

// What a scripted sink got; shared with the test.
struct Inbox {
  std::mutex mutex;
  std::vector<Notification> taken;
  std::function<Status(const Notification&)> answer;  // asked first when set
  int tries = 0;

  size_t count() {
    const std::lock_guard lock(mutex);
    return taken.size();
  }
  std::vector<Notification> all() {
    const std::lock_guard lock(mutex);
    return taken;
  }
  int tried() {
    const std::lock_guard lock(mutex);
    return tries;
  }
};

class ScriptedSink final : public Sink {
 public:
  explicit ScriptedSink(std::shared_ptr<Inbox> inbox) : inbox_(std::move(inbox)) {}
  Status send(const Notification& n) override {
    const std::lock_guard lock(inbox_->mutex);
    ++inbox_->tries;
    if (inbox_->answer) {
      if (const Status said = inbox_->answer(n); !said) return said;
    }
    inbox_->taken.push_back(n);
    return {};
  }
  void cancel() override {}

 private:
  std::shared_ptr<Inbox> inbox_;
};

// True once `done` holds; each look lets the fake clock run on. At most ten seconds of real time.
inline bool eventually(fb::test::FakeClock& clock, const std::function<bool()>& done, int64_t step_ms = 20) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!done()) {
    if (std::chrono::steady_clock::now() > until) return false;
    clock.advance_ms(step_ms);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace fb::notify::test
