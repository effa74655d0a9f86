// An endpoint that left the state it had reached is told its current command again, never an older one.
#include <algorithm>

#include "engine/base/log.h"
#include "engine/model/ids.h"
#include "engine/respond/dispatch.h"

namespace fb {

Status DispatchCore::repair() {
  for (auto& [id, e] : endpoints_) {
    FB_TRY_VOID(tolerate(repair_one(e, heard_of(id)), "endpoint_not_repaired", id));
  }
  return {};
}

Status DispatchCore::repair_one(Endpoint& e, Heard& heard) {
  const bool differs = e.observed != Isolation::unknown && e.observed != e.desired && heard.generation >= 0 &&
                       e.status != AgentStatus::offline && !has_open_action(e.endpoint_id);
  if (!differs) {
    heard.differs_since_ms = -1;
    return {};
  }
  if (heard.differs_since_ms < 0) heard.differs_since_ms = mono_ms_;
  if (mono_ms_ - heard.differs_since_ms < settings_.drift_grace_ms || mono_ms_ < heard.next_repair_ms) return {};
  // The generation was raised by the endpoint's own word: the record was restored from a copy, or the endpoint obeyed
  // another service. What it should be is for a person to say.
  if (heard.known_generation != e.generation) return {};
  if (e.desired == Isolation::released && heard.generation >= e.generation &&
      (e.generation == 0 || heard.ordered_generation != e.generation)) {
    return {};  // isolated, but not by an action of this record, as far as this run knows
  }

  if (e.desired == Isolation::isolated) {
    // Only a command that the endpoint once took is given again: one that never got there has its own end. Nor is one
    // whose lease is about to end.
    if (heard.generation != e.generation ||
        (e.lease_until_ms > 0 && now_ms_ + settings_.late_report_ms >= e.lease_until_ms)) {
      return {};
    }
    std::string why;
    if (!may_isolate(e, false, why)) return {};
  }
  heard.next_repair_ms =
      mono_ms_ + std::min(settings_.retry_max_ms, settings_.drift_grace_ms << std::min(heard.repairs, 10));
  ++heard.repairs;
  repairs_.add_one();
  log(LogLevel::warn, "endpoint_drifted", "the endpoint is not in the state it should be in; told again",
      {{"endpoint_id", e.endpoint_id},
       {"desired", std::string(to_string(e.desired))},
       {"observed", std::string(to_string(e.observed))},
       {"generation", std::to_string(e.generation)}});

  if (e.desired == Isolation::released) {
    // A release may always be given anew, with a generation that no endpoint can call stale.
    return submit_release(e, "the endpoint reads isolated and should be released", "repair",
                          e.endpoint_id + ":" + std::to_string(e.generation) + ":repair");
  }
  Command c;
  c.action_id =
      action_id(Verb::isolate, e.endpoint_id,
                "repair:" + boot_id_ + ":" + std::to_string(e.generation) + ":" + std::to_string(heard.repairs));
  c.verb = Verb::isolate;
  c.endpoint_id = e.endpoint_id;
  c.generation = e.generation;
  c.comment = "the endpoint reads released and should be isolated";
  c.lease_ms = e.lease_until_ms > 0 ? e.lease_until_ms - now_ms_ : 0;
  if (const Result<SendOutcome> sent = plugin_.send(c); !sent) {
    log(LogLevel::warn, "repair_not_sent", sent.error().describe(), {{"endpoint_id", e.endpoint_id}});
  }
  return {};
}

}  // namespace fb
