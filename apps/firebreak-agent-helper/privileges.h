// What the helper gives up. Linux only; called once, before any thread is there.
#pragma once

#include "engine/base/result.h"

namespace fb::agent {

// No core file, no debugger of another process of this user, no new privileges by a program it would start.
Status close_to_others();

// Keeps, of the capabilities that the process has: CAP_NET_ADMIN (the rules), CAP_SETUID, CAP_SETGID and CAP_KILL (a
// notice to a user's session is given by a child that becomes that user), CAP_DAC_OVERRIDE (the terminals of users).
// Nothing happens to a process that has none.
Status drop_capabilities();

}  // namespace fb::agent
