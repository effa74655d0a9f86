#include "actions/notify/translate.h"

#include <array>

#include "engine/base/clock.h"
#include "engine/base/text.h"

namespace fb::notify {
namespace {

constexpr size_t kMaxComment = 4000;  // bytes
constexpr size_t kMaxText = 1000;

enum class About : uint8_t { decision, action, endpoint, offline, breaker, service };

struct Entry {
  std::string_view what;  // the audit's word
  std::string_view kind;
  About about;
};

constexpr std::array kEntries = {
    Entry{"judged", "", About::decision},
    Entry{"verified", "action_verified", About::action},
    Entry{"failed", "action_failed", About::action},
    Entry{"expired", "action_expired", About::action},
    Entry{"superseded", "action_superseded", About::action},
    Entry{"denied", "action_denied", About::action},
    Entry{"blocked", "action_blocked", About::action},
    Entry{"stuck", "action_stuck", About::action},
    Entry{"drifted", "endpoint_drifted", About::endpoint},
    Entry{"duplicate_identity", "duplicate_identity", About::endpoint},
    Entry{"drift_ended", "endpoint_drift_ended", About::endpoint},
    Entry{"offline", "endpoint_offline", About::offline},
    Entry{"released_locally", "local_release", About::endpoint},
    Entry{"local_release_unproven", "local_release_unproven", About::endpoint},
    Entry{"break_glass_issued", "break_glass_issued", About::endpoint},
    Entry{"isolation_standing", "isolation_standing", About::endpoint},
    Entry{"kill_switch_on", "kill_switch_on", About::service},
    Entry{"kill_switch_off", "kill_switch_off", About::service},
    Entry{"rule_tripped", "breaker_tripped", About::breaker},
    Entry{"fleet_tripped", "breaker_tripped", About::breaker},
    Entry{"group_tripped", "breaker_tripped", About::breaker},
    Entry{"rule_reset", "breaker_reset", About::breaker},
    Entry{"fleet_reset", "breaker_reset", About::breaker},
    Entry{"group_reset", "breaker_reset", About::breaker},
};

// Cut at a code point.
std::string cut(const std::string& text, size_t most) {
  if (text.size() <= most) return text;
  size_t at = most;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
  return text.substr(0, at) + "...";
}

std::string_view kind_of_decision(const ActionFacts& a) {
  if (a.verdict == "awaiting_approval") return "action_awaiting_approval";
  if (a.verdict == "blocked") return "action_blocked";
  // What a person asked for, the person knows; a rule's wish is news.
  if (a.verdict == "would_act" && !a.rule_id.empty()) return "action_requested";
  return "";
}

std::string sentence(const Notification& n, const TrailRow& row) {
  const std::string host = !n.hostname.empty() ? n.hostname : !n.endpoint_id.empty() ? n.endpoint_id : "";
  const std::string act = n.command.empty() ? "action" : n.command;
  std::string s;
  if (n.kind == "action_requested") {
    s = host + ": a rule asked to " + act;
  } else if (n.kind == "action_awaiting_approval") {
    s = host + ": " + act + " waits for approval";
  } else if (n.kind.starts_with("action_")) {
    s = host + ": " + act + " " + n.kind.substr(7);
  } else if (n.kind == "endpoint_drifted") {
    s = host + ": its state is not the wanted one";
  } else if (n.kind == "endpoint_drift_ended") {
    s = host + ": its state is the wanted one again";
  } else if (n.kind == "endpoint_offline") {
    s = host + ": the agent of an isolated host is offline";
  } else if (n.kind == "duplicate_identity") {
    s = host + ": two machines use its identity; no isolation of it starts until a person has looked";
  } else if (n.kind == "local_release") {
    s = host + ": released at the host itself";
  } else if (n.kind == "local_release_unproven") {
    s = host + ": it says it was released at the host itself, without proof";
  } else if (n.kind == "break_glass_issued") {
    s = host + ": a break-glass code was issued";
  } else if (n.kind == "isolation_standing") {
    s = host + ": still isolated";
  } else if (n.kind == "kill_switch_on") {
    s = "the kill switch is on: no new isolation goes out";
  } else if (n.kind == "kill_switch_off") {
    s = "the kill switch is off";
  } else if (n.kind == "breaker_tripped") {
    s = "the breaker of " + row.ref + " tripped";
  } else if (n.kind == "breaker_reset") {
    s = "the breaker of " + row.ref + " was reset";
  }
  if (!n.guard.empty() && n.kind != "action_verified") s += " (" + n.guard + ")";
  if (!n.rule_id.empty()) s += ", rule " + n.rule_id;
  if (!n.comment.empty()) s += ": " + n.comment;
  if (!n.detail.empty()) s += " [" + n.detail + "]";
  if (!n.who.empty()) s += ", by " + n.who;
  return printable(cut(s, kMaxText));
}

Status add_hostname(Notification& n, Trail& trail) {
  FB_TRY(const std::optional<EndpointFacts> e, trail.endpoint(n.endpoint_id));
  if (e) n.hostname = e->hostname;
  return {};
}

}  // namespace

Result<std::optional<Notification>> translate(const TrailRow& row, Trail& trail) {
  const Entry* entry = nullptr;
  for (const Entry& e : kEntries) {
    if (e.what == row.what) entry = &e;
  }
  if (entry == nullptr) return std::nullopt;
  Notification n;
  n.id = std::to_string(row.seq);
  n.seq = row.seq;
  n.kind = entry->kind;
  n.at = row.at;
  n.who = row.actor;
  n.detail = cut(row.detail, kMaxComment);
  switch (entry->about) {
    case About::decision:
    case About::action: {
      FB_TRY(const std::optional<ActionFacts> a, trail.action(row.ref));
      if (!a) return std::nullopt;  // it joined another one, which is told of itself
      if (entry->about == About::decision) {
        n.kind = kind_of_decision(*a);
        n.detail = cut(a->detail, kMaxComment);
      }
      if (n.kind.empty()) return std::nullopt;
      n.action_id = row.ref;
      n.endpoint_id = a->endpoint_id;
      n.command = a->command;
      n.rule_id = a->rule_id;
      n.comment = cut(a->comment, kMaxComment);
      n.verdict = a->verdict;
      n.guard = a->guard;
      if (!n.endpoint_id.empty()) FB_TRY_VOID(add_hostname(n, trail));
      break;
    }
    case About::endpoint:
      n.endpoint_id = row.ref;
      FB_TRY_VOID(add_hostname(n, trail));
      break;
    case About::offline: {
      FB_TRY(const std::optional<EndpointFacts> e, trail.endpoint(row.ref));
      if (!e || (e->desired != "isolated" && e->observed != "isolated")) return std::nullopt;
      n.endpoint_id = row.ref;
      n.hostname = e->hostname;
      break;
    }
    case About::breaker:
      if (row.what.starts_with("rule_")) n.rule_id = row.ref;
      n.comment = n.detail;
      n.detail.clear();
      break;
    case About::service:
      n.comment = n.detail;
      n.detail.clear();
      break;
  }
  const Kind* kind = find_kind(n.kind);
  n.level = kind == nullptr ? Level::medium : kind->level;
  n.text = sentence(n, row);
  return n;
}

Notification test_notification(int64_t now_ms, const std::string& who) {
  Notification n;
  n.id = "test-" + std::to_string(now_ms);
  n.kind = "test";
  n.level = Level::low;
  n.at = iso8601(now_ms);
  n.who = who;
  n.text = "A test of Firebreak's notifications; nothing happened. Asked for by " + printable(who) + ".";
  return n;
}

}  // namespace fb::notify
