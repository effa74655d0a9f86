// Runs commands so that each acts once: journal, effect, journal, read-back. Thread-safe (one lock, held over an
// effect).
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>

#include "apps/enforcer/backend.h"
#include "apps/enforcer/journal.h"
#include "engine/base/clock.h"
#include "engine/ports/action_plugin.h"

namespace fb::agent {

class CommandRunner {
 public:
  // Backend and clock outlive it.
  CommandRunner(std::string endpoint_id, Journal journal, IsolationBackend& backend, const Clock& clock);

  // Once, before the first command: finishes what a crash cut short, and brings the backend back to the state of the
  // last command that was done (after a reboot, say).
  Status resume();

  // service_now_ms: the service's wall clock, 0 when not known. on_begin is called when the command stands in the
  // journal and before its effect. Always gives a report:
  //   done/failed  ran now, or ran before (the stored result; observed is read anew)
  //   refused      for another endpoint, of an old generation, or an isolation that expired; nothing was done
  Report run(const Command& command, int64_t service_now_ms, const std::function<void()>& on_begin = {});

  struct State {
    Isolation observed = Isolation::unknown;
    int64_t generation = 0;  // of the last command begun
  };
  State state();

 private:
  struct Known {
    Verb verb = Verb::isolate;
    int64_t generation = 0;
    bool finished = false;
    bool ok = false;
    std::string message;
  };
  void learn(const JournalEntry& entry);
  Isolation observe();
  Report report_of(const Command& command, Report::Kind kind, std::string message);
  Report apply(const Command& command);
  Report set_again(const Command& command);

  const std::string endpoint_id_;
  IsolationBackend& backend_;
  const Clock& clock_;
  std::mutex mutex_;
  Journal journal_;
  std::unordered_map<std::string, Known> known_;
  std::string newest_id_;
  int64_t newest_generation_ = -1;
};

}  // namespace fb::agent
