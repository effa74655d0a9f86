// What an alert's event may be believed: whether it tells of Firebreak's own doing, and whether the topic that it came
// through proves the host that it names. Asked for hits only. Pure, thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/model/model.h"

namespace fb {

// `certain` for an event of the module or data set `firebreak`, or about a process of the agent where the package puts
// it (a name alone would let anybody hide behind it). `action_ids`: what stands in firebreak.action_id; anybody can
// write one there, so only the record can say which it gave. Costs a search for one word where the event doesn't have
// it, else a parse of the event.
struct OwnDoing {
  bool certain = false;
  std::vector<std::string> action_ids;  // a few at most
};
OwnDoing own_doing(std::string_view event_json);

// `kafka.identity_bound`: topics that belong to one host each, under the broker's access rules. A pattern is a topic's
// name with {host.id} or {agent.id} in the place of the host: `events.host-{host.id}`.
class IdentityBindings {
 public:
  // Patterns with what proves the host; "topic" is the only proof. invalid_argument names the pattern.
  static Result<IdentityBindings> parse(const std::map<std::string, std::string>& patterns);

  // Who the topic belongs to, with only the proven id set; nothing for a topic that is not bound.
  std::optional<Target> owner_of(std::string_view topic) const;
  bool empty() const { return bindings_.empty(); }

 private:
  struct Binding {
    std::string before;
    std::string after;
    bool by_agent = false;
  };
  std::vector<Binding> bindings_;
};

}  // namespace fb
