// The legal moves of an action's state: one table, used by every writer of states. Pure, thread-safe.
#pragma once

#include "engine/model/names.h"

namespace fb {

// May an action go from one state to the other? Never to the state it is in already, never out of a state that is over.
bool is_legal_move(ActionState from, ActionState to);

// May a new row begin in this state?
bool is_legal_start(ActionState state);

}  // namespace fb
