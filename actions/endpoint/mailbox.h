// The commands that wait for agents, the agents' open long polls, and when each agent was last heard. One lock, no
// clock of its own: callers pass the monotonic time. Answers are handed back and given by the caller, outside the lock.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/net/http.h"
#include "engine/ports/action_plugin.h"

namespace fb::endpoint {

using Poll = std::shared_ptr<net::Responder>;

class Mailboxes {
 public:
  // redeliver_after_ms: how long a command that was handed out rests before it is handed out again, when no report
  // came.
  Mailboxes(int offline_after_ms, int redeliver_after_ms)
      : offline_after_ms_(offline_after_ms), redeliver_after_ms_(redeliver_after_ms) {}

  struct Handed {  // give `command` to `poll`; a null poll: nobody waits
    Poll poll;
    std::optional<Command> command;
  };

  // A command to send. The newest generation wins; one older than the newest ever put is refused (conflict). When the
  // agent is not there, nothing is kept (and what waited is dropped: it is out of date).
  enum class Put : uint8_t { handed, kept, offline, stale };
  Put put(const Command& command, int64_t now_ms, Handed* handed);

  // An agent's long poll. The command that waits is handed out at once; else the poll is kept until `until_ms`.
  // `replaced` is the poll of the same agent that was open before.
  Handed poll(const std::string& endpoint_id, Poll poll, int64_t now_ms, int64_t until_ms, Poll* replaced);

  // The agent reported an end of this action: it is not handed out again.
  void finished(const std::string& endpoint_id, const std::string& action_id);

  // The store confirmed a credential of this endpoint: undoes forget().
  void admit(const std::string& endpoint_id);
  // The agent was heard. True when it was away until now (by what this object knows).
  bool heard(const std::string& endpoint_id, int64_t now_ms);
  // The store says it was online when the service last ran: it gets offline_after_ms to come back.
  void expect(const std::string& endpoint_id, int64_t now_ms);
  bool is_live(const std::string& endpoint_id, int64_t now_ms) const;

  // What time brings: polls to be answered with nothing, commands to be handed out again, agents that fell silent.
  struct Due {
    std::vector<Poll> empty;
    std::vector<Handed> handed;
    std::vector<std::string> silent;
  };
  Due due(int64_t now_ms);

  // Revoked: its poll is handed back, its commands are dropped, and until it is admitted again what is still heard of
  // it (a request that was under way) does not make it live.
  Poll forget(const std::string& endpoint_id);
  // All open polls, at the end of the service.
  std::vector<Poll> take_polls();

  size_t open_polls() const;
  size_t live(int64_t now_ms) const;

 private:
  struct Box {
    std::optional<Command> command;  // waits for its end to be reported
    int64_t handed_ms = -1;          // when it was last handed out; -1 = not yet
    int64_t newest_generation = 0;
    Poll poll;
    int64_t poll_until_ms = 0;
    int64_t heard_ms = 0;
    bool online = false;
    bool cut_off = false;
  };
  bool live_locked(const Box& box, int64_t now_ms) const {
    return box.online && now_ms - box.heard_ms < offline_after_ms_;
  }

  const int offline_after_ms_;
  const int redeliver_after_ms_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Box> boxes_;
};

}  // namespace fb::endpoint
