#include "engine/model/action_life.h"

#include <array>
#include <cstddef>

namespace fb {
namespace {

using S = ActionState;
constexpr size_t kStates = 13;
static_assert(static_cast<size_t>(S::superseded) + 1 == kStates);

constexpr uint16_t bit(S s) {
  return static_cast<uint16_t>(1u << static_cast<unsigned>(s));
}

template <class... States>
constexpr uint16_t any_of(States... states) {
  return static_cast<uint16_t>((0u | ... | bit(states)));
}

// Row by row: where an action in this state may go.
constexpr std::array<uint16_t, kStates> make_table() {
  std::array<uint16_t, kStates> to{};
  auto row = [&to](S from) -> uint16_t& { return to[static_cast<size_t>(from)]; };
  // Every way to the wire leads through `dispatched`, so that a row says so before a byte is sent. `blocked` is the
  // check before the first sending; what may have arrived can't be blocked any more, only superseded. What was sent
  // and still lies in the service can, however long nobody has fetched it.
  row(S::requested) = any_of(S::queued, S::dispatched, S::blocked, S::failed, S::expired, S::superseded);
  row(S::awaiting_approval) = any_of(S::requested, S::denied, S::blocked, S::expired, S::superseded);
  // A queued action may have been sent before the endpoint went away, so its answer can still come.
  row(S::queued) =
      any_of(S::dispatched, S::blocked, S::unknown, S::accepted, S::verified, S::failed, S::expired, S::superseded);
  row(S::dispatched) =
      any_of(S::queued, S::blocked, S::unknown, S::accepted, S::verified, S::failed, S::expired, S::superseded);
  row(S::unknown) =
      any_of(S::queued, S::dispatched, S::blocked, S::accepted, S::verified, S::failed, S::expired, S::superseded);
  row(S::accepted) = any_of(S::unknown, S::verified, S::failed, S::expired, S::superseded);
  return to;  // the others are over
}
constexpr std::array<uint16_t, kStates> kMoves = make_table();

}  // namespace

bool is_legal_move(ActionState from, ActionState to) {
  return (kMoves[static_cast<size_t>(from)] & bit(to)) != 0;
}

bool is_legal_start(ActionState state) {
  return (any_of(S::requested, S::dry_run, S::awaiting_approval, S::blocked) & bit(state)) != 0;
}

}  // namespace fb
