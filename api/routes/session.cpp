// A browser's session: logging in with a name and a password or through an OpenID provider, out, and who one is. Open
// routes that look themselves.
#include "api/api.h"
#include "api/router.h"
#include "api/routes/answers.h"
#include "engine/base/json.h"
#include "engine/base/log.h"
#include "engine/base/text.h"

namespace fb::api {
namespace {

using Json = nlohmann::ordered_json;

Json words(const std::vector<Role>& roles) {
  Json list = Json::array();
  for (const Role r : roles) list.push_back(to_string(r));
  return list;
}

std::string whoami(const Principal& who, bool by_session) {
  Json privileges = Json::array();
  for (const Privilege p : all_privileges()) {
    if (who.may(p)) privileges.push_back(to_string(p));
  }
  return Json{{"user", who.person},
              {"roles", words(who.roles)},
              {"privileges", privileges},
              {"key_id", who.key_id.empty() ? Json(nullptr) : Json(who.key_id)},
              {"session", by_session}}
      .dump();
}

std::string cookie_text(const Call& call, const std::string& token, int64_t seconds) {
  return std::string(kSessionCookie) + "=" + token +
         "; Path=/; HttpOnly; SameSite=Strict; Max-Age=" + std::to_string(seconds) +
         (call.request.tls ? "; Secure" : "");
}

// What did not let somebody in: the answer says little, the audit says why.
net::Response not_logged_in(const Call& call, const Identified& result, const char* message) {
  const Principal& who = result.who;
  if (result.status == 429) {
    net::Response later = problem(429, "too many failed attempts from this address");
    later.headers["Retry-After"] = std::to_string(result.wait_s);
    return later;
  }
  const Status noted =
      call.parts.store.note(who.person.empty() ? "nobody" : "user:" + printable(who.person), "login_refused",
                            printable(who.person), printable(result.reason) + ", from " + who.address);
  if (!noted) log(LogLevel::error, "audit_not_written", noted.error().describe());
  if (result.status == 503) return problem(503, "the provider does not answer; try again later");
  return problem(401, message);
}

// The record tells that somebody logged in; this row adds from where.
void note_login(const Call& call, const Principal& who) {
  const Status noted = call.parts.store.note("user:" + who.person, "api_request",
                                             call.request.method + " " + printable(call.request.path),
                                             "200, session, from " + call.request.peer);
  if (!noted) log(LogLevel::error, "audit_not_written", noted.error().describe());
}

net::Response log_in(const Call& call) {
  const auto body = parse_json(call.request.body);
  if (!body.is_object() || !body.contains("user") || !body.contains("password") || !body["user"].is_string() ||
      !body["password"].is_string()) {
    return problem(400, R"(the body is {"user": "...", "password": "..."})");
  }
  auto login = call.access->log_in(body["user"], body["password"], call.request.peer);
  if (login.result.status == 0) {
    note_login(call, login.result.who);
    net::Response in = json(200, whoami(login.result.who, true));
    in.headers["Set-Cookie"] = cookie_text(call, login.token, call.access->settings().session_max_ms / 1000);
    return in;
  }
  if (login.result.status == 503) return problem(503, "the record can't be read now");
  return not_logged_in(call, login.result, "the name or the password is wrong");
}

constexpr std::string_view kLoginCookie = "firebreak_oidc";

net::Response begin_oidc(const Call& call) {
  if (!call.access->settings().oidc.is_on()) return problem(404, "no OpenID provider is set up");
  const auto begun = call.access->begin_oidc(call.request.peer);
  if (!begun) {
    const bool too_many = begun.error().code == ErrorCode::limit;
    if (!too_many) log(LogLevel::error, "oidc_not_begun", begun.error().describe());
    return too_many ? problem(429, begun.error().message)
                    : problem(503, "the provider does not answer; try again later");
  }
  net::Response go;
  go.status = 302;
  go.headers["Location"] = begun->location;
  // Lax: the provider's page leads back here.
  go.headers["Set-Cookie"] = std::string(kLoginCookie) + "=" + begun->browser +
                             "; Path=/; HttpOnly; SameSite=Lax; Max-Age=600" + (call.request.tls ? "; Secure" : "");
  return go;
}

net::Response finish_oidc(const Call& call) {
  if (!call.access->settings().oidc.is_on()) return problem(404, "no OpenID provider is set up");
  constexpr const char* kNot = "the login did not succeed; begin it anew";
  if (const std::string error = call.query("error"); !error.empty()) {
    return not_logged_in(
        call,
        call.access->refuse_oidc(call.query("state"), "the provider says " + error.substr(0, 100), call.request.peer),
        kNot);
  }
  auto login = call.access->finish_oidc(call.query("state"), cookie(call.request, kLoginCookie).value_or(""),
                                        call.query("code"), call.request.peer);
  if (login.result.status != 0) return not_logged_in(call, login.result, kNot);
  note_login(call, login.result.who);
  net::Response in = json(200, whoami(login.result.who, true));
  in.headers["Set-Cookie"] = cookie_text(call, login.token, call.access->settings().session_max_ms / 1000);
  return in;
}

net::Response log_out(const Call& call) {
  if (!call.session_sha256.empty()) {
    const auto ended = call.parts.store.end_session(call.session_sha256, call.actor());
    if (!ended) return failed(ended.error());
  }
  net::Response out = json(200, R"({"session":false})");
  out.headers["Set-Cookie"] = cookie_text(call, "", 0);
  return out;
}

net::Response who_am_i(const Call& call) {
  if (call.who.person.empty() || call.who.roles.empty()) return problem(401, "nobody is logged in");
  return json(200, whoami(call.who, !call.session_sha256.empty()));
}

}  // namespace

void add_session_routes(Router& router) {
  router.add_open("GET", "/api/firebreak/session", who_am_i);
  router.add_open("POST", "/api/firebreak/session", log_in).hashes_password();
  router.add_open("DELETE", "/api/firebreak/session", log_out);
  router.add_open("GET", "/api/firebreak/session/oidc", begin_oidc).asks_outside();
  router.add_open("GET", "/api/firebreak/session/oidc/callback", finish_oidc).asks_outside();
}

}  // namespace fb::api
