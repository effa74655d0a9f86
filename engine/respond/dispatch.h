// Fourth response stage, without its thread: carries committed actions to the endpoints and their answers back into the
// record. One `step` is one pass at the clock's time, so a test walks through days with a fake clock. Everything that
// must outlive the process is in the record; what is kept here is only what the endpoints said in this run.
//
//   send      requested, queued, unknown -> dispatched (durable first), then the plugin
//   answer    accepted -> accepted; done and read back as asked -> verified; failed, refused -> failed, superseded,
//   expired silence   dispatched or accepted past its deadline, or left behind by an earlier run -> unknown, sent
//   again, same id repair    an endpoint that left the state it had reached is told its current command again, never an
//   older one
//
// One thread. A step costs one read of the open actions, one of the endpoints a second, and one transaction a move. An
// error of the record ends the step; the reports that were not yet taken in wait for the next.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/metrics.h"
#include "engine/base/result.h"
#include "engine/ports/action_plugin.h"
#include "engine/ports/action_store.h"
#include "engine/respond/kill_switch.h"

namespace fb {

struct DispatchSettings {
  int64_t tick_ms = 1000;                // a step at least this often
  int64_t endpoints_every_ms = 1000;     // how old the view of the endpoints may be while actions go out
  int64_t heartbeat_ms = 10'000;         // how often an endpoint is expected to speak
  int64_t missed_heartbeats = 3;         // that many in a row missed: offline
  int64_t answer_timeout_ms = 15'000;    // sent, and no sign of acceptance: unknown
  int64_t result_timeout_ms = 60'000;    // accepted, and no result: unknown
  int64_t stuck_after_ms = 10 * 60'000;  // after its first sending, when
  int stuck_attempts = 3;                // it was sent so often and has not come to its end: people are told
  int64_t retry_first_ms = 1000;         // the wait before a try doubles from here,
  int64_t retry_max_ms = 5 * 60'000;     // to this; each is drawn evenly from nothing to its bound
  int64_t drift_grace_ms = 15'000;       // observed differs from desired for this long: repair
  int64_t late_report_ms = 60'000;       // so long a report of an older generation is taken for a late one
  uint64_t seed = 0x5eed;                // of the jitter
  int64_t connector_per_minute = 0;      // isolations sent at most; 0 = no limit. Releases are never held
};

class DispatchCore {
 public:
  // boot_id: names this run of the service; actions that another run sent are in doubt.
  DispatchCore(ActionStore& store, ActionPlugin& plugin, KillSwitch& kill_switch, const Clock& clock, Metrics& metrics,
               DispatchSettings settings, std::string boot_id);

  Status step(std::vector<Report> reports = {});
  size_t reports_waiting() const { return waiting_.size(); }

 private:
  // What an endpoint said in this run.
  struct Heard {
    int64_t mono_ms = 0;              // when it last spoke, or when it was first seen here
    int64_t generation = -1;          // the highest it told of, -1 before it spoke
    int64_t generation_mono_ms = 0;   // when it last told of that one
    int64_t known_generation = -1;    // the record's when this run first saw the endpoint, or that of a later action
    int64_t ordered_generation = -1;  // that of the newest action this run saw open
    int64_t differs_since_ms = -1;    // observed and desired differ, with nothing on its way; -1: they agree
    int64_t next_repair_ms = 0;       // monotonic
    int repairs = 0;
  };

  Status pass();
  Status load();
  Status load_endpoints();
  Status take_reports();
  Status take(const Report& report);
  Status see(const Report& report, const Endpoint& endpoint);
  Status note_state(const Report& report, Endpoint& endpoint, Heard& heard, bool late);
  Status take_answer(const Report& report, OpenAction& action, bool late);
  Status mark_silent();
  Status supersede(OpenAction& action, std::string why);
  Status end_leases();
  Status tell_stuck();
  Status submit_release(const Endpoint& endpoint, std::string comment, std::string requested_by, std::string key);
  // An error about one thing is logged and counted, and the others go on; one of the record as a whole is handed on.
  Status tolerate(Status done, const char* event, const std::string& about);
  Status advance();
  Status advance_one(OpenAction& action, Endpoint& endpoint);
  bool take_token();
  Status send_if_due(OpenAction& action, const Endpoint& endpoint);
  Status send(OpenAction& action, const Endpoint& endpoint);
  Status repair();
  Status repair_one(Endpoint& endpoint, Heard& heard);

  struct Change {
    ActionState to;
    std::string detail;
    int64_t next_try_ms = 0;
    std::optional<Isolation> observed = {};
    bool sending = false;
    Guard guard = Guard::none;
  };
  // True when the row was still in the state that this pass saw. Else somebody else moved it; the next pass looks
  // again.
  Result<bool> move(OpenAction& action, Change change);

  int64_t backoff_ms(int attempts);
  bool is_due(const OpenAction& action) const;
  bool may_isolate(const Endpoint& endpoint, bool override_protected, std::string& why) const;
  Heard& heard_of(const std::string& endpoint_id);
  Endpoint* endpoint(const std::string& endpoint_id);
  OpenAction* open_action(const std::string& action_id);
  bool has_open_action(const std::string& endpoint_id) const;

  ActionStore& store_;
  ActionPlugin& plugin_;
  KillSwitch& kill_switch_;
  const Clock& clock_;
  Metrics& metrics_;
  const DispatchSettings settings_;
  const std::string boot_id_;
  std::mt19937_64 random_;
  std::unordered_map<std::string, Heard> heard_;
  std::deque<Report> waiting_;

  // This pass's view, brought up to date with every move.
  int64_t now_ms_ = 0;
  int64_t mono_ms_ = 0;
  std::vector<OpenAction> actions_;
  std::optional<std::unordered_set<std::string>> sent_before_;  // by earlier runs, and open when this one began
  std::unordered_map<std::string, size_t> action_at_;
  std::unordered_map<std::string, Endpoint> endpoints_;
  bool endpoints_known_ = false;
  double tokens_ = 0;  // isolations that may go out now
  int64_t tokens_mono_ms_ = -1;
  int64_t endpoints_mono_ms_ = 0;

  Histogram& to_dispatch_;
  Histogram& event_to_dispatch_;
  Histogram& to_verified_;
  Counter& repairs_;
  Counter& stray_reports_;
  Counter& troubles_;
  Gauge& stuck_;
  Gauge& offline_;
  Gauge& stopped_;
};

}  // namespace fb
