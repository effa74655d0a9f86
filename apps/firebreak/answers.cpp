#include "apps/firebreak/answers.h"

#include "apps/firebreak/terminal.h"

namespace fb::cli {

int exit_code_of(const Error& error, int status) {
  // The code, too: the status may be that of an earlier request when this one got no answer.
  const bool forbidden = error.code == ErrorCode::refused && status == 403;
  return forbidden || error.code == ErrorCode::conflict ? kFound : kCantRun;
}

int give_up(const ApiClient& client, const Error& error) {
  return complain(error, exit_code_of(error, client.last_status()));
}

}  // namespace fb::cli
