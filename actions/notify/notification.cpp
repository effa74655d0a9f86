#include "actions/notify/notification.h"

#include <algorithm>
#include <array>

#include "engine/base/json.h"
#include "engine/base/json_dump.h"

namespace fb::notify {
namespace {

constexpr size_t kMaxSamples = 10;

constexpr std::array kKinds = {
    Kind{"action_requested", Level::high, false},
    Kind{"action_awaiting_approval", Level::high, false},
    Kind{"action_blocked", Level::medium, false},
    Kind{"action_denied", Level::medium, false},
    Kind{"action_verified", Level::medium, false},
    Kind{"action_failed", Level::high, false},
    Kind{"action_expired", Level::high, false},
    Kind{"action_superseded", Level::low, false},
    Kind{"action_stuck", Level::high, false},
    Kind{"duplicate_identity", Level::critical, false},
    Kind{"endpoint_drifted", Level::critical, false},
    Kind{"endpoint_drift_ended", Level::medium, false},
    Kind{"endpoint_offline", Level::high, false},
    Kind{"local_release", Level::critical, false},
    Kind{"local_release_unproven", Level::critical, false},
    Kind{"break_glass_issued", Level::critical, false},
    Kind{"isolation_standing", Level::medium, false},
    Kind{"kill_switch_on", Level::critical, true},
    Kind{"kill_switch_off", Level::high, true},
    Kind{"breaker_tripped", Level::critical, true},
    Kind{"breaker_reset", Level::high, true},
    Kind{"digest", Level::low, true},  // as grave as the gravest in it
    Kind{"test", Level::low, true},
};

constexpr std::array<std::string_view, 4> kLevels = {"low", "medium", "high", "critical"};

}  // namespace

std::string_view to_string(Level level) {
  return kLevels[static_cast<size_t>(level)];
}

std::optional<Level> level_from(std::string_view word) {
  for (size_t i = 0; i < kLevels.size(); ++i) {
    if (kLevels[i] == word) return static_cast<Level>(i);
  }
  return std::nullopt;
}

std::span<const Kind> all_kinds() {
  return kKinds;
}

const Kind* find_kind(std::string_view name) {
  const auto* at = std::find_if(kKinds.begin(), kKinds.end(), [&](const Kind& k) { return k.name == name; });
  return at == kKinds.end() ? nullptr : at;
}

std::string json_body(const Notification& n) {
  using Json = nlohmann::ordered_json;
  Json out{{"id", n.id},
           {"kind", n.kind},
           {"severity", to_string(n.level)},
           {"time", n.at},
           {"endpoint_id", n.endpoint_id},
           {"hostname", n.hostname},
           {"action_id", n.action_id},
           {"command", n.command},
           {"rule_id", n.rule_id},
           {"comment", n.comment},
           {"who", n.who},
           {"verdict", n.verdict},
           {"guard", n.guard},
           {"detail", n.detail},
           {"text", n.text}};
  if (!n.counts.empty()) {
    out["counts"] = n.counts;
    out["samples"] = n.samples;
  }
  return dumped(out);
}

void Digest::add(const Notification& n) {
  if (total_++ == 0) {
    first_seq_ = n.seq;
    first_at_ = n.at;
  }
  last_seq_ = n.seq;
  last_at_ = n.at;
  level_ = std::max(level_, n.level);
  ++counts_[n.kind];
  if (samples_.size() < kMaxSamples) samples_.push_back(n.text);
}

Notification Digest::close() {
  Notification n;
  n.id = std::to_string(first_seq_) + "-" + std::to_string(last_seq_);
  n.seq = last_seq_;
  n.kind = "digest";
  n.level = level_;
  n.at = last_at_;
  n.who = "firebreak";
  n.detail = "from " + first_at_ + " to " + last_at_;
  n.text = std::to_string(total_) + " more notifications:";
  for (const auto& [kind, count] : counts_) n.text += " " + std::to_string(count) + " " + kind + ",";
  n.text.back() = '.';
  n.counts = std::move(counts_);
  n.samples = std::move(samples_);
  *this = Digest();
  return n;
}

}  // namespace fb::notify
