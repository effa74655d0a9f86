// Pages that the record cuts itself are what cutting the whole list gives; counts are what counting gives.
#include <algorithm>
#include <map>
#include <random>
#include <sstream>

#include "engine/record/growing_count.h"
#include "engine/record/workflow.h"
#include "tests/unit/record/record_fixture.h"

namespace fb::test {
namespace {

class Pages : public RecordTest {
 protected:
  void SetUp() override { open(); }

  // Entries of people and of rules in turn, some at the same time.
  void make_actions(int count) {
    for (int i = 0; i < 4; ++i) enroll("e" + std::to_string(i));
    int64_t offset = 0;
    for (int i = 0; i < count; ++i) {
      const std::string endpoint = "e" + std::to_string(i % 4);
      if (i % 3 == 0) {
        ASSERT_TRUE(store_->submit(request(i % 2 == 0 ? Verb::isolate : Verb::release, {endpoint})));
      } else {
        keep(batch(rule("rule-" + std::to_string(i % 5)), endpoint, offset++));
      }
      if (i % 4 == 0) clock_.advance_ms(1);
    }
  }
  // What SQLite would do, a step a line.
  std::string plan_of(const std::string& sql) {
    std::string plan;
    const auto add = [](void* to, int, char** columns, char**) {
      *static_cast<std::string*>(to) += std::string(columns[3]) + "\n";
      return 0;
    };
    sqlite3* raw = nullptr;
    EXPECT_EQ(sqlite3_open_v2(db().c_str(), &raw, SQLITE_OPEN_READONLY, nullptr), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(raw, ("EXPLAIN QUERY PLAN " + sql).c_str(), add, &plan, nullptr), SQLITE_OK);
    sqlite3_close(raw);
    return plan;
  }
  static std::vector<std::string> ids(const ResponsePage& page) {
    std::vector<std::string> list;
    for (const ResponseEntry& e : page.entries) list.push_back(e.id);
    return list;
  }
};

TEST_F(Pages, TheHistoryByTimeIsTheHistoryOfEveryFilter) {
  make_actions(60);
  ResponseFilter every;  // finds all, but looks at each
  every.commands = {"isolate", "release"};
  every.limit = 1000;
  const ResponsePage whole = store_->response_actions(every).value();
  ASSERT_GT(whole.total, 40);
  for (const std::optional<bool> by_rule : {std::optional<bool>(), std::optional(true), std::optional(false)}) {
    for (const int64_t skip : {0, 1, 7, 30, 1000}) {
      ResponseFilter direct;
      direct.automated = by_rule;
      direct.skip = skip;
      direct.limit = 9;
      direct.from_ms = whole.entries[whole.entries.size() - 3].created_at_ms;
      direct.to_ms = whole.entries[3].created_at_ms;
      ResponseFilter slow = direct;
      slow.commands = every.commands;
      const ResponsePage got = store_->response_actions(direct).value();
      const ResponsePage wanted = store_->response_actions(slow).value();
      EXPECT_EQ(ids(got), ids(wanted)) << skip;
      EXPECT_EQ(got.total, wanted.total) << skip;
      for (size_t i = 0; i < got.entries.size(); ++i) {
        EXPECT_EQ(got.entries[i].by_rule, wanted.entries[i].by_rule);
        EXPECT_EQ(got.entries[i].comment, wanted.entries[i].comment);
        EXPECT_EQ(got.entries[i].parts.size(), wanted.entries[i].parts.size());
      }
    }
  }
}

// Totals without a filter are kept and grow with the rows; they say what counting says, after every row.
TEST_F(Pages, TotalsWithoutAFilterGrowWithTheRows) {
  for (int i = 0; i < 4; ++i) enroll("e" + std::to_string(i));
  ResponseFilter every;  // looks at each
  every.commands = {"isolate", "release"};
  EXPECT_EQ(store_->response_actions({}).value().total, 0);
  EXPECT_EQ(Workflow(*store_).count({}).value(), 0);
  int64_t offset = 0;
  for (int i = 0; i < 25; ++i) {
    if (i % 3 == 0) {
      ASSERT_TRUE(store_->submit(request(i % 2 == 0 ? Verb::isolate : Verb::release, {"e1"})));
    }
    if (i % 3 != 1) keep(batch(rule("rule-" + std::to_string(i % 5)), "e" + std::to_string(i % 4), offset++));
    for (const std::optional<bool> by_rule : {std::optional<bool>(), std::optional(true), std::optional(false)}) {
      ResponseFilter direct;
      direct.automated = every.automated = by_rule;
      EXPECT_EQ(store_->response_actions(direct).value().total, store_->response_actions(every).value().total) << i;
    }
    EXPECT_EQ(Workflow(*store_).count({}).value(), offset) << i;
    AlertPick open;
    open.statuses = {"open"};
    EXPECT_EQ(Workflow(*store_).count(open).value(), offset) << i;
  }
}

// The rows hold documents: counting them all by the table itself would read the whole record.
TEST_F(Pages, TheFirstCountReadsAnIndexAndNotTheRows) {
  for (const char* sql : {record::kAlertsCounted.all, record::kActionsByRulesCounted.all}) {
    const std::string plan = plan_of(sql);
    EXPECT_NE(plan.find("SCAN a"), std::string::npos) << sql << ": " << plan;
    std::istringstream lines(plan);
    for (std::string step; std::getline(lines, step);) {
      EXPECT_TRUE(!step.starts_with("SCAN a") || step.find(" INDEX ") != std::string::npos) << sql << ": " << step;
    }
  }
}

// What people ask for moves the number on, too: else each page would read it again.
TEST_F(Pages, ActionsOfPeopleAreCountedOnce) {
  for (int i = 0; i < 4; ++i) enroll("e" + std::to_string(i));
  auto sqlite = record::Sqlite::open(db(), record::Sqlite::Open::read_only, 1000).value();
  record::GrowingCount count(record::kActionsByRulesCounted);
  ASSERT_TRUE(store_->submit(request(Verb::isolate, {"e0"})));
  EXPECT_EQ(count.count(*sqlite).value(), 0);
  EXPECT_EQ(count.last(), 1);
  keep(batch(rule("r"), "e1", 0));
  ASSERT_TRUE(store_->submit(request(Verb::release, {"e0"})));
  EXPECT_EQ(count.count(*sqlite).value(), 1);
  EXPECT_EQ(count.last(), 3);
}

TEST_F(Pages, TheHistoryOfAnIdOrAnEndpointIsCutOutOfTheWhole) {
  make_actions(40);
  ResponseFilter every;
  every.limit = 1000;
  const ResponsePage whole = store_->response_actions(every).value();
  for (const ResponseEntry& e : whole.entries) {
    ResponseFilter one;
    one.ids = {e.id, "none"};
    const ResponsePage got = store_->response_actions(one).value();
    EXPECT_EQ(ids(got), std::vector<std::string>{e.id});
    EXPECT_EQ(got.total, 1);
  }
  for (int i = 0; i < 4; ++i) {
    const std::string endpoint = "e" + std::to_string(i);
    std::vector<std::string> wanted;
    for (const ResponseEntry& e : whole.entries) {
      const bool has =
          std::any_of(e.parts.begin(), e.parts.end(), [&](const ResponsePart& p) { return p.endpoint_id == endpoint; });
      if (has) wanted.push_back(e.id);
    }
    ResponseFilter of;
    of.endpoint_ids = {endpoint};
    of.limit = 1000;
    EXPECT_EQ(ids(store_->response_actions(of).value()), wanted) << endpoint;
  }
}

TEST_F(Pages, EndpointsComeInOrderAndAlikeOnesByTheirIds) {
  std::mt19937 random(3);
  for (int i = 0; i < 40; ++i) {
    EndpointReport r = agent("e" + std::to_string(random() % 1'000'000));
    r.hostname = "h" + std::to_string(random() % 5);
    r.os = random() % 2 == 0 ? "linux" : "windows";
    ASSERT_TRUE(enrol(*store_, r, hex(sha256("credential " + std::to_string(i)))));
    if (i % 3 == 0) clock_.advance_ms(10);
  }
  std::vector<EndpointDetails> all = store_->endpoint_details({}).value();
  using Order = EndpointPick::Order;
  const std::map<Order, std::function<std::string(const EndpointDetails&)>> keys{
      {Order::enrolled_at, [](const EndpointDetails& d) { return iso8601(d.enrolled_at_ms); }},
      {Order::last_seen, [](const EndpointDetails& d) { return iso8601(d.endpoint.last_seen_ms); }},
      {Order::hostname, [](const EndpointDetails& d) { return d.endpoint.hostname; }},
      {Order::os, [](const EndpointDetails& d) { return d.endpoint.os; }}};
  for (const auto& [order, key] : keys) {
    for (const bool descending : {false, true}) {
      std::stable_sort(all.begin(), all.end(), [](const EndpointDetails& a, const EndpointDetails& b) {
        return a.endpoint.endpoint_id < b.endpoint.endpoint_id;
      });
      std::stable_sort(all.begin(), all.end(), [&, &of = key](const EndpointDetails& a, const EndpointDetails& b) {
        return descending ? of(b) < of(a) : of(a) < of(b);
      });
      const EndpointPage page = store_->endpoint_page({order, descending, 7, 5}).value();
      EXPECT_EQ(page.total, static_cast<int64_t>(all.size()));
      ASSERT_EQ(page.endpoints.size(), 7u);
      for (size_t i = 0; i < 7; ++i) {
        EXPECT_EQ(page.endpoints[i].endpoint.endpoint_id, all[i + 5].endpoint.endpoint_id);
      }
      EXPECT_TRUE(store_->endpoint_page({order, descending, 10, 4000}).value().endpoints.empty());
    }
  }
}

TEST_F(Pages, AlertsAreCountedAsTheyAreListed) {
  for (int i = 0; i < 60; ++i) {
    BatchOutcome b = batch(rule("rule-" + std::to_string(i % 3)), "e", i);
    b.planned.clear();
    b.alerts[0].read_time_ms = 1'700'000'000'000 + i * 1000;
    keep(b);
  }
  Workflow work(*store_);
  std::vector<std::string> all;
  ASSERT_TRUE(work.each({}, [&](const AlertView& a) {
    all.push_back(a.alert_id);
    return true;
  }));
  ASSERT_TRUE(work.set_status({all[0], all[7], all[9]}, "closed", "", "user:ada"));
  ASSERT_TRUE(work.set_status({all[1], all[7]}, "acknowledged", "", "user:ada"));
  ASSERT_TRUE(work.set_status({all[9]}, "open", "", "user:ada"));
  for (const std::vector<std::string>& statuses : std::vector<std::vector<std::string>>{
           {}, {"open"}, {"closed"}, {"acknowledged"}, {"open", "closed"}, {"closed", "acknowledged"}}) {
    for (const std::vector<std::string>& rules :
         std::vector<std::vector<std::string>>{{}, {"rule-1"}, {"rule-0", "rule-2", "rule-9"}}) {
      for (const bool bounded : {false, true}) {
        AlertPick pick;
        pick.statuses = statuses;
        pick.rule_ids = rules;
        if (bounded) {
          pick.from_ms = 1'700'000'005'000;
          pick.to_ms = 1'700'000'057'000;
        }
        int64_t listed = 0;
        ASSERT_TRUE(work.each(pick, [&](const AlertView&) { return ++listed > 0; }));
        EXPECT_EQ(work.count(pick).value(), listed) << statuses.size() << " " << rules.size() << " " << bounded;
      }
    }
  }
}

}  // namespace
}  // namespace fb::test
