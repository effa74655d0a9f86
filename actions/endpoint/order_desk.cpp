#include "actions/endpoint/order_desk.h"

#include <algorithm>
#include <utility>

#include "engine/base/digest.h"
#include "engine/base/log.h"

namespace fb::endpoint {
namespace {

constexpr size_t kNonceBytes = 16;

Order order_of(Verb verb) {
  return verb == Verb::isolate ? Order::isolate : Order::release;
}

}  // namespace

Status OrderDesk::start() {
  if (signers_.empty()) return fail(ErrorCode::invalid_argument, "there is no key to sign orders with");
  FB_TRY(const int64_t epoch, store_.raise_epoch(0));
  const std::lock_guard lock(mutex_);
  epoch_ = epoch;
  return {};
}

std::string OrderDesk::command(const Command& command) {
  Envelope e;
  e.order = order_of(command.verb);
  e.agent_id = command.endpoint_id;
  e.action_id = command.action_id;
  e.generation = command.generation;
  e.expires_at_ms = command.expires_at_ms;
  e.lease_ms = command.lease_ms;
  e.comment = command.comment;
  if (command.verb == Verb::isolate) {
    e.policy = policy(command.endpoint_id)->policy;
    const std::string code = break_glass_code(break_glass_secret_, command.endpoint_id, command.generation);
    e.break_glass_sha256 = break_glass_hash(code, command.endpoint_id, command.generation);
  }
  return sign(std::move(e));
}

std::string OrderDesk::update_allow_set(const std::string& endpoint_id, int64_t generation) {
  Envelope e;
  e.order = Order::update_allow_set;
  e.agent_id = endpoint_id;
  e.generation = generation;
  e.policy = policy(endpoint_id)->policy;
  return sign(std::move(e));
}

std::string OrderDesk::status(const std::string& endpoint_id, int64_t generation) {
  Envelope e;
  e.order = Order::status;
  e.agent_id = endpoint_id;
  e.generation = generation;
  e.policy.services = policy(endpoint_id)->policy.services;  // so that names are known before there is a cut
  return sign(std::move(e));
}

PolicyPtr in_force(CutPolicy policy) {
  std::string text = digest(policy);
  return std::make_shared<const PolicyInForce>(PolicyInForce{std::move(policy), std::move(text)});
}

PolicyPtr OrderDesk::policy(const std::string& endpoint_id) const {
  static const PolicyPtr kNone = in_force({});
  PolicyPtr wanted = policy_ ? policy_(endpoint_id) : nullptr;
  return wanted ? wanted : kNone;
}

Status OrderDesk::heard(const std::string& endpoint_id, int64_t epoch, int64_t revision) {
  int64_t mine = 0;
  {
    const std::lock_guard lock(mutex_);
    mine = epoch_;
    if (epoch == epoch_ && revision > trust_revision_) know_keys_.insert(endpoint_id);
  }
  if (epoch <= mine) return {};
  if (epoch - mine > kMaxEpochJump) {
    log(LogLevel::error, "epoch_not_believed", "an agent claims an epoch that can't be",
        {{"endpoint_id", endpoint_id}, {"epoch", std::to_string(epoch)}, {"service_epoch", std::to_string(mine)}});
    return {};
  }
  FB_TRY(const int64_t raised, store_.raise_epoch(epoch));
  const std::lock_guard lock(mutex_);
  epoch_ = std::max(epoch_, raised);
  return {};
}

Status OrderDesk::raise_epoch() {
  FB_TRY(const int64_t raised, store_.raise_epoch(epoch()));
  const std::lock_guard lock(mutex_);
  epoch_ = std::max(epoch_, raised);
  return {};
}

void OrderDesk::forget_knowledge(const std::string& endpoint_id) {
  const std::lock_guard lock(mutex_);
  know_keys_.erase(endpoint_id);
}

bool OrderDesk::knows_keys(const std::string& endpoint_id) const {
  const std::lock_guard lock(mutex_);
  return know_keys_.contains(endpoint_id);
}

void OrderDesk::replace_signers(Signers signers) {
  const std::lock_guard lock(mutex_);
  signers_ = std::move(signers);
  know_keys_.clear();
  trust_revision_ = revision_;
}

KeySet OrderDesk::trusted_locked() const {
  KeySet keys;
  for (const auto& signer : signers_) keys.emplace(signer->kid(), signer->public_key());
  return keys;
}

KeySet OrderDesk::trusted() const {
  const std::lock_guard lock(mutex_);
  return trusted_locked();
}

int64_t OrderDesk::epoch() const {
  const std::lock_guard lock(mutex_);
  return epoch_;
}

std::string OrderDesk::sign(Envelope e) {
  std::shared_ptr<const Signer> signer;
  {
    const std::lock_guard lock(mutex_);
    const bool knows = know_keys_.contains(e.agent_id);
    signer = knows ? signers_.front() : signers_.back();
    if (!knows) e.trust = trusted_locked();
    e.epoch = epoch_;
    e.revision = ++revision_;
  }
  e.issued_at_ms = clock_.wall_ms();
  e.nonce = random_bytes(kNonceBytes);
  return signer->sign(e);
}

}  // namespace fb::endpoint
