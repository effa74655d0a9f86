// The rule routes over a record, a rule book with one file, and a fake clock.
#pragma once

#include <fstream>

#include "api/api.h"
#include "api/exceptions/rule_item.h"
#include "api/router.h"
#include "api/rules/desk.h"
#include "engine/base/json.h"
#include "tests/support/openapi.h"
#include "tests/unit/record/record_fixture.h"

namespace fb::api {
void add_rules_routes(Router& router);
void add_rules_bulk_routes(Router& router);
void add_rules_many_routes(Router& router);
void add_rules_preview_routes(Router& router);

using Json = nlohmann::ordered_json;

class RulesApi : public test::RecordTest {
 protected:
  void SetUp() override {
    open();
    std::filesystem::create_directories(dir_.path() + "/rules");
    std::ofstream(dir_.path() + "/rules/a.yml") << R"(rule_id: from-a-file
name: File rule
description: d
risk_score: 21
severity: low
type: query
query: 'process.name: "evil.exe"'
tags: [files]
)";
    restart();
    add_rules_routes(router_);
    add_rules_bulk_routes(router_);
    add_rules_many_routes(router_);
    add_rules_preview_routes(router_);
  }

  // The service's start: file rules, then those of the record.
  std::vector<std::string> restart() {
    RuleBookOptions options;
    options.paths = {dir_.path() + "/rules"};
    options.lists = record_lists(*store_);
    book_ = std::make_unique<RuleBook>(options);
    EXPECT_TRUE(book_->reload().swapped);
    desk_ = std::make_unique<RuleDesk>(*store_, *book_, clock_);
    return desk_->load().value();
  }

  net::Response call(const std::string& method, const std::string& path, const Json& body = Json(),
                     std::map<std::string, std::string> query = {}) {
    return send(method, path, body.is_null() ? "" : body.dump(), std::move(query), {});
  }
  net::Response send(const std::string& method, const std::string& path, const std::string& body,
                     std::map<std::string, std::string> query, std::map<std::string, std::string> headers) {
    net::Request request;
    request.method = method;
    request.path = path;
    request.target = path;
    for (const auto& [key, value] : query) request.target += (request.target == path ? "?" : "&") + key + "=" + value;
    request.query = std::move(query);
    request.headers = std::move(headers);
    request.body = body;
    const Router::Match match = router_.find(method, path);
    EXPECT_NE(match.handle, nullptr) << method << " " << path;
    Principal who;
    who.person = "ada";
    who.roles = roles_;
    who.scopes = scopes_;
    Parts parts{*store_, clock_, metrics_, [] {}, {}, {}, "1", "", {}, {}};
    parts.rules = desk_.get();
    parts.past_events = past_events_;
    net::Response answer = (*match.handle)(Call{request, match.params, who, parts});
    test::expect_described(request, answer);
    return answer;
  }
  static Json rule(const std::string& id) {
    return Json{{"rule_id", id},
                {"name", "Rule " + id},
                {"description", "d"},
                {"risk_score", 50},
                {"severity", "medium"},
                {"type", "query"},
                {"query", "process.name: \"" + id + ".exe\""}};
  }
  static Json parsed(const net::Response& r) { return Json::parse(r.body); }
  size_t running() const { return book_->current()->rules().size(); }

  static constexpr const char* kRules = "/api/detection_engine/rules";
  std::vector<Role> roles_ = {Role::admin};
  std::vector<Privilege> scopes_;  // of the key; none: as the roles have it
  Metrics metrics_;
  Router router_;
  std::unique_ptr<RuleBook> book_;
  std::unique_ptr<RuleDesk> desk_;
  PastEvents past_events_;
};

}  // namespace fb::api
