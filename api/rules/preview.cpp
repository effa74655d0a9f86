#include "api/rules/preview.h"

#include <algorithm>

#include "engine/event/decoder.h"
#include "engine/pipeline/alert_document.h"
#include "engine/pipeline/replay.h"

namespace fb::api {

Result<PreviewOutcome> preview(const LoadedRule& rule, const PreviewInput& input, const Clock& clock) {
  constexpr size_t kMostReasons = 10;
  const int64_t began = clock.mono_ms();
  PreviewOutcome out;
  const RuleSetPtr set = RuleSet::build({rule.input});
  const std::string members = alert_rule_members(*rule.input.meta);
  ReplayJudge judge;

  size_t at = 0;
  std::string padded;
  const NextLine next = [&](std::string_view* line) -> Result<bool> {
    if (at == input.events.size()) return false;
    if (at % 256 == 0 && clock.mono_ms() - began > input.budget_ms) {
      out.aborted = true;
      return false;
    }
    const std::string& event = input.events[at++];
    padded.assign(event);
    padded.append(Decoder::kPadding, '\0');
    *line = std::string_view(padded).substr(0, event.size());
    return true;
  };
  ScanSinks sinks;
  sinks.hit = [&](const ScanHit& hit) {
    for (const Alert& alert : *hit.alerts) {
      ++out.alerts;
      if (out.documents.size() < input.max_alerts) {
        Alert whole = alert;
        whole.source = std::string(hit.line);
        if (whole.read_time_ms == 0) whole.read_time_ms = clock.wall_ms();
        out.documents.push_back(alert_document(whole, set->hash(), members));
      }
      for (const ReplayAction& action : judge.judge(alert)) {
        if (action.verdict != Verdict::would_act) continue;
        if (std::find(out.would_isolate.begin(), out.would_isolate.end(), action.endpoint) == out.would_isolate.end()) {
          out.would_isolate.push_back(action.endpoint);
        }
      }
    }
  };
  sinks.refused = [&](int64_t index, const Refusal& refusal) {
    if (out.refused_reasons.size() < kMostReasons) {
      out.refused_reasons.push_back("event " + std::to_string(index) + ": " + std::string(refusal.reason) +
                                    (refusal.detail.empty() ? "" : ", " + refusal.detail));
    }
  };
  FB_TRY(const ScanStats stats, scan(set, next, ScanOptions{}, true, sinks));
  out.events = stats.events;
  out.refused = stats.refused;
  out.took_ms = clock.mono_ms() - began;
  return out;
}

}  // namespace fb::api
