#include "apps/firebreak/answers.h"

#include <cstdio>

#include "apps/firebreak/terminal.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"

namespace fb::cli {

using Json = nlohmann::ordered_json;

int exit_code_of(const Error& error, int status) {
  // The code, too: the status may be that of an earlier request when this one got no answer.
  const bool forbidden = error.code == ErrorCode::refused && status == 403;
  return forbidden || error.code == ErrorCode::conflict ? kFound : kCantRun;
}

int give_up(const ApiClient& client, const Error& error) {
  return complain(error, exit_code_of(error, client.last_status()));
}

int show_answer(Format format, const std::string& body, const std::function<void(const Json&)>& say) {
  const Json answer = parse_ordered_json(body);
  if (!answer.is_object()) return complain("the service's answer is not JSON", kCantRun);
  if (format == Format::json) {
    std::printf("%s\n", dumped(answer).c_str());
  } else {
    say(answer);
  }
  return kDone;
}

}  // namespace fb::cli
