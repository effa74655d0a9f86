// The commands that wait for agents, the agents' open long polls, and when each agent was last heard. One lock, no
// clock of its own: callers pass the monotonic time. Answers are handed back and given by the caller, outside the lock.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/net/http.h"
#include "engine/ports/action_plugin.h"

namespace fb::endpoint {

using Poll = std::shared_ptr<net::Responder>;

class Mailboxes {
 public:
  static constexpr int64_t kUpdateRestMs = 3'000;
  static constexpr int64_t kUpdateRestMostMs = 300'000;
  static constexpr int kFightTakeovers = 5;  // so many within
  static constexpr int64_t kFightMs = 60'000;

  // redeliver_after_ms: how long a command that was handed out rests before it is handed out again, when no report
  // came.
  Mailboxes(int offline_after_ms, int redeliver_after_ms)
      : offline_after_ms_(offline_after_ms), redeliver_after_ms_(redeliver_after_ms) {}

  // A change of what an isolated host may talk to; what it is now is looked up when it is handed out.
  struct Update {
    std::string endpoint_id;
    int64_t generation = 0;
  };
  struct Handed {  // give `command`, or the update, to `poll`; a null poll: nobody waits
    Poll poll;
    std::optional<Command> command;
    std::optional<Update> update;
  };

  // What is handed back with a poll is not given yet: whoever holds it may find that it must not go out now. It rests
  // all the same. A command is given by give(), which is the last step before its bytes; true when it still waits here
  // and this agent may have it. From then on it may have arrived, and is never taken back.
  bool give(const Command& command);

  // A command to send. The newest generation wins; one older than the newest ever put is refused (conflict). When the
  // agent is not there, nothing is kept (and what waited is dropped: it is out of date).
  enum class Put : uint8_t { handed, kept, offline, stale };
  Put put(const Command& command, int64_t now_ms, Handed* handed);

  // Handed out on the agent's poll, after a command that waits, and again until it is dropped: after kUpdateRestMs,
  // then after twice as long each time, up to kUpdateRestMostMs (a host may have a reason to refuse it).
  void put_update(const std::string& endpoint_id, int64_t generation, int64_t now_ms, Handed* handed);
  void drop_update(const std::string& endpoint_id);

  // An agent's long poll. The command that waits is handed out at once; else the poll is kept until `until_ms`.
  // `releases_only`: for an agent whose certificate is past its end, or whose identity two machines use. `instance`: of
  // the agent's process, "" = not told. `replaced` is the poll of the same agent that was
  // open before.
  Handed poll(const std::string& endpoint_id, Poll poll, int64_t now_ms, int64_t until_ms, bool releases_only,
              Poll* replaced, std::string_view instance = {});
  // Polls of different processes took over from one another so often in so short a time that two processes must be
  // using one identity. True once a storm.
  bool is_fought_over(const std::string& endpoint_id, int64_t now_ms);
  // An isolation that waits here and was never given; it does not wait any more. Of this action, or of any.
  std::optional<Command> take_back(const std::string& endpoint_id, std::string_view action_id = {});
  void releases_only(const std::string& endpoint_id);  // the poll that is open gets nothing else
  // A command was put and its end was not reported yet.
  bool has_command(const std::string& endpoint_id) const { return command_of(endpoint_id).has_value(); }
  std::optional<Command> command_of(const std::string& endpoint_id) const;

  // The agent reported an end of this action: it is not handed out again.
  void finished(const std::string& endpoint_id, const std::string& action_id);

  // The store confirmed a credential of this endpoint: undoes forget().
  void admit(const std::string& endpoint_id);
  // Forgotten and not admitted since.
  bool is_cut_off(const std::string& endpoint_id) const;
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
    int64_t handed_ms = -1;          // when a poll was last found for it; -1 = not yet
    std::string given;               // the action that was given last, however often it was put since
    int64_t newest_generation = 0;
    std::optional<int64_t> update;  // of this generation
    int64_t update_handed_ms = 0;
    int update_tries = 0;
    Poll poll;
    int64_t poll_until_ms = 0;
    bool releases_only = false;
    std::string instance;  // of the last poll
    int64_t takeovers_since_ms = 0;
    int takeovers = 0;
    int64_t heard_ms = 0;
    bool online = false;
    bool cut_off = false;
  };
  bool live_locked(const Box& box, int64_t now_ms) const {
    return box.online && now_ms - box.heard_ms < offline_after_ms_;
  }

  bool may_have(const Box& box) const {
    return !box.releases_only || (box.command && box.command->verb == Verb::release);
  }
  // What the box has for a poll now; from now on it rests. The poll is not set.
  std::optional<Handed> take_ready(const std::string& endpoint_id, Box& box, int64_t now_ms) const;

  const int offline_after_ms_;
  const int redeliver_after_ms_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Box> boxes_;
};

}  // namespace fb::endpoint
