// What people and the API read: the views' columns, the JSON lines, filters, the audit's check.
#include <random>

#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/record/ledger.h"
#include "engine/record/sqlite.h"
#include "tests/support/enrol.h"
#include "tests/unit/record/record_fixture.h"

namespace fb::test {
namespace {

class Queries : public RecordTest {
 protected:
  std::unique_ptr<record::Reader> reader() {
    auto r = record::Reader::open(db());
    EXPECT_TRUE(r) << r.error().describe();
    return std::move(*r);
  }
  std::vector<std::string> keys(const std::string& line) {
    EXPECT_EQ(line.find('\n'), std::string::npos);
    const auto object = nlohmann::ordered_json::parse(line);
    std::vector<std::string> list;
    for (const auto& [key, value] : object.items()) list.push_back(key);
    return list;
  }
  std::string columns(const std::string& view) {
    return ask("SELECT group_concat(name, ' ') FROM pragma_table_info('" + view + "')");
  }
};

TEST_F(Queries, ViewsHaveExactlyTheirColumns) {
  open();
  EXPECT_EQ(columns("v_alerts"),
            "alert_id rule_id rule_name severity risk_score endpoint_id timestamp topic partition offset doc");
  EXPECT_EQ(
      columns("v_actions"),
      "action_id request_id alert_id rule_id command endpoint_id comment status verdict guard requested_by created_at "
      "dispatched_at finished_at");
  EXPECT_EQ(columns("v_endpoints"),
            "endpoint_id host_id hostname os agent_status desired observed generation lease_until last_seen");
}

TEST_F(Queries, JsonLinesHaveTheViewsKeys) {
  open();
  enroll("ep-1");
  const BatchOutcome b = batch(rule("r1"), "ep-1", 0);
  keep(b);
  auto r = reader();
  const auto alerts = r->alerts().value();
  const auto actions = r->actions().value();
  const auto endpoints = r->endpoints().value();
  ASSERT_EQ(alerts.size(), 1u);
  ASSERT_EQ(actions.size(), 1u);
  ASSERT_EQ(endpoints.size(), 1u);
  EXPECT_EQ(keys(json_line(alerts[0])),
            (std::vector<std::string>{"alert_id", "rule_id", "rule_name", "severity", "risk_score", "endpoint_id",
                                      "timestamp", "topic", "partition", "offset", "doc"}));
  EXPECT_EQ(keys(json_line(actions[0])),
            (std::vector<std::string>{"action_id", "request_id", "alert_id", "rule_id", "command", "endpoint_id",
                                      "comment", "status", "verdict", "guard", "requested_by", "created_at",
                                      "dispatched_at", "finished_at"}));
  EXPECT_EQ(keys(json_line(endpoints[0])),
            (std::vector<std::string>{"endpoint_id", "host_id", "hostname", "os", "agent_status", "desired", "observed",
                                      "generation", "lease_until", "last_seen"}));
  const auto a = nlohmann::json::parse(json_line(alerts[0]));
  EXPECT_EQ(a["timestamp"], "2023-11-14T22:13:20.123Z");
  EXPECT_EQ(a["doc"]["agent"]["id"], "ep-1");
  EXPECT_EQ(a["offset"], 0);
  const auto c = nlohmann::json::parse(json_line(actions[0]));
  EXPECT_EQ(c["command"], "isolate");
  EXPECT_EQ(c["created_at"], iso8601(clock_.wall_ms()));
  EXPECT_TRUE(c["dispatched_at"].is_null());
  EXPECT_EQ(c["alert_id"], b.alerts[0].alert_id);
  EXPECT_TRUE(nlohmann::json::parse(json_line(endpoints[0]))["lease_until"].is_null());
  EXPECT_EQ(r->alert_source(b.alerts[0].alert_id).value(), b.alerts[0].source);
}

// What is read from the tables at once is what the views tell.
TEST_F(Queries, RowsAreThoseOfTheViews) {
  open();
  for (const char* id : {"a", "b"}) enroll(id);
  keep(batch(rule("r1"), "a", 0));
  keep(batch(rule("r2"), "unknown-agent", 1));
  clock_.advance_ms(1234);
  ASSERT_TRUE(store_->submit(request(Verb::release, {"b"}, "user:bob")));
  auto r = reader();
  const auto actions = r->actions().value();
  ASSERT_GE(actions.size(), 3u);
  for (const auto& row : actions) {
    const std::string of_view =
        ask("SELECT json_object('action_id', action_id, 'request_id', request_id, 'alert_id', alert_id, 'rule_id', "
            "rule_id, 'command', command, 'endpoint_id', endpoint_id, 'comment', comment, 'status', status, 'verdict', "
            "verdict, 'guard', guard, 'requested_by', requested_by, 'created_at', created_at, 'dispatched_at', "
            "dispatched_at, 'finished_at', finished_at) FROM v_actions WHERE action_id = '" +
            row.action_id + "'");
    EXPECT_EQ(nlohmann::json::parse(json_line(row)), nlohmann::json::parse(of_view));
  }
  const auto endpoints = r->endpoints().value();
  ASSERT_EQ(endpoints.size(), 2u);
  for (const auto& row : endpoints) {
    const std::string of_view =
        ask("SELECT json_object('endpoint_id', endpoint_id, 'host_id', host_id, 'hostname', hostname, 'os', os, "
            "'agent_status', agent_status, 'desired', desired, 'observed', observed, 'generation', generation, "
            "'lease_until', lease_until, 'last_seen', last_seen) FROM v_endpoints WHERE endpoint_id = '" +
            row.endpoint_id + "'");
    EXPECT_EQ(nlohmann::json::parse(json_line(row)), nlohmann::json::parse(of_view));
  }
}

// A list is read without a tree where it is written plainly; what comes out is what the tree holds.
TEST(StringList, AgreesWithTheTree) {
  std::mt19937 random(11);
  const auto pick = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  const char* const pieces[] = {"[",    "]", "\"", ",",    "a",  "b c", "\\",    "\\u0041", "\\\"", "\xc3\xa9",
                                "\xff", " ", "1",  "null", "{}", "\n",  "\"x\"", "\"\"",    "[]",   "\"y\",\"z\""};
  size_t filled = 0;
  for (int i = 0; i < 50'000; ++i) {
    std::string text = pick(4) == 0 ? "" : "[";
    for (size_t n = pick(6); n > 0; --n) text += pieces[pick(std::size(pieces))];
    if (pick(4) != 0) text += ']';
    std::vector<std::string> wanted;
    const auto tree = nlohmann::json::parse(text, nullptr, false);
    if (tree.is_array()) {
      for (const auto& item : tree) {
        if (item.is_string()) wanted.push_back(item.get<std::string>());
      }
    }
    ASSERT_EQ(record::string_list(text), wanted) << text;
    filled += wanted.empty() ? 0 : 1;
  }
  EXPECT_GT(filled, 250u);
  for (const std::vector<std::string>& list :
       {std::vector<std::string>{}, {""}, {"a", "b"}, {"\"", "\\", "\n", "\x01"}, {"\xc3\xa9"}, {"a,b", "[c]"}}) {
    EXPECT_EQ(record::string_list_json(list), nlohmann::json(list).dump());
    EXPECT_EQ(record::string_list(record::string_list_json(list)), list);
  }
}

TEST_F(Queries, DocumentOverSeveralLinesAndHostileTextStayOneLine) {
  open();
  BatchOutcome b;
  b.alerts = {alert(rule("r1"), "ep\n\x1b[31m", 0)};
  b.alerts[0].doc = "{\n \"a\": 12345678901234567890123,\r\n \"b\": \"x\\ny\"}";
  b.advances = {advance(0, 1)};
  keep(b);
  const std::string line = json_line(reader()->alerts().value().front());
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(line.find('\x1b'), std::string::npos);
  EXPECT_NE(line.find("12345678901234567890123"), std::string::npos) << "numbers stay as they were";
  EXPECT_EQ(nlohmann::json::parse(line)["doc"]["b"], "x\ny");
}

TEST_F(Queries, TimesOfTheViewsAreThoseOfTheClock) {
  open();
  int64_t offset = 0;
  for (const int64_t ms : {int64_t{1}, int64_t{999}, int64_t{1'000}, int64_t{1'700'000'000'001},
                           int64_t{1'700'000'000'999}, int64_t{-1}, int64_t{253'402'300'799'999}}) {
    BatchOutcome b;
    b.alerts = {alert(rule("r1"), "ep-1", offset)};
    b.alerts[0].event_time_ms = ms;
    b.advances = {advance(offset, offset + 1)};
    keep(b);
    EXPECT_EQ(ask("SELECT timestamp FROM v_alerts WHERE \"offset\" = " + std::to_string(offset)), iso8601(ms)) << ms;
    ++offset;
  }
  BatchOutcome b;
  b.alerts = {alert(rule("r1"), "ep-1", offset), alert(rule("r1"), "ep-1", offset + 1)};
  b.alerts[0].event_time_ms = 0;  // unknown: when it was read
  b.alerts[1].event_time_ms = INT64_MAX;
  b.advances = {advance(offset, offset + 2)};
  keep(b);
  const auto rows = reader()->alerts().value();
  for (const record::AlertRow& row : rows) {
    const std::string of_view =
        ask("SELECT coalesce(timestamp, 'none') FROM v_alerts WHERE \"offset\" = " + std::to_string(row.offset));
    EXPECT_EQ(row.timestamp.value_or("none"), of_view);
  }
  EXPECT_EQ(rows[1].timestamp, iso8601(b.alerts[0].read_time_ms));
  EXPECT_FALSE(rows[0].timestamp.has_value());
  EXPECT_TRUE(nlohmann::json::parse(json_line(rows[0]))["timestamp"].is_null());
}

TEST_F(Queries, FiltersAndPages) {
  open();
  for (const char* id : {"a", "b", "c"}) enroll(id);
  int64_t offset = 0;
  for (const char* id : {"a", "b", "c"}) {
    keep(batch(rule("r1"), id, offset++));
    clock_.advance_ms(1000);
  }
  ASSERT_TRUE(store_->submit(request(Verb::release, {"a"}, "user:bob")));
  auto r = reader();
  record::ActionFilter f;
  EXPECT_EQ(r->actions(f).value().front().command, "release") << "newest first";
  f.commands = {"isolate"};
  EXPECT_EQ(r->count_actions(f).value(), 3);
  f.endpoint_ids = {"a", "b"};
  EXPECT_EQ(r->count_actions(f).value(), 2);
  f.statuses = {"superseded"};
  ASSERT_EQ(r->actions(f).value().size(), 1u);
  EXPECT_EQ(r->actions(f).value()[0].endpoint_id, "a");
  f = {};
  f.requested_by = {"user:bob"};
  EXPECT_EQ(r->count_actions(f).value(), 1);
  f = {};
  f.rule_id = "r1";
  f.limit = 2;
  f.skip = 2;
  EXPECT_EQ(r->actions(f).value().size(), 1u);
  EXPECT_EQ(r->count_actions(f).value(), 3);
  f = {};
  f.from_ms = 1'700'000'000'000 + 1000;
  f.to_ms = 1'700'000'000'000 + 2000;
  ASSERT_EQ(r->actions(f).value().size(), 1u);
  EXPECT_EQ(r->actions(f).value()[0].endpoint_id, "b");
  f = {};
  f.action_ids = {"' OR 1=1 --"};
  EXPECT_EQ(r->count_actions(f).value(), 0);
  record::AlertFilter g;
  g.endpoint_id = "b";
  ASSERT_EQ(r->alerts(g).value().size(), 1u);
  g = {};
  g.newest_first = false;
  g.limit = 1;
  const auto first = r->alerts(g).value();
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].endpoint_id, "a");
  g.after_seq = first[0].seq;
  EXPECT_EQ(r->alerts(g).value()[0].endpoint_id, "b");
  g = {};
  g.alert_ids = {first[0].alert_id, "none"};
  EXPECT_EQ(r->alerts(g).value().size(), 1u);
}

TEST_F(Queries, HostIsFoundByIdOrNameAndSeveralAreTold) {
  open();
  EndpointReport a = agent("ep-1", "h-1"), b = agent("ep-2", "h-2");
  a.hostname = "WEB";
  b.hostname = "web";
  ASSERT_TRUE(enrol(*store_, a, "c1"));
  ASSERT_TRUE(enrol(*store_, b, "c2"));
  auto r = reader();
  EXPECT_EQ(r->find_endpoints("ep-1").value().size(), 1u);
  EXPECT_EQ(r->find_endpoints("h-2").value()[0].endpoint_id, "ep-2");
  EXPECT_EQ(r->find_endpoints("Web").value().size(), 2u);
  EXPECT_TRUE(r->find_endpoints("").value().empty());
  EXPECT_TRUE(r->find_endpoints("we%").value().empty());
}

TEST_F(Queries, ReaderSeesTheLastCommitWhileTheServiceRunsAndWhenItIsDown) {
  open();
  enroll("ep-1");
  auto r = reader();
  EXPECT_EQ(r->counts().value().alerts, 0);
  keep(batch(rule("r1"), "ep-1", 0));
  const record::RecordCounts c = r->counts().value();
  EXPECT_EQ(c.alerts, 1);
  EXPECT_EQ(c.actions, 1);
  EXPECT_EQ(c.open_actions, 1);
  EXPECT_EQ(c.endpoints, 1);
  EXPECT_EQ(c.outbox, 1);
  EXPECT_EQ(r->offsets().value().at(0).next_offset, 1);
  r.reset();
  close();
  EXPECT_EQ(reader()->counts().value().alerts, 1);
}

TEST_F(Queries, ReaderRefusesWhatIsNoRecord) {
  EXPECT_EQ(record::Reader::open(dir_.path() + "/none.db").error().code, ErrorCode::not_found);
  const std::string other = dir_.path() + "/other.db";
  {
    sqlite3* raw = nullptr;
    ASSERT_EQ(sqlite3_open(other.c_str(), &raw), SQLITE_OK);
    sqlite3_exec(raw, "CREATE TABLE t(a)", nullptr, nullptr, nullptr);
    sqlite3_close(raw);
  }
  EXPECT_EQ(record::Reader::open(other).error().code, ErrorCode::corrupt);
}

TEST_F(Queries, ReadThatTakesTooLongEnds) {
  open();
  auto connection = record::Sqlite::open(db(), record::Sqlite::Open::read_only, 100).value();
  connection->limit_from_now(50);
  const auto endless = connection->integer(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n WHERE i < 0");
  ASSERT_FALSE(endless);
  EXPECT_EQ(endless.error().code, ErrorCode::timeout);
  connection->limit_from_now(0);
  EXPECT_EQ(connection->integer("SELECT 7").value(), 7);
}

TEST_F(Queries, ReadOnlyConnectionCannotWrite) {
  open();
  auto connection = record::Sqlite::open(db(), record::Sqlite::Open::read_only, 100).value();
  EXPECT_FALSE(connection->run("DELETE FROM settings"));
  close();
  auto fixed = record::Sqlite::open_immutable(db());
  ASSERT_TRUE(fixed) << fixed.error().describe();
  EXPECT_EQ((*fixed)->integer("SELECT count(*) FROM alerts").value(), 0);
}

class Audit : public Queries {
 protected:
  void SetUp() override {
    open();
    for (int i = 1; i <= 10; ++i) {
      clock_.advance_ms(1);
      ASSERT_TRUE(store_->note("user:ada", "noted", "ref-" + std::to_string(i), "detail " + std::to_string(i)));
    }
    close();
    const auto good = record::verify_audit(db());
    ASSERT_TRUE(good) << good.error().describe();
    ASSERT_TRUE(good->ok) << good->why;
    ASSERT_EQ(good->rows, 10);
    head_ = good->head;
  }
  // An intruder with the file: the triggers don't stop one.
  record::AuditVerdict tampered(const std::string& sql) {
    {
      RawDb raw(db());
      raw.run("DROP TRIGGER IF EXISTS audit_is_append_only_update");
      raw.run("DROP TRIGGER IF EXISTS audit_is_append_only_delete");
      raw.run(sql);
    }
    const auto verdict = record::verify_audit(db());
    EXPECT_TRUE(verdict) << verdict.error().describe();
    return verdict.value_or(record::AuditVerdict{});
  }
  std::string head_;
};

TEST_F(Audit, HeadIsTheLastRowsHash) {
  EXPECT_EQ(ask("SELECT hash FROM audit WHERE seq = 10"), head_);
}

TEST_F(Audit, AppendOnlyForWhoeverMinds) {
  RawDb raw(db());
  EXPECT_THROW(raw.run("UPDATE audit SET actor = 'x' WHERE seq = 3"), std::runtime_error);
  EXPECT_THROW(raw.run("DELETE FROM audit WHERE seq = 3"), std::runtime_error);
}

TEST_F(Audit, EveryAlteredColumnNamesItsRow) {
  const std::vector<std::string> columns{"actor", "what", "ref", "detail"};
  for (size_t i = 0; i < columns.size(); ++i) {
    // Each alteration is further up than the one before, so each is the first bad row.
    const int64_t seq = static_cast<int64_t>(8 - i);
    RawDb raw(db());
    if (i == 0) raw.run("DROP TRIGGER audit_is_append_only_update");
    raw.run("UPDATE audit SET " + columns[i] + " = " + columns[i] + " || 'x' WHERE seq = " + std::to_string(seq));
    const auto verdict = record::verify_audit(db()).value();
    EXPECT_FALSE(verdict.ok);
    EXPECT_EQ(verdict.bad_seq, seq) << columns[i] << ": " << verdict.why;
    EXPECT_EQ(verdict.rows, seq - 1);
  }
}

TEST_F(Audit, AlteredTimeIsFound) {
  EXPECT_EQ(tampered("UPDATE audit SET at = at + 1 WHERE seq = 1").bad_seq, 1);
}

TEST_F(Audit, TextMovedBetweenColumnsIsFound) {
  EXPECT_EQ(tampered("UPDATE audit SET what = what || ref, ref = '' WHERE seq = 5").bad_seq, 5);
}

TEST_F(Audit, DeletedRowIsFound) {
  const auto verdict = tampered("DELETE FROM audit WHERE seq = 4");
  EXPECT_FALSE(verdict.ok);
  EXPECT_EQ(verdict.bad_seq, 4);
  EXPECT_NE(verdict.why.find("missing"), std::string::npos) << verdict.why;
}

TEST_F(Audit, DeletedRowWithTheRestRenumberedIsFound) {
  EXPECT_EQ(tampered("DELETE FROM audit WHERE seq = 4; UPDATE audit SET seq = seq - 1 WHERE seq > 4").bad_seq, 4);
}

TEST_F(Audit, FirstRowsCutOffAreFound) {
  EXPECT_EQ(tampered("DELETE FROM audit WHERE seq <= 2").bad_seq, 1);
}

TEST_F(Audit, SwappedRowsAreFound) {
  EXPECT_EQ(tampered("UPDATE audit SET seq = 100 WHERE seq = 6; UPDATE audit SET seq = 6 WHERE seq = 7;"
                     "UPDATE audit SET seq = 7 WHERE seq = 100")
                .bad_seq,
            6);
}

TEST_F(Audit, RowsCutOffAtTheEndAreFound) {
  const auto verdict = tampered("DELETE FROM audit WHERE seq > 7");
  EXPECT_FALSE(verdict.ok);
  EXPECT_EQ(verdict.bad_seq, 8);
  EXPECT_EQ(tampered("DELETE FROM audit").bad_seq, 1) << "an emptied audit is not a new one";
}

TEST_F(Audit, ForgedRowAtTheEndIsFound) {
  EXPECT_EQ(tampered("INSERT INTO audit SELECT 11, at, actor, what, ref, detail, hash, hash FROM audit WHERE seq = 10")
                .bad_seq,
            11);
}

TEST_F(Audit, GoesOnAfterARestart) {
  open();
  ASSERT_TRUE(store_->note("user:ada", "noted", "", ""));
  const auto verdict = record::verify_audit(db()).value();
  EXPECT_TRUE(verdict.ok) << verdict.why;
  EXPECT_EQ(verdict.rows, 11);
}

TEST_F(Audit, EmptyRecordVerifies) {
  StoreOptions o = options();
  o.data_dir = dir_.path() + "/fresh";
  open(o);
  const auto verdict = record::verify_audit(o.data_dir + "/firebreak.db").value();
  EXPECT_TRUE(verdict.ok);
  EXPECT_EQ(verdict.rows, 0);
}

}  // namespace
}  // namespace fb::test
