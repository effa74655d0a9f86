// Second response stage: may this planned action happen? Guards stand in a fixed order, the first that does not pass
// decides, and there is always one verdict with its guard and a line that says why. A release is held back by no guard
// but the one that must know whom to release; a rule's own release still obeys the mode.
//
// Called by the record's writer inside the transaction that keeps the intent, so two actions can't both use the last
// place of a budget. Holds no state but its settings: thread-safe. Cost: at most a handful of ledger look-ups. An error
// of the ledger is handed on; then nothing is kept and nothing acts.
#pragma once

#include "engine/ports/record.h"
#include "engine/respond/guard_settings.h"
#include "engine/respond/kill_switch.h"

namespace fb {

class ActionGuard final : public Judge {
 public:
  // The kill switch must outlive the guard.
  ActionGuard(GuardSettings settings, const KillSwitch& kill_switch);

  // For a replay, on event time with a ReplayLedger: with no mode, no kill switch, no freshness and no probation, so
  // that `would_act` says that the guards passed.
  static ActionGuard for_replay(GuardSettings live);

  Result<Judgement> judge(const PlannedAction& action, Ledger& ledger, int64_t now_ms) override;

  const GuardSettings& settings() const { return settings_; }

 private:
  ActionGuard(GuardSettings settings, const KillSwitch* kill_switch);

  GuardSettings settings_;
  const KillSwitch* kill_switch_;  // null in a replay
};

}  // namespace fb
