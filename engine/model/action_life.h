// The legal moves of an action's state: one table, used by every writer of states. Pure.
#pragma once

#include "engine/model/names.h"

namespace fb {

bool is_legal_move(ActionState from, ActionState to);

}  // namespace fb
