// firebreak agents approve, deny, revoke, rotate, rotate-signing-key; firebreak break-glass.
#include <cstdio>

#include "apps/firebreak/answers.h"
#include "apps/firebreak/client.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/terminal.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"

namespace fb::cli {
namespace {

using Json = nlohmann::ordered_json;

// Asks one route and shows what it answers.
int ask(const ActOptions& options, const std::string& route, const Json& body,
        const std::function<void(const Json&)>& say) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const auto answer = client->post("/api/firebreak/agents/" + route, dumped(body));
  return answer ? show_answer(options.format, *answer, say) : give_up(*client, answer.error());
}

std::string text_of(const Json& json, const char* key) {
  const auto at = json.find(key);
  return at != json.end() && at->is_string() ? printable(at->get<std::string>()) : std::string();
}

}  // namespace

int run_enrollment_decision(bool approve, const ActOptions& options) {
  const Json body{{"agent", options.host}, {"comment", options.comment}};
  return ask(options, approve ? "approve" : "deny", body, [approve](const Json& answer) {
    std::printf(approve
                    ? "approved: agent %s gets its certificate when it asks again; the one before it holds no longer\n"
                    : "denied: agent %s\n",
                text_of(answer, "agent").c_str());
  });
}

int run_agent_revoke(const ActOptions& options) {
  return ask(options, "revoke", {{"host", options.host}, {"comment", options.comment}}, [](const Json& answer) {
    std::printf("revoked: agent %s is cut off; the host stays as it is\n", text_of(answer, "agent").c_str());
  });
}

int run_agent_rotate(const ActOptions& options) {
  return ask(options, "rotate", {{"host", options.host}}, [](const Json& answer) {
    std::printf("agent %s is asked with its next heartbeat\n", text_of(answer, "agent").c_str());
  });
}

int run_rotate_signing_key(const ActOptions& options) {
  return ask(options, "rotate_signing_key", {{"comment", options.comment}}, [](const Json& answer) {
    std::printf(
        "key %s signs from now on, for each agent from when it knows it; remove the old key's file only when "
        "every agent was online since\n",
        text_of(answer, "kid").c_str());
  });
}

int run_break_glass(const ActOptions& options) {
  return ask(options, "break_glass", {{"host", options.host}, {"comment", options.comment}}, [](const Json& answer) {
    // The code alone on standard output.
    std::printf("%s\n", text_of(answer, "code").c_str());
    std::fprintf(stderr,
                 "good for agent %s and this isolation only; at the host: firebreak-agent release --break-glass\n",
                 text_of(answer, "agent").c_str());
  });
}

}  // namespace fb::cli
