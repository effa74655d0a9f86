#include "apps/enforcer/command_runner.h"

#include <utility>

#include "engine/base/failpoint.h"
#include "engine/base/log.h"

namespace fb::agent {
namespace {

Isolation wanted(Verb verb) {
  return verb == Verb::isolate ? Isolation::isolated : Isolation::released;
}

}  // namespace

CommandRunner::CommandRunner(std::string endpoint_id, Journal journal, IsolationBackend& backend, const Clock& clock)
    : endpoint_id_(std::move(endpoint_id)), backend_(backend), clock_(clock), journal_(std::move(journal)) {
  for (const JournalEntry& entry : journal_.replayed()) learn(entry);
}

void CommandRunner::learn(const JournalEntry& entry) {
  Known& known = known_[entry.action_id];
  known.verb = entry.verb;
  known.generation = entry.generation;
  if (entry.phase == JournalEntry::Phase::done) {
    known.finished = true;
    known.ok = entry.result == "done";
    known.message = entry.message;
  }
  if (entry.generation > newest_generation_) {
    newest_generation_ = entry.generation;
    newest_id_ = entry.action_id;
  }
}

Isolation CommandRunner::observe() {
  const auto observed = backend_.observe();
  if (observed) return *observed;
  log(LogLevel::error, "observe_failed", observed.error().describe(), {{"endpoint_id", endpoint_id_}});
  return Isolation::unknown;
}

Report CommandRunner::report_of(const Command& command, Report::Kind kind, std::string message) {
  Report report;
  report.kind = kind;
  report.endpoint_id = endpoint_id_;
  report.action_id = command.action_id;
  report.generation = command.generation;
  report.observed = observe();
  report.message = std::move(message);
  report.at_ms = clock_.wall_ms();
  return report;
}

// The command stands in the journal as begun.
Report CommandRunner::apply(const Command& command) {
  const Status applied = backend_.apply(command);
  Report report = report_of(command, Report::Kind::done, "");
  if (!applied) {
    report.kind = Report::Kind::failed;
    report.message = applied.error().describe();
  } else if (report.observed != wanted(command.verb)) {
    report.kind = Report::Kind::failed;
    report.message = "ran, but the state read back is " + std::string(to_string(report.observed));
  }
  JournalEntry entry;
  entry.action_id = command.action_id;
  entry.generation = command.generation;
  entry.verb = command.verb;
  entry.phase = JournalEntry::Phase::done;
  entry.result = report.kind == Report::Kind::done ? "done" : "failed";
  entry.observed = report.observed;
  entry.message = report.message;
  entry.at_ms = clock_.wall_ms();
  const Status failed_point = failpoint("agent_applied");
  const Status kept = failed_point ? journal_.append(entry) : failed_point;
  if (!kept) {
    // The effect is there and is reported. After a restart the command counts as begun and is finished again.
    log(LogLevel::error, "journal_failed", kept.error().describe(), {{"action_id", command.action_id}});
  }
  learn(entry);
  return report;
}

Status CommandRunner::resume() {
  const std::lock_guard lock(mutex_);
  if (newest_generation_ < 0) return {};
  const Known newest = known_.at(newest_id_);
  Command command;
  command.action_id = newest_id_;
  command.verb = newest.verb;
  command.endpoint_id = endpoint_id_;
  command.generation = newest.generation;
  if (!newest.finished) {
    const Report report = apply(command);
    log(LogLevel::warn, "command_resumed", "a command that was cut short was finished",
        {{"action_id", newest_id_}, {"observed", std::string(to_string(report.observed))}});
    return {};
  }
  if (!newest.ok || observe() == wanted(newest.verb)) return {};
  log(LogLevel::warn, "state_lost", "the state is not that of the last command; it is set again",
      {{"action_id", newest_id_}, {"wanted", std::string(to_string(wanted(newest.verb)))}});
  return backend_.apply(command);
}

// The newest command, given again because its state was lost since. It is no new command: the journal has it already.
Report CommandRunner::set_again(const Command& command) {
  log(LogLevel::warn, "state_lost", "the state is not that of the last command; it is set again",
      {{"action_id", newest_id_}, {"wanted", std::string(to_string(wanted(command.verb)))}});
  const Status applied = backend_.apply(command);
  if (!applied) return report_of(command, Report::Kind::failed, applied.error().describe());
  Report report = report_of(command, Report::Kind::done, "");
  if (report.observed != wanted(command.verb)) {
    report.kind = Report::Kind::failed;
    report.message = "ran, but the state read back is " + std::string(to_string(report.observed));
  }
  return report;
}

Report CommandRunner::run(const Command& command, int64_t service_now_ms, const std::function<void()>& on_begin) {
  const std::lock_guard lock(mutex_);
  if (command.endpoint_id != endpoint_id_) {
    return report_of(command, Report::Kind::refused, "the command is for endpoint " + command.endpoint_id);
  }
  if (const auto newest = known_.find(newest_id_);
      newest != known_.end() && newest->second.finished && newest->second.ok && newest->second.verb == command.verb &&
      newest_generation_ == command.generation && observe() != wanted(command.verb)) {
    return set_again(command);
  }
  const auto at = known_.find(command.action_id);
  if (at != known_.end() && at->second.finished) {
    return report_of(command, at->second.ok ? Report::Kind::done : Report::Kind::failed, at->second.message);
  }
  if (at != known_.end() && command.action_id == newest_id_) return apply(command);  // begun before, never finished
  if (command.generation <= newest_generation_) {
    return report_of(command, Report::Kind::refused,
                     "stale: generation " + std::to_string(command.generation) + " is not newer than " +
                         std::to_string(newest_generation_));
  }
  // A release is bound by its generation only: it is never too late to let a host back in.
  if (command.verb == Verb::isolate && command.expires_at_ms > 0 && service_now_ms >= command.expires_at_ms) {
    return report_of(command, Report::Kind::refused, "expired");
  }
  JournalEntry entry;
  entry.action_id = command.action_id;
  entry.generation = command.generation;
  entry.verb = command.verb;
  entry.at_ms = clock_.wall_ms();
  if (const Status begun = journal_.append(entry); !begun) {
    return report_of(command, Report::Kind::failed, "not run, since the journal failed: " + begun.error().describe());
  }
  learn(entry);
  if (const Status p = failpoint("agent_begun"); !p) {
    return report_of(command, Report::Kind::failed, p.error().describe());
  }
  if (on_begin) on_begin();
  return apply(command);
}

CommandRunner::State CommandRunner::state() {
  const std::lock_guard lock(mutex_);
  return {observe(), newest_generation_ < 0 ? 0 : newest_generation_};
}

}  // namespace fb::agent
