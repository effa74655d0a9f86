#include "engine/pipeline/provenance.h"

#include <algorithm>
#include <array>

#include "engine/event/json_tree.h"

namespace fb {
namespace {

constexpr std::array<std::string_view, 3> kOwnPrograms{"/usr/bin/firebreak-agent", "/usr/bin/firebreak-agent-helper",
                                                       "/usr/bin/firebreak"};

constexpr size_t kMaxActionId = 128;
constexpr size_t kMostActionIds = 8;

// Calls `use` with every text below the path, in dotted and nested spellings and mixtures of both.
template <class Use>
void each_at(const JsonNode& node, std::string_view path, const Use& use) {
  if (node.kind == JsonNode::Kind::array) {
    for (const JsonNode& item : node.items) each_at(item, path, use);
    return;
  }
  if (path.empty()) {
    if (node.kind != JsonNode::Kind::null) use(node);
    return;
  }
  for (const auto& [key, value] : node.members) {
    if (key == path) {
      each_at(value, "", use);
    } else if (path.size() > key.size() && path.starts_with(key) && path[key.size()] == '.') {
      each_at(value, path.substr(key.size() + 1), use);
    }
  }
}

bool any_text(const JsonNode& event, std::string_view path, bool (*wanted)(const std::string&)) {
  bool found = false;
  each_at(event, path,
          [&](const JsonNode& n) { found = found || (n.kind == JsonNode::Kind::string && wanted(n.text)); });
  return found;
}

}  // namespace

OwnDoing own_doing(std::string_view event_json) {
  OwnDoing own;
  if (event_json.find("firebreak") == std::string_view::npos) return own;
  const Result<JsonNode> event = parse_json_tree(event_json);
  if (!event) return own;  // the decoder took it, so this is not reached; then no reason to hold an action back
  each_at(*event, "firebreak.action_id", [&](const JsonNode& n) {
    const bool may_be_one = n.kind == JsonNode::Kind::string && n.text.size() <= kMaxActionId;
    if (may_be_one && own.action_ids.size() < kMostActionIds) own.action_ids.push_back(n.text);
  });
  own.certain = any_text(*event, "event.module", [](const std::string& v) { return v == "firebreak"; }) ||
                any_text(*event, "event.dataset",
                         [](const std::string& v) { return v == "firebreak" || v.starts_with("firebreak."); }) ||
                any_text(*event, "process.executable", [](const std::string& v) {
                  return std::find(kOwnPrograms.begin(), kOwnPrograms.end(), v) != kOwnPrograms.end();
                });
  return own;
}

Result<IdentityBindings> IdentityBindings::parse(const std::map<std::string, std::string>& patterns) {
  constexpr std::string_view kHost = "{host.id}";
  constexpr std::string_view kAgent = "{agent.id}";
  IdentityBindings all;
  for (const auto& [pattern, proof] : patterns) {
    const std::string where = "kafka.identity_bound: '" + pattern + "'";
    if (proof != "topic") {
      return fail(ErrorCode::invalid_argument, "'" + proof + "' proves nothing; the only proof built is 'topic'",
                  where);
    }
    const bool by_agent = pattern.find(kAgent) != std::string::npos;
    const std::string_view name = by_agent ? kAgent : kHost;
    const size_t at = pattern.find(name);
    Binding b;
    if (at != std::string::npos) {
      b = {pattern.substr(0, at), pattern.substr(at + name.size()), by_agent};
    }
    const bool more = (b.before + b.after).find_first_of("{}") != std::string::npos;
    if (at == std::string::npos || more) {
      return fail(ErrorCode::invalid_argument, "a pattern holds {host.id} or {agent.id} once", where);
    }
    if (b.before.empty() && b.after.empty()) {
      return fail(ErrorCode::invalid_argument, "a pattern that is only the host would bind every topic", where);
    }
    all.bindings_.push_back(std::move(b));
  }
  return all;
}

std::optional<Target> IdentityBindings::owner_of(std::string_view topic) const {
  for (const Binding& b : bindings_) {
    if (topic.size() <= b.before.size() + b.after.size()) continue;
    if (!topic.starts_with(b.before) || !topic.ends_with(b.after)) continue;
    Target owner;
    const std::string_view host = topic.substr(b.before.size(), topic.size() - b.before.size() - b.after.size());
    (b.by_agent ? owner.agent_id : owner.host_id) = std::string(host);
    return owner;
  }
  return std::nullopt;
}

}  // namespace fb
