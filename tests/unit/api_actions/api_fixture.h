// Calls routes as the API does once it knows who asks, over a real record.
#pragma once

#include "api/api.h"
#include "api/router.h"
#include "engine/base/json.h"
#include "engine/base/metrics.h"
#include "tests/support/openapi.h"
#include "tests/unit/record/record_fixture.h"

namespace fb::test {

using Json = nlohmann::json;

class ApiTest : public RecordTest {
 protected:
  void SetUp() override {
    judge_.answer = [](const PlannedAction& action, Ledger& ledger, int64_t now) -> Result<Judgement> {
      if (action.approved) return ScriptedJudge::passes();  // the open action is itself
      FB_TRY(const auto facts, ledger.endpoint(action.endpoint_id));
      if (facts.is_protected && action.verb == Verb::isolate && action.override_protected && !action.approved) {
        return ScriptedJudge::says(Verdict::awaiting_approval, Guard::protected_endpoint, "a second person must agree");
      }
      return join_open(action, ledger, now);
    };
    StoreOptions o = options();
    o.protected_hosts = {"dc-1"};
    open(o);
    parts_ = std::make_unique<api::Parts>(
        api::Parts{*store_, clock_, metrics_, [this] { ++woken_; }, [] { return std::vector<api::PartHealth>(); },
                   [] {}, "1", "", [] { return std::string(); }, [](const std::string& token) { return token; }});
  }

  struct Answer {
    int status = 0;
    Json body;
    net::Response raw;
  };
  Answer call(const std::string& method, const std::string& target, const Json& body = nullptr,
              const std::map<std::string, std::string>& headers = {}) {
    net::Request request;
    request.method = method;
    request.target = target;
    request.path = target.substr(0, target.find('?'));
    request.headers = headers;
    if (!body.is_null()) request.body = body.is_string() ? body.get<std::string>() : body.dump();
    const api::Router::Match match = routes_.find(method, request.path);
    Answer answer;
    if (match.handle == nullptr) {
      ADD_FAILURE() << "no route " << method << " " << target;
      return answer;
    }
    asked_ = match.privilege;
    Principal who;
    who.person = person_;
    who.roles = {Role::admin};
    answer.raw = (*match.handle)(api::Call{request, match.params, who, *parts_});
    expect_described(request, answer.raw);
    answer.status = answer.raw.status;
    answer.body = Json::parse(answer.raw.body, nullptr, false);
    return answer;
  }
  Answer post(const std::string& target, const Json& body, const std::map<std::string, std::string>& headers = {}) {
    return call("POST", target, body, headers);
  }
  Answer get(const std::string& target) { return call("GET", target); }

  // The open action of a request on its only endpoint.
  std::string action_of(const Json& data) {
    return data["firebreak"]["endpoints"].begin().value()["action_id"].get<std::string>();
  }

  Metrics metrics_;
  int woken_ = 0;
  std::string person_ = "ada";
  std::optional<Privilege> asked_;
  std::unique_ptr<api::Parts> parts_;
  api::Router routes_ = api::all_routes();
};

}  // namespace fb::test
