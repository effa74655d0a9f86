#include "actions/endpoint/envelope.h"
#include "tests/support/enrol.h"
#include "tests/unit/exceptions/exceptions_fixture.h"

namespace fb::test {
namespace {

class IsolationPoliciesTest : public ExceptionsTest {
 protected:
  void enroll(const std::string& id, const std::string& os) {
    EndpointReport r;
    r.endpoint_id = id;
    r.host_id = "host-" + id;
    r.hostname = id;
    r.os = os;
    r.at_ms = clock_.wall_ms();
    ASSERT_TRUE(enrol(*store_, r, "hash-" + id));
    policies_.changed();
  }
  void seen_isolated(const std::string& id, const std::string& os, const std::string& digest) {
    EndpointReport r;
    r.endpoint_id = id;
    r.host_id = "host-" + id;
    r.hostname = id;
    r.os = os;
    r.observed = Isolation::isolated;
    r.policy_digest = digest;
    r.at_ms = clock_.wall_ms();
    ASSERT_TRUE(store_->seen(r));
  }
  std::vector<std::string> open(const std::string& id) { return policies_.of(id)->policy.exceptions; }
};

using Addresses = std::vector<std::string>;

TEST_F(IsolationPoliciesTest, AnItemReachesTheEndpointsItIsFor) {
  make_list();
  EndpointPolicy servers;
  servers.id = "servers";
  servers.name = "Servers";
  ASSERT_TRUE(store_->add_policy(servers, "user:x"));
  enroll("lin", "linux");
  enroll("win", "windows");
  enroll("srv", "linux");
  ASSERT_TRUE(store_->assign_policy({"srv"}, "servers", "user:x"));
  EXPECT_EQ(open("lin"), Addresses{});
  ASSERT_EQ(add(item_body("10.10.0.1", "all")).status, 200);
  EXPECT_EQ(open("lin"), Addresses{"10.10.0.1"});
  EXPECT_EQ(open("win"), Addresses{"10.10.0.1"});
  Json body = item_body("10.20.0.0/16", "one");
  body["tags"] = {"policy:servers"};
  ASSERT_EQ(add(body).status, 200);
  EXPECT_EQ(open("lin"), Addresses{"10.10.0.1"});
  EXPECT_EQ(open("srv"), (Addresses{"10.10.0.1", "10.20.0.0/16"}));
  // The API takes items for all platforms only; the record may hold others.
  ExceptionRow linux_only = **store_->exceptions().item(true, ExceptionStore::By::human_id, "all");
  linux_only.id = linux_only.item_id = "linux";
  linux_only.opens = OpenAddress{"linux", "10.30.0.1", {"linux"}, {"all"}, 0};
  ASSERT_TRUE(store_->exceptions().add_items({linux_only}, "user:x"));
  EXPECT_EQ(open("lin"), (Addresses{"10.10.0.1", "10.30.0.1"}));
  EXPECT_EQ(open("win"), Addresses{"10.10.0.1"});
  body = item_body("10.10.0.1", "all");
  body.erase("tags");  // for nobody from now on
  const int before = told_;
  ASSERT_EQ(change(body).status, 200);
  EXPECT_GT(told_, before);
  EXPECT_EQ(open("win"), Addresses{});
  ASSERT_TRUE(store_->assign_policy({"win"}, "servers", "user:x"));
  EXPECT_EQ(open("win"), Addresses{"10.20.0.0/16"});
  ASSERT_EQ(ask("DELETE", "/api/exception_lists", kAgnosticList).status, 200);
  EXPECT_EQ(open("srv"), Addresses{});
}

TEST_F(IsolationPoliciesTest, AnExpiredItemIsNoLongerOpen) {
  make_list();
  enroll("lin", "linux");
  Json body = item_body("10.10.0.1", "one");
  body["expire_time"] = iso8601(clock_.wall_ms() + 5000);
  ASSERT_EQ(add(body).status, 200);
  EXPECT_EQ(open("lin"), Addresses{"10.10.0.1"});
  clock_.advance_ms(5001);
  EXPECT_EQ(open("lin"), Addresses{});
}

TEST_F(IsolationPoliciesTest, TheConfigIsKeptAndMergedWithTheItems) {
  endpoint::CutPolicy config;
  config.exceptions = {"192.0.2.0/25"};
  config.message = "m";
  policies_.replace_config(config);
  make_list();
  enroll("lin", "linux");
  ASSERT_EQ(add(item_body("192.0.2.128/25")).status, 200);
  const endpoint::CutPolicy p = policies_.of("lin")->policy;
  EXPECT_EQ(p.exceptions, Addresses{"192.0.2.0/24"});
  EXPECT_EQ(p.message, "m");
  EXPECT_EQ(policies_.of("lin")->digest, endpoint::digest(p));
  EXPECT_EQ(policies_.of("nobody")->policy.exceptions, Addresses{"192.0.2.0/25"}) << "of no platform";
}

TEST_F(IsolationPoliciesTest, AllTogetherMayNotUndoAnIsolation) {
  make_list();
  EndpointPolicy servers;
  servers.id = "servers";
  servers.name = "Servers";
  ASSERT_TRUE(store_->add_policy(servers, "user:x"));
  ASSERT_EQ(add(item_body("10.0.0.0/8", "one")).status, 200);
  ASSERT_EQ(add(item_body("20.0.0.0/8", "two")).status, 200);
  const Answer third = add(item_body("30.0.0.0/8", "three"));
  EXPECT_EQ(third.status, 400);
  EXPECT_NE(third.body.value("message", "").find("together"), std::string::npos) << third.text;
  EXPECT_EQ(add(item_body("10.1.2.3", "inside")).status, 200) << "within what is open already";
  // For another policy there is room when the first two are not for all.
  for (const char* id : {"one", "two"}) {
    Json body = item_body(id == std::string("one") ? "10.0.0.0/8" : "20.0.0.0/8", id);
    body["tags"] = {"policy:default"};
    ASSERT_EQ(change(body).status, 200);
  }
  Json body = item_body("30.0.0.0/8", "three");
  body["tags"] = {"policy:servers"};
  EXPECT_EQ(add(body).status, 200);
  body["tags"] = {"policy:servers", "policy:default"};
  EXPECT_EQ(change(body).status, 400);
  // A config that leaves less room later: the newest items are left out, not all of them.
  enroll("lin", "linux");
  endpoint::CutPolicy config;
  config.exceptions = {"40.0.0.0/8"};
  policies_.replace_config(config);
  EXPECT_EQ(open("lin"), (Addresses{"10.0.0.0/8", "40.0.0.0/8"}));
}

TEST_F(IsolationPoliciesTest, SeveralAreJudgedTogether) {
  make_list();
  ASSERT_EQ(add(item_body("10.0.0.0/8", "standing")).status, 200);
  const auto item = [](const std::string& id, const std::string& address, const std::string& policy = "all") {
    return OpenAddress{id, address, {"linux", "macos", "windows"}, {policy}, 0};
  };
  const std::vector<OpenAddress> items = {item("a", "20.0.0.0/8"), item("b", "30.0.0.0/8"), item("c", "10.1.0.0/16"),
                                          item("d", "nonsense"),   item("e", "40.0.0.0/8"), item("f", "20.0.0.1")};
  const auto fit = [](const std::vector<Status>& verdicts) {
    std::string all;
    for (const Status& s : verdicts) all += s ? 'y' : s.error().code == ErrorCode::refused ? 'r' : '-';
    return all;
  };
  EXPECT_EQ(fit(policies_.fit_in(items, false)), "yry-ry");
  EXPECT_EQ(fit(policies_.fit_in(items, true)), "yyr-ry") << "the two /8 are all there is room for";
  EXPECT_EQ(fit(policies_.fit_in({item("x", "20.0.0.0/8", "default"), item("y", "30.0.0.0/8", "servers")}, false)),
            "yy")
      << "each for another policy";
}

TEST_F(IsolationPoliciesTest, WhatIsLeftOutIsToldAsThat) {
  make_list();
  enroll("a", "linux");
  ASSERT_EQ(add(item_body("10.0.0.0/8", "one")).status, 200);
  ASSERT_EQ(add(item_body("20.0.0.0/8", "two")).status, 200);
  endpoint::CutPolicy config;
  config.exceptions = {"40.0.0.0/8"};
  policies_.replace_config(config);
  seen_isolated("a", "linux", policies_.of("a")->digest);
  EXPECT_EQ(ask("GET", "/api/firebreak/exceptions/one/status").body["applied"], 1);
  const Answer two = ask("GET", "/api/firebreak/exceptions/two/status");
  EXPECT_EQ(two.body["applied"], 0) << two.text;
  EXPECT_EQ(two.body["left_out"], 1);
  EXPECT_EQ(two.body["endpoints"][0]["state"], "left_out");
}

TEST_F(IsolationPoliciesTest, TheApiTellsWhoHasAppliedAnItem) {
  make_list();
  enroll("a", "linux");
  enroll("b", "windows");
  enroll("c", "macos");
  ASSERT_EQ(add(item_body("10.10.0.1", "one")).status, 200);
  seen_isolated("a", "linux", policies_.of("a")->digest);
  seen_isolated("b", "windows", "another");
  const Answer a = ask("GET", "/api/firebreak/exceptions/one/status");
  ASSERT_EQ(a.status, 200) << a.text;
  EXPECT_EQ(a.body["applies_to"], 3);
  EXPECT_EQ(a.body["applied"], 1);
  EXPECT_EQ(a.body["pending"], 1);
  EXPECT_EQ(a.body["endpoints"][0]["state"], "applied");
  EXPECT_EQ(a.body["endpoints"][1]["state"], "pending");
  EXPECT_EQ(a.body["endpoints"][2]["state"], "not_isolated");
  EXPECT_EQ(ask("GET", "/api/firebreak/exceptions/two/status").status, 404);
}

}  // namespace
}  // namespace fb::test
