// How every command that asks the service ends: what was refused, and what a change came to. Prints; one thread.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "apps/firebreak/client.h"
#include "apps/firebreak/options.h"
#include "engine/base/result.h"

namespace fb::cli {

// kFound: the service understood what it could have done, and said no (forbidden, in conflict with what is there).
// kCantRun for all else, such as a thing that is not there or a key that is wrong. `status` is the answer's; 0 = none
// came.
int exit_code_of(const Error& error, int status = 0);
// Tells the error of a request; the exit code.
int give_up(const ApiClient& client, const Error& error);
// What a change came to, from the body of its answer: with json the answer alone, as one line, else what `say` prints
// of it. The exit code.
int show_answer(Format format, const std::string& body, const std::function<void(const nlohmann::ordered_json&)>& say);

}  // namespace fb::cli
