#include <utility>

#include "engine/pipeline/replay.h"
#include "engine/respond/guard.h"
#include "engine/respond/plan.h"
#include "engine/respond/replay_ledger.h"

namespace fb {

struct ReplayJudge::Impl {
  OpenDirectory open;
  const EndpointDirectory* directory = &open;
  ReplayLedger ledger;
  ActionGuard guard = ActionGuard::for_replay(GuardSettings{});
};

ReplayJudge::ReplayJudge() : impl_(std::make_unique<Impl>()) {}

ReplayJudge::ReplayJudge(const EndpointDirectory& directory, const std::vector<Endpoint>& endpoints)
    : impl_(std::make_unique<Impl>()) {
  impl_->directory = &directory;
  impl_->ledger = ReplayLedger(endpoints);
}

ReplayJudge::~ReplayJudge() = default;

std::vector<ReplayAction> ReplayJudge::judge(const Alert& alert) {
  std::vector<PlannedAction> planned;
  plan(alert, *impl_->directory, planned);
  impl_->ledger.advance(alert.event_time_ms);
  if (!planned.empty()) {
    impl_->ledger.note_alert(planned.front().endpoint_id, alert.rule->rule_id, alert.event_time_ms);
  }
  std::vector<ReplayAction> out;
  for (const PlannedAction& action : planned) {
    ReplayAction said;
    said.verb = action.verb;
    said.comment = action.comment;
    said.endpoint = action.endpoint_id;
    if (said.endpoint.empty()) {
      const Target& t = action.target;
      said.endpoint = !t.agent_id.empty() ? t.agent_id : !t.host_id.empty() ? t.host_id : t.host_name;
    }
    // The ledger is in memory and can't fail; were it to, the answer is "no".
    const Result<Judgement> judged = impl_->guard.judge(action, impl_->ledger, alert.event_time_ms);
    const Judgement judgement = judged ? *judged : Judgement{Verdict::blocked, Guard::none, judged.error().message, ""};
    impl_->ledger.record_intent(action, judgement, alert.event_time_ms);
    said.verdict = judgement.verdict;
    said.guard = judgement.guard;
    said.detail = judgement.detail;
    out.push_back(std::move(said));
  }
  return out;
}

}  // namespace fb
