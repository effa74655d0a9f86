// Who is who: resolves the ids an event names to one enrolled endpoint. Thread-safe; a lookup is a hash in memory.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/model/model.h"

namespace fb {

struct Resolved {
  std::string endpoint_id;  // "" when unknown, ambiguous or of a false name
  std::string note;         // then why: "unknown: ...", "ambiguous: ...", "identity_mismatch: ..."

  // The event's ids are not those of one host: somebody speaks under another's name, or an agent is set up wrongly.
  bool is_mismatch() const { return note.starts_with(kMismatch); }
  static constexpr std::string_view kMismatch = "identity_mismatch";
};

class EndpointDirectory {
 public:
  virtual ~EndpointDirectory() = default;
  // By immutable ids only: agent.id and host.id must agree where both are given; a host name never selects a target.
  virtual Resolved resolve(const Target& target) const = 0;
};

// Replay's: every target that has an agent.id or a host.id is known (decisions 11).
class OpenDirectory final : public EndpointDirectory {
 public:
  Resolved resolve(const Target& t) const override {
    if (t.identity_mismatch) return {"", "identity_mismatch: the event's topic belongs to another host"};
    if (t.ambiguous) return {"", "ambiguous: the event spells an identity field in two ways"};
    if (!t.agent_id.empty()) return {t.agent_id, ""};
    if (!t.host_id.empty()) return {t.host_id, ""};
    return {"", "unknown: the event names no agent.id and no host.id"};
  }
};

}  // namespace fb
