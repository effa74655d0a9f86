// The exception routes over a record in memory, asked as their handlers are, without a server.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "api/api.h"
#include "api/router.h"
#include "apps/firebreak/isolation_policy.h"
#include "engine/base/json.h"
#include "engine/base/metrics.h"
#include "engine/record/exceptions.h"
#include "tests/support/fake_clock.h"
#include "tests/support/openapi.h"
#include "tests/unit/record/record_fixture.h"

namespace fb::test {

using Json = nlohmann::ordered_json;
using Query = std::map<std::string, std::string>;

inline constexpr const char* kList = "endpoint_host_isolation_exceptions";
inline const Query kAgnosticList = {{"list_id", kList}, {"namespace_type", "agnostic"}};

class ExceptionsTest : public testing::Test {
 protected:
  ExceptionsTest() {
    StoreOptions options;
    options.data_dir = dir_.path() + "/data";
    options.clock = &clock_;
    options.judge = &judge_;
    options.open_addresses_changed = [this] {
      ++told_;
      policies_.changed();
    };
    auto store = Store::open(options);
    if (!store) throw std::runtime_error(store.error().describe());
    store_ = std::move(*store);
    policies_.use(*store_);
    api::IsolationControl isolation;
    isolation.fit_in = [this](const std::vector<OpenAddress>& items, bool emptied) {
      return policies_.fit_in(items, emptied);
    };
    isolation.leaves_open = [this](const std::string& id, const std::string& address) {
      return policies_.leaves_open(id, address);
    };
    isolation.wanted_digest = [this](const std::string& id) { return policies_.of(id)->digest; };
    parts_ = std::make_unique<api::Parts>(api::Parts{.store = *store_,
                                                     .clock = clock_,
                                                     .metrics = metrics_,
                                                     .wake_dispatcher = [] {},
                                                     .health = [] { return std::vector<api::PartHealth>(); },
                                                     .refresh_gauges = [] {},
                                                     .service_version = "test",
                                                     .ca_fingerprint = "",
                                                     .new_token = [] { return std::string(); },
                                                     .token_hash = [](const std::string& t) { return t; },
                                                     .isolation = isolation});
  }

  struct Answer {
    int status = 0;
    Json body;
    std::string text;
  };
  Answer ask(const std::string& method, const std::string& path, const Query& query = {}, const std::string& body = "",
             const std::string& person = "elastic", const std::map<std::string, std::string>& headers = {}) {
    const api::Router::Match match = router_.find(method, path);
    if (match.handle == nullptr) throw std::runtime_error("no route " + method + " " + path);
    net::Request request;
    request.method = method;
    request.path = path;
    request.query = query;
    request.body = body;
    request.headers = headers;
    Principal who;
    who.person = person;
    who.roles = {Role::admin};
    who.scopes = scopes_;
    const net::Response r = (*match.handle)(api::Call{request, match.params, who, *parts_});
    fb::test::expect_described(request, r);
    return {r.status, Json::parse(r.body, nullptr, false), r.body};
  }

  static Json list_body() {
    return {
        {"description", "d"}, {"name", "n"}, {"list_id", kList}, {"type", "endpoint"}, {"namespace_type", "agnostic"}};
  }
  static Json item_body(const std::string& address, const std::string& item_id = "") {
    Json body{
        {"description", "d"},
        {"entries", {{{"field", "destination.ip"}, {"value", address}, {"type", "match"}, {"operator", "included"}}}},
        {"list_id", kList},
        {"name", "n"},
        {"namespace_type", "agnostic"},
        {"os_types", {"linux", "macos", "windows"}},
        {"tags", {"policy:all"}},
        {"type", "simple"}};
    if (!item_id.empty()) body["item_id"] = item_id;
    return body;
  }
  void make_list() { ASSERT_EQ(ask("POST", "/api/exception_lists", {}, list_body().dump()).status, 200); }
  Answer add(const Json& body, const std::string& person = "elastic") {
    return ask("POST", "/api/exception_lists/items", {}, body.dump(), person);
  }
  Answer change(const Json& body, const std::string& person = "elastic") {
    return ask("PUT", "/api/exception_lists/items", {}, body.dump(), person);
  }
  Answer read(const std::string& item_id) {
    return ask("GET", "/api/exception_lists/items", {{"item_id", item_id}, {"namespace_type", "agnostic"}});
  }
  Answer find(Query query) {
    query.insert(kAgnosticList.begin(), kAgnosticList.end());
    return ask("GET", "/api/exception_lists/items/_find", query);
  }

  TempDir dir_;
  FakeClock clock_;
  ScriptedJudge judge_;
  Metrics metrics_;
  int told_ = 0;
  std::vector<Privilege> scopes_;  // none: all of an admin's
  cli::IsolationPolicies policies_{endpoint::CutPolicy{}, clock_};
  std::unique_ptr<Store> store_;
  std::unique_ptr<api::Parts> parts_;
  const api::Router router_ = api::all_routes();
};

}  // namespace fb::test
