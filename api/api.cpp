#include "api/api.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>

#include "api/api_version.h"
#include "api/front.h"
#include "api/work_desk.h"
#include "engine/base/json.h"
#include "engine/base/log.h"
#include "engine/base/text.h"

namespace fb::api {
namespace {

constexpr size_t kDeskThreads = 2;
constexpr size_t kDeskWaiting = 64;
// What asks another service: with that away, these threads wait for it and no others.
constexpr size_t kOutsideThreads = 2;
constexpr size_t kOutsideWaiting = 32;
constexpr size_t kMaxReasonBytes = 1024;
constexpr size_t kMaxBodyLookedInto = 256u << 10;  // for the reason of a change
// Rows of refusals in the audit: of one address, and of all.
constexpr double kRefusalsAtOnce = 20;
constexpr double kRefusalsPerMinute = 10;
constexpr double kAllRefusalsAtOnce = 200;
constexpr double kAllRefusalsPerMinute = 60;

// One message for every way to fail, so that it tells nothing about which part was wrong.
constexpr const char* kNotKnown =
    "[security_exception]: unable to authenticate with the credentials of this request; give Authorization: ApiKey "
    "<key>, or Basic";

std::string by(const Principal& who) {
  return who.person.empty() ? "nobody" : "user:" + who.person;
}

std::string from(const Principal& who, bool by_session) {
  std::string text = by_session ? "session" : who.key_id.empty() ? "no key" : "key " + printable(who.key_id);
  return text + ", from " + (who.address.empty() ? "?" : who.address);
}

net::Response with_safe_headers(net::Response response) {
  if (response.stream) return response;
  response.headers.try_emplace("X-Content-Type-Options", "nosniff");
  response.headers.try_emplace("Cache-Control", "no-store");
  response.headers.try_emplace("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
  return response;
}

// What the body of a change says of why.
std::string reason_in(const net::Request& request) {
  if (request.body.empty() || request.body.size() > kMaxBodyLookedInto) return "";
  const auto body = parse_json(request.body);
  if (!body.is_object()) return "";
  for (const char* key : {"comment", "reason", "note"}) {
    const auto it = body.find(key);
    if (it != body.end() && it->is_string()) return it->get_ref<const std::string&>().substr(0, kMaxReasonBytes);
  }
  return "";
}

// What a refusal's answer says of why.
std::string message_of(const net::Response& response) {
  const auto body = parse_json(response.body);
  const auto it = body.is_object() ? body.find("message") : body.end();
  return it != body.end() && it->is_string() ? printable(it->get_ref<const std::string&>().substr(0, kMaxReasonBytes))
                                             : std::string("refused");
}

class Api {
 public:
  explicit Api(Parts p)
      : parts_(std::move(p)),
        access_(parts_.store, parts_.clock, parts_.access),
        router_(all_routes()),
        refusals_(parts_.metrics.counter("firebreak_http_refusals_total", "Requests refused for who made them")),
        outside_(kOutsideThreads, kOutsideWaiting),
        passwords_(kDeskThreads, kDeskWaiting),
        rules_(kDeskThreads, kDeskWaiting),
        work_(kDeskThreads, kDeskWaiting) {}

  void take(net::Request request, std::shared_ptr<net::Responder> responder) {
    const std::optional<std::string> path = path_in_space(request.target);
    const Router::Match match = path ? router_.find(request.method, *path) : Router::Match{};
    const Desk wanted = match.desk_for(request.target);
    const Desk where = wanted == Desk::none && access_.is_slow(request) ? Desk::passwords : wanted;
    if (where == Desk::none) {
      responder->answer(with_safe_headers(handle(request, match, path.has_value())));
      return;
    }
    // The desks end with this Api, and their threads with it: `this` is good for as long as work runs.
    WorkDesk& desk = where == Desk::outside     ? outside_
                     : where == Desk::passwords ? passwords_
                     : where == Desk::rules     ? rules_
                                                : work_;
    auto work = [this, request = std::move(request), match, responder, in_space = path.has_value()] {
      if (!responder->gone()) responder->answer(with_safe_headers(handle(request, match, in_space)));
    };
    if (!desk.take(std::move(work))) {
      net::Response busy = problem(503, "too many such requests wait already");
      busy.headers["Retry-After"] = "1";
      responder->answer(with_safe_headers(std::move(busy)));
    }
  }

 private:
  net::Response handle(const net::Request& request, const Router::Match& match, bool in_space) {
    if (auto refused = refuse_by_front(request)) return std::move(*refused);
    const Identified caller = access_.identify(request);
    const bool is_open = match.handle != nullptr && !match.privilege;
    // Who may not come in does not learn which paths there are.
    if (!is_open && caller.status != 0) return not_let_in(request, caller);
    // What is open is open to those who show nothing. A wrong password tried there is told and counted as anywhere.
    const bool shows = request.headers.count("authorization") != 0;
    if (is_open && shows && (caller.status == 401 || caller.status == 429)) return not_let_in(request, caller);
    if (match.handle == nullptr) {
      return problem(404, in_space ? "Not Found" : "there is no such space, only the default one");
    }
    const bool may = !match.privilege || caller.who.may(*match.privilege) ||
                     (match.or_privilege && caller.who.may(*match.or_privilege));
    if (!may) return forbidden(request, caller, *match.privilege);
    const bool writes = request.method != "GET" && request.method != "HEAD";
    // Either header shows that no foreign page's form made the request.
    const bool by_script = request.headers.count("kbn-xsrf") != 0 || request.headers.count("kbn-version") != 0;
    if (writes && !caller.session_sha256.empty() && !by_script) {
      note_refusal(request, caller, "400 no kbn-xsrf header");
      return problem(400, "Request must contain a kbn-xsrf header.");
    }
    if (const auto asked = request.headers.find("elastic-api-version"); asked != request.headers.end()) {
      const auto wrong = refuse_version(request.method, match.pattern, asked->second);
      if (wrong) return problem(400, *wrong);
    }
    if (!request.body.empty() && !takes_media(request)) return problem(415, "Unsupported Media Type");
    // What is read into trees and written again goes as deep as the body does.
    if (may_be_json(request.body)) {
      if (is_nested_deeper(request.body)) {
        return problem(400, "the body is nested deeper than " + std::to_string(kMostJsonLevels) + " levels");
      }
      if (const auto twice = repeated_key(request.body)) {
        return problem(400, "the body has the key \"" + printable(twice->substr(0, 100)) + "\" twice in one object");
      }
    }
    net::Response response = call(request, match, caller);
    if (has_version(match.pattern)) response.headers.try_emplace("Elastic-Api-Version", kApiVersion);
    // What was answered with 5xx may have changed something before it failed: a part of many rules, say.
    const bool failed = response.status >= 500 && response.status != 501;
    const bool done = response.status < 400 || failed;
    if (response.status == 403) note_refusal(request, caller, "403 " + message_of(response));
    // A login that has to wait: those that were wrong stand in the audit by themselves.
    if (is_open && response.status == 429) note_refusal(request, caller, "429 " + message_of(response));
    if (done && writes && match.privilege && !match.only_reads && !is_reading(*match.privilege)) {
      note_change(request, caller, response.status);
    }
    return response;
  }

  std::optional<net::Response> refuse_by_front(const net::Request& request) {
    if (request.peer == "unix") return std::nullopt;
    const auto host = request.headers.find("host");
    Identified nobody;
    nobody.who.address = request.peer;
    const std::string_view named = host_in_target(request.target);
    if (host == request.headers.end() || !is_our_host(host->second, parts_.host_names) ||
        (!named.empty() && !is_our_host(named, parts_.host_names))) {
      note_refusal(request, nobody, "421 for another host");
      return problem(421, "the request names another host; the config key http.names lists the names of this one");
    }
    const bool reads = request.method == "GET" || request.method == "HEAD";
    if (!reads && is_cross_origin(request)) {
      note_refusal(request, nobody, "403 from a page of another origin");
      return problem(403, "requests from pages of other origins are refused");
    }
    return std::nullopt;
  }

  net::Response not_let_in(const net::Request& request, const Identified& caller) {
    note_refusal(request, caller, std::to_string(caller.status) + " " + caller.reason);
    if (caller.status == 429) {
      net::Response slow_down = problem(429, "too many failed attempts from this address");
      slow_down.headers["Retry-After"] = std::to_string(caller.wait_s);
      return slow_down;
    }
    if (caller.status == 503) return problem(503, "the record can't be read now");
    net::Response unknown = problem(401, kNotKnown);
    // A page's own requests must not make the browser ask for a password.
    const bool by_page = request.headers.count("sec-fetch-mode") != 0 || request.headers.count("origin") != 0;
    unknown.headers["WWW-Authenticate"] = by_page ? "ApiKey" : R"(ApiKey, Basic realm="firebreak", charset="UTF-8")";
    return unknown;
  }

  // In the words of Kibana's clients: response actions and exceptions have their own there.
  static std::string refusal(const net::Request& request, Privilege privilege) {
    std::string needed(to_string(privilege));
    switch (privilege) {
      case Privilege::isolate:
      case Privilege::release:
      case Privilege::actions_read:
        return "Endpoint authorization failure";
      case Privilege::exceptions_read:
        needed = "lists-read";
        break;
      case Privilege::exceptions_write:
      case Privilege::exceptions_delete:
        needed = "lists-all";
        break;
      default:
        if (const std::string_view elastic = elastic_name(privilege); !elastic.empty()) {
          needed = std::string(elastic) + ", " + needed;
        }
    }
    return "API [" + request.method + " " + printable(request.path) +
           "] is unauthorized for user, this action is granted by the Kibana privileges [" + needed + "]";
  }

  net::Response forbidden(const net::Request& request, const Identified& caller, Privilege privilege) {
    const std::string word(to_string(privilege));
    note_refusal(request, caller, "403 without " + word);
    net::Response refused = problem(403, refusal(request, privilege));
    refused.headers["Firebreak-Notice"] = "this needs the privilege " + word;
    return refused;
  }

  net::Response call(const net::Request& request, const Router::Match& match, const Identified& caller) {
    try {
      return (*match.handle)(
          Call{request, match.params, caller.who, parts_, &access_, caller.session_sha256, readers_.get()});
    } catch (const nlohmann::json::exception&) {  // a body whose fields have other types than the route takes
      return problem(400, "a field of the body has the wrong type");
    } catch (const std::exception& e) {
      log(LogLevel::error, "request_failed", e.what(), {{"path", printable(request.path)}});
      return problem(500, "the request could not be handled");
    }
  }

  // The change itself stands in the audit as the record tells it; this row adds the key and the address.
  void note_change(const net::Request& request, const Identified& caller, int status) {
    const std::string why = reason_in(request);
    const Status noted = parts_.store.note(
        by(caller.who), "api_request", request.method + " " + printable(request.path).substr(0, kMaxReasonBytes),
        std::to_string(status) + ", " + from(caller.who, !caller.session_sha256.empty()) +
            (why.empty() ? "" : ": " + to_utf8(why)));
    if (!noted) log(LogLevel::error, "audit_not_written", noted.error().describe());
  }

  void note_refusal(const net::Request& request, const Identified& caller, const std::string& what) {
    refusals_.add_one();
    const int64_t now = parts_.clock.mono_ms();
    const bool mine = address_refusals_.take(address_group(caller.who.address), now);
    if (!mine || !all_refusals_.take("", now)) {
      left_out_.fetch_add(1);
      return;
    }
    const uint64_t before = left_out_.exchange(0);
    const Status noted = parts_.store.note(
        by(caller.who), "api_refused", request.method + " " + printable(request.path).substr(0, kMaxReasonBytes),
        what + ", " + from(caller.who, !caller.session_sha256.empty()) +
            (before == 0 ? "" : "; " + std::to_string(before) + " refusals before it are not listed"));
    if (!noted) log(LogLevel::error, "audit_not_written", noted.error().describe());
  }

  const Parts parts_;
  Authenticator access_;
  const std::shared_ptr<Readers> readers_ = std::make_shared<Readers>();
  const Router router_;  // after it: streams that go on ask it again
  Counter& refusals_;
  Budgets address_refusals_{kRefusalsAtOnce, kRefusalsPerMinute};
  Budgets all_refusals_{kAllRefusalsAtOnce, kAllRefusalsPerMinute};
  std::atomic<uint64_t> left_out_{0};
  // Last: their threads use all of the above. A long import must not hold up those who log in, and the other way round.
  WorkDesk outside_;
  WorkDesk passwords_;
  WorkDesk rules_;
  WorkDesk work_;
};

}  // namespace

Router all_routes() {
  Router router;
  for (const AddRoutes add : kRouteFiles) add(router);
  return router;
}

std::function<size_t(const net::Request& head)> body_limits(size_t otherwise, size_t import_bytes) {
  auto router = std::make_shared<const Router>(all_routes());
  return [router, otherwise, import_bytes](const net::Request& head) {
    const bool shows_credentials =
        head.peer == "unix" || head.headers.count("authorization") != 0 || head.headers.count("cookie") != 0;
    const std::optional<std::string> path = path_in_space(head.target);
    if (!shows_credentials || !path || !router->find(head.method, *path).takes_import) return otherwise;
    return std::max(otherwise, import_bytes);
  };
}

net::Handler make_api(Parts parts) {
  Counter& requests = parts.metrics.counter("firebreak_http_requests_total", "Requests to the API");
  auto api = std::make_shared<Api>(std::move(parts));
  return [api, &requests](net::Request request, std::shared_ptr<net::Responder> responder) {
    requests.add_one();
    api->take(std::move(request), std::move(responder));
  };
}

}  // namespace fb::api
