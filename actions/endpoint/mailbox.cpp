#include "actions/endpoint/mailbox.h"

#include <algorithm>
#include <utility>

namespace fb::endpoint {

Mailboxes::Put Mailboxes::put(const Command& command, int64_t now_ms, Handed* handed) {
  const std::lock_guard lock(mutex_);
  Box& box = boxes_[command.endpoint_id];
  if (command.generation < box.newest_generation) return Put::stale;
  box.newest_generation = command.generation;
  if (!live_locked(box, now_ms)) {
    box.command.reset();
    return Put::offline;
  }
  box.command = command;
  box.handed_ms = -1;
  if (!box.poll || box.poll->gone() || !may_have(box)) return Put::kept;
  box.handed_ms = now_ms;
  *handed = {std::exchange(box.poll, nullptr), command, std::nullopt};
  return Put::handed;
}

std::optional<Mailboxes::Handed> Mailboxes::take_ready(const std::string& endpoint_id, Box& box, int64_t now_ms) const {
  if (box.command) {
    const bool rested = box.handed_ms < 0 || now_ms - box.handed_ms >= redeliver_after_ms_;
    if (!rested || !may_have(box)) return std::nullopt;
    box.handed_ms = now_ms;
    return Handed{nullptr, box.command, std::nullopt};
  }
  if (!box.update || box.releases_only) return std::nullopt;
  const int doublings = std::clamp(box.update_tries - 1, 0, 16);
  const int64_t rest = std::min(kUpdateRestMs << doublings, kUpdateRestMostMs);
  if (box.update_tries > 0 && now_ms - box.update_handed_ms < rest) return std::nullopt;
  box.update_handed_ms = now_ms;
  ++box.update_tries;
  return Handed{nullptr, std::nullopt, Update{endpoint_id, *box.update}};
}

void Mailboxes::put_update(const std::string& endpoint_id, int64_t generation, int64_t now_ms, Handed* handed) {
  const std::lock_guard lock(mutex_);
  Box& box = boxes_[endpoint_id];
  box.update = generation;
  if (!box.poll || box.poll->gone()) return;
  if (auto ready = take_ready(endpoint_id, box, now_ms)) {
    *handed = std::move(*ready);
    handed->poll = std::exchange(box.poll, nullptr);
  }
}

void Mailboxes::drop_update(const std::string& endpoint_id) {
  const std::lock_guard lock(mutex_);
  const auto at = boxes_.find(endpoint_id);
  if (at == boxes_.end()) return;
  at->second.update.reset();
  at->second.update_tries = 0;
}

Mailboxes::Handed Mailboxes::poll(const std::string& endpoint_id, Poll poll, int64_t now_ms, int64_t until_ms,
                                  bool releases_only, Poll* replaced, std::string_view instance) {
  const std::lock_guard lock(mutex_);
  Box& box = boxes_[endpoint_id];
  *replaced = std::exchange(box.poll, nullptr);
  if (box.cut_off) {  // authenticated before it was revoked: let it ask again
    *replaced = std::move(poll);
    return {};
  }
  const bool same_process = !instance.empty() && instance == box.instance;
  box.instance = instance;
  if (*replaced && !(*replaced)->gone() && !same_process) {
    if (now_ms - box.takeovers_since_ms >= kFightMs) {
      box.takeovers = 0;
      box.takeovers_since_ms = now_ms;
    }
    ++box.takeovers;
  }
  box.releases_only = releases_only;
  if (auto ready = take_ready(endpoint_id, box, now_ms)) {
    ready->poll = std::move(poll);
    return std::move(*ready);
  }
  box.poll = std::move(poll);
  box.poll_until_ms = until_ms;
  return {};
}

bool Mailboxes::is_fought_over(const std::string& endpoint_id, int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  const auto at = boxes_.find(endpoint_id);
  if (at == boxes_.end() || at->second.takeovers < kFightTakeovers) return false;
  at->second.takeovers = 0;
  at->second.takeovers_since_ms = now_ms;
  return true;
}

bool Mailboxes::give(const Command& command) {
  const std::lock_guard lock(mutex_);
  const auto at = boxes_.find(command.endpoint_id);
  if (at == boxes_.end()) return false;
  Box& box = at->second;
  if (!box.command || box.command->action_id != command.action_id || !may_have(box)) return false;
  box.given = command.action_id;
  return true;
}

std::optional<Command> Mailboxes::take_back(const std::string& endpoint_id, std::string_view action_id) {
  const std::lock_guard lock(mutex_);
  const auto at = boxes_.find(endpoint_id);
  if (at == boxes_.end() || !at->second.command) return std::nullopt;
  const Command& waits = *at->second.command;
  if (waits.verb != Verb::isolate || waits.action_id == at->second.given) return std::nullopt;
  if (!action_id.empty() && waits.action_id != action_id) return std::nullopt;
  return std::exchange(at->second.command, std::nullopt);
}

void Mailboxes::releases_only(const std::string& endpoint_id) {
  const std::lock_guard lock(mutex_);
  boxes_[endpoint_id].releases_only = true;
}

std::optional<Command> Mailboxes::command_of(const std::string& endpoint_id) const {
  const std::lock_guard lock(mutex_);
  const auto at = boxes_.find(endpoint_id);
  return at == boxes_.end() ? std::nullopt : at->second.command;
}

void Mailboxes::finished(const std::string& endpoint_id, const std::string& action_id) {
  const std::lock_guard lock(mutex_);
  const auto at = boxes_.find(endpoint_id);
  if (at == boxes_.end() || !at->second.command || at->second.command->action_id != action_id) return;
  at->second.command.reset();
}

bool Mailboxes::is_cut_off(const std::string& endpoint_id) const {
  const std::lock_guard lock(mutex_);
  const auto at = boxes_.find(endpoint_id);
  return at != boxes_.end() && at->second.cut_off;
}

void Mailboxes::admit(const std::string& endpoint_id) {
  const std::lock_guard lock(mutex_);
  boxes_[endpoint_id].cut_off = false;
}

bool Mailboxes::heard(const std::string& endpoint_id, int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  Box& box = boxes_[endpoint_id];
  if (box.cut_off) return false;
  const bool back = !box.online;
  box.online = true;
  box.heard_ms = now_ms;
  return back;
}

void Mailboxes::expect(const std::string& endpoint_id, int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  Box& box = boxes_[endpoint_id];
  box.online = true;
  box.heard_ms = now_ms;
}

bool Mailboxes::is_live(const std::string& endpoint_id, int64_t now_ms) const {
  const std::lock_guard lock(mutex_);
  const auto at = boxes_.find(endpoint_id);
  return at != boxes_.end() && live_locked(at->second, now_ms);
}

Mailboxes::Due Mailboxes::due(int64_t now_ms) {
  Due out;
  const std::lock_guard lock(mutex_);
  for (auto& [id, box] : boxes_) {
    if (box.online && now_ms - box.heard_ms >= offline_after_ms_) {
      box.online = false;
      out.silent.push_back(id);
    }
    if (!box.poll) continue;
    if (box.poll->gone() || now_ms >= box.poll_until_ms) {
      out.empty.push_back(std::exchange(box.poll, nullptr));
    } else if (auto ready = take_ready(id, box, now_ms)) {
      ready->poll = std::exchange(box.poll, nullptr);
      out.handed.push_back(std::move(*ready));
    }
  }
  return out;
}

Poll Mailboxes::forget(const std::string& endpoint_id) {
  const std::lock_guard lock(mutex_);
  Box& box = boxes_[endpoint_id];
  box.command.reset();
  box.update.reset();
  box.online = false;
  box.cut_off = true;
  return std::exchange(box.poll, nullptr);
}

std::vector<Poll> Mailboxes::take_polls() {
  std::vector<Poll> out;
  const std::lock_guard lock(mutex_);
  for (auto& [id, box] : boxes_) {
    if (box.poll) out.push_back(std::exchange(box.poll, nullptr));
  }
  return out;
}

size_t Mailboxes::open_polls() const {
  const std::lock_guard lock(mutex_);
  return static_cast<size_t>(
      std::count_if(boxes_.begin(), boxes_.end(), [](const auto& b) { return b.second.poll != nullptr; }));
}

size_t Mailboxes::live(int64_t now_ms) const {
  const std::lock_guard lock(mutex_);
  return static_cast<size_t>(
      std::count_if(boxes_.begin(), boxes_.end(), [&](const auto& b) { return live_locked(b.second, now_ms); }));
}

}  // namespace fb::endpoint
