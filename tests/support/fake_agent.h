// An agent without a network or a firewall: obeys commands by id and generation as the endpoint's journal does, and a
// plugin that hands commands to such agents. What is on its way lies in the test's hands: reports and commands can be
// late, lost, doubled or swapped.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/ports/action_plugin.h"
#include "engine/ports/action_store.h"

namespace fb::test {

class FakeAgent {
 public:
  struct Applied {
    std::string action_id;
    Verb verb = Verb::isolate;
    int64_t generation = 0;
  };

  explicit FakeAgent(std::string id = "a1") : id_(std::move(id)) {}

  // Answers as an agent must: a known id with its stored result, an older generation with a refusal, the last command
  // once more if the host is no longer in its state.
  Report obey(const Command& c, int64_t now_ms) {
    Report r;
    r.endpoint_id = id_;
    r.action_id = c.action_id;
    const bool last_again = !applied.empty() && c.generation == generation && c.verb == applied.back().verb;
    const bool known = results_.contains(c.action_id);
    if (c.verb == Verb::isolate && let_in.sequence > 0 && c.generation <= let_in.generation) {
      r.kind = Report::Kind::refused;
      r.message = "stale: the host let itself back in";
    } else if (!known && !last_again && c.generation <= generation) {
      r.kind = Report::Kind::refused;
      r.message = "stale";
    } else if (!known && c.expires_at_ms > 0 && now_ms >= c.expires_at_ms) {
      r.kind = Report::Kind::refused;
      r.message = "expired";
    } else if (fails) {
      r.kind = Report::Kind::failed;
      r.message = "the firewall said no";
    } else {
      const Isolation wanted = c.verb == Verb::isolate ? Isolation::isolated : Isolation::released;
      if (!known || (last_again && state != wanted)) {
        if (c.generation < generation) ++stale_applies;
        state = wanted;
        generation = c.generation;
        lease_until_ms = c.verb == Verb::isolate && c.lease_ms > 0 ? now_ms + c.lease_ms : 0;
        applied.push_back({c.action_id, c.verb, c.generation});
        results_[c.action_id] = wanted;
      }
      r.kind = Report::Kind::done;
      // A stored result is told with the state as it is now.
      r.observed = state;
    }
    r.generation = generation;
    return r;
  }

  Report heartbeat() const {
    Report r;
    r.kind = Report::Kind::state;
    r.endpoint_id = id_;
    r.observed = state;
    r.generation = generation;
    return r;
  }

  // The host's own clock: ends a lease that is over.
  bool tick(int64_t now_ms) {
    if (state != Isolation::isolated || lease_until_ms == 0 || now_ms < lease_until_ms) return false;
    let_itself_in("lease");
    return true;
  }
  void let_itself_in(std::string how) {
    state = Isolation::released;
    lease_until_ms = 0;
    let_in = {generation, let_in.sequence + 1, std::move(how), "", 0};
  }

  LocalRelease let_in;  // the last one; sequence 0: none
  int64_t lease_until_ms = 0;
  Isolation state = Isolation::released;
  int64_t generation = 0;
  bool fails = false;
  int stale_applies = 0;
  std::vector<Applied> applied;

 private:
  std::string id_;
  std::map<std::string, Isolation> results_;
};

// Keeps what was sent; the test decides what becomes of it.
class FakePlugin final : public ActionPlugin {
 public:
  Result<SendOutcome> send(const Command& command) override {
    sent.push_back(command);
    if (error) return tl::unexpected<Error>(*error);
    return outcome;
  }
  const Command& last() const { return sent.back(); }

  std::vector<Command> sent;
  SendOutcome outcome = SendOutcome::sent;
  std::optional<Error> error;
};

}  // namespace fb::test
