// Endpoints: enrolment, credentials, heartbeats, drift, the directory, the kill switch.
#include "engine/base/failpoint.h"
#include "tests/support/enrol.h"
#include "tests/unit/record/record_fixture.h"

namespace fb::test {
namespace {

class Endpoints : public RecordTest {
 protected:
  void SetUp() override { open(); }
  Resolved resolve(const std::string& agent_id, const std::string& host_id, bool ambiguous = false) {
    Target t;
    t.agent_id = agent_id;
    t.host_id = host_id;
    t.ambiguous = ambiguous;
    return store_->directory().resolve(t);
  }
  std::string row(const std::string& columns) {
    return ask("SELECT " + columns + " FROM endpoints WHERE endpoint_id = 'ep-1'");
  }
};

TEST_F(Endpoints, EnrolmentIsSeenByTheDirectoryAndByReaders) {
  enroll("ep-1", "h-1");
  EXPECT_EQ(resolve("ep-1", "").endpoint_id, "ep-1");
  EXPECT_EQ(resolve("", "h-1").endpoint_id, "ep-1");
  EXPECT_EQ(resolve("ep-1", "h-1").endpoint_id, "ep-1");
  const auto list = store_->endpoints().value();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].host_id, "h-1");
  EXPECT_EQ(list[0].ips, std::vector<std::string>{"192.0.2.1"});
  EXPECT_EQ(list[0].status, AgentStatus::online);
  close();
  open();
  EXPECT_EQ(resolve("", "h-1").endpoint_id, "ep-1") << "known again after a restart";
}

TEST_F(Endpoints, DirectoryResolvesByIdsOnlyAndNeverGuesses) {
  enroll("ep-1", "h-1");
  enroll("ep-2", "h-2");
  EXPECT_EQ(resolve("", "").note.substr(0, 7), "unknown");
  EXPECT_EQ(resolve("name-of-ep-1", "").endpoint_id, "") << "a host name selects nobody";
  EXPECT_EQ(resolve("ep-1 ", "").endpoint_id, "");
  EXPECT_EQ(resolve("EP-1", "").endpoint_id, "");
  EXPECT_TRUE(resolve("ep-1", "h-2").is_mismatch());
  EXPECT_TRUE(resolve("ep-1", "h-9").is_mismatch()) << "an enrolled agent has one host";
  EXPECT_EQ(resolve("some-collector", "h-2").endpoint_id, "ep-2") << "a host has several collectors";
  EXPECT_EQ(resolve("ep-1", "h-1", true).note.substr(0, 9), "ambiguous");
  EXPECT_EQ(resolve("nobody", "h-9").note, "unknown: no enrolled endpoint has agent.id nobody or host.id h-9");
}

TEST_F(Endpoints, TellsTheGenerationOrderedHereApartFromTheOneAnAgentTells) {
  enroll("ep-1", "h-1");
  EXPECT_EQ(store_->endpoints().value()[0].ordered_generation, 0);
  ActionRequest request;
  request.verb = Verb::release;
  request.endpoint_ids = {"ep-1"};
  request.requested_by = "user:ann";
  ASSERT_TRUE(store_->submit(request));
  EXPECT_EQ(store_->endpoints().value()[0].ordered_generation, 1);
  EndpointReport report = agent("ep-1", "h-1");
  report.generation = 7;
  ASSERT_TRUE(store_->seen(report));
  EXPECT_EQ(store_->endpoints().value()[0].generation, 7);
  EXPECT_EQ(store_->endpoints().value()[0].ordered_generation, 1);
}

TEST_F(Endpoints, HostAndAgentEnrolOnce) {
  enroll("ep-1", "h-1");
  EXPECT_EQ(enrol(*store_, agent("ep-2", "h-1"), "c2").error().code, ErrorCode::already_exists);
  EXPECT_EQ(enrol(*store_, agent("ep-1", "h-1"), "c3").error().code, ErrorCode::already_exists);
  EXPECT_EQ(count("SELECT count(*) FROM endpoints"), 1);
}

TEST_F(Endpoints, RevokedCredentialLetsNobodyIn) {
  enroll("ep-1");
  const std::string credential = hex(sha256("credential of ep-1"));
  EXPECT_EQ(store_->use_certificate(credential).value(), "ep-1");
  EXPECT_EQ(store_->use_certificate("made up").value(), "");
  ASSERT_TRUE(store_->revoke_credentials("ep-1", "user:ada", "lost laptop"));
  EXPECT_EQ(store_->use_certificate(credential).value(), "");
  ASSERT_TRUE(enrol(*store_, agent("ep-1"), "new"));
  EXPECT_EQ(store_->use_certificate("new").value(), "ep-1");
  EXPECT_EQ(store_->revoke_credentials("ghost", "user:ada", "").error().code, ErrorCode::not_found);
}

TEST_F(Endpoints, TokenIsGoodOnceAndUntilItExpires) {
  const int64_t now = clock_.wall_ms();
  const auto admitted = [&](const std::string& id, const std::string& token) {
    return store_->admit(agent(id), "key of " + id, token).value();
  };
  ASSERT_TRUE(store_->add_token("t1", now + 1000));
  ASSERT_TRUE(store_->add_token("t2", now + 1000));
  EXPECT_EQ(store_->add_token("t1", now + 9000).error().code, ErrorCode::already_exists);
  EXPECT_EQ(admitted("ep-1", "t1"), Admission::granted);
  EXPECT_EQ(admitted("ep-2", "t1"), Admission::refused);
  clock_.advance_ms(1000);
  EXPECT_EQ(admitted("ep-2", "t2"), Admission::refused);
  EXPECT_EQ(admitted("ep-2", "t3"), Admission::refused);
}

TEST_F(Endpoints, HeartbeatThatSaysNothingNewIsWrittenOnceAMinute) {
  enroll("ep-1");
  const EndpointReport r = agent("ep-1");
  ASSERT_TRUE(store_->seen(r));
  const std::string first = row("last_seen");
  for (int i = 0; i < 5; ++i) {
    clock_.advance_ms(10'000);
    ASSERT_TRUE(store_->seen(r));
  }
  EXPECT_EQ(row("last_seen"), first);
  clock_.advance_ms(10'000);
  ASSERT_TRUE(store_->seen(r));
  EXPECT_EQ(row("last_seen"), std::to_string(clock_.wall_ms()));
  EndpointReport moved = r;
  moved.ips = {"192.0.2.7"};
  clock_.advance_ms(1000);
  ASSERT_TRUE(store_->seen(moved));
  EXPECT_EQ(row("ips"), R"(["192.0.2.7"])");
}

TEST_F(Endpoints, HeartbeatBringsAnOfflineEndpointBackAtOnce) {
  enroll("ep-1");
  ASSERT_TRUE(store_->seen(agent("ep-1")));
  ASSERT_TRUE(store_->set_status("ep-1", AgentStatus::offline, "three heartbeats missed"));
  EXPECT_EQ(row("agent_status"), "offline");
  ASSERT_TRUE(store_->seen(agent("ep-1"))) << "says the same as before, and yet it is news";
  EXPECT_EQ(row("agent_status"), "online");
  EXPECT_EQ(store_->set_status("ghost", AgentStatus::offline, "").error().code, ErrorCode::not_found);
  EXPECT_EQ(store_->seen(agent("ghost")).error().code, ErrorCode::not_found);
}

TEST_F(Endpoints, HeartbeatCannotTakeAnotherHost) {
  enroll("ep-1", "h-1");
  enroll("ep-2", "h-2");
  const Status taken = store_->seen(agent("ep-1", "h-2"));
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, ErrorCode::conflict);
  EXPECT_EQ(resolve("", "h-2").endpoint_id, "ep-2");
}

TEST_F(Endpoints, HeartbeatShowsIsolationAndDrift) {
  enroll("ep-1");
  const auto a = store_->submit(request(Verb::isolate, {"ep-1"})).value().front();
  EndpointReport r = agent("ep-1");
  r.observed = Isolation::isolated;
  r.generation = 1;
  ASSERT_TRUE(store_->seen(r));
  EXPECT_EQ(row("observed || drifted"), "isolated0");
  isolate_fully(a.action_id);
  r.observed = Isolation::released;  // somebody flushed the rules
  ASSERT_TRUE(store_->seen(r));
  EXPECT_EQ(row("desired || observed || drifted"), "isolatedreleased1");
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE what = 'drifted'"), 1);
  EXPECT_EQ(record::Reader::open(db()).value()->counts().value().drifted, 1);
  r.observed = Isolation::isolated;
  ASSERT_TRUE(store_->seen(r));
  EXPECT_EQ(row("observed || drifted"), "isolated0");
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE what = 'drift_ended'"), 1);
}

TEST_F(Endpoints, GenerationGoesOnFromWhatAnAgentReports) {
  enroll("ep-1");
  EndpointReport r = agent("ep-1");
  r.generation = 41;  // the record was restored from an old backup
  ASSERT_TRUE(store_->seen(r));
  const auto a = store_->submit(request(Verb::release, {"ep-1"})).value().front();
  EXPECT_EQ(count("SELECT generation FROM actions WHERE action_id = '" + a.action_id + "'"), 42);
  for (const int64_t absurd : {int64_t{-1}, INT64_MAX}) {
    r.generation = absurd;
    EXPECT_EQ(store_->seen(r).error().code, ErrorCode::invalid_argument);
  }
}

TEST_F(Endpoints, AgentThatWasInstalledAnewIsBelieved) {
  enroll("ep-1");
  EndpointReport r = agent("ep-1");
  r.generation = 9;
  ASSERT_TRUE(store_->seen(r));
  isolate_fully(store_->submit(request(Verb::isolate, {"ep-1"})).value().front().action_id);
  EXPECT_EQ(row("observed"), "isolated");
  // Its state directory is gone, and the isolation with it: "released", by generation 0, is what it says from now on.
  ASSERT_TRUE(store_->revoke_credentials("ep-1", "user:ada", "installed anew"));
  r.generation = 0;
  ASSERT_TRUE(enrol(*store_, r, "new credential"));
  EXPECT_EQ(row("observed || drifted || generation"), "released110");
  r.observed = Isolation::isolated;
  ASSERT_TRUE(store_->seen(r));
  EXPECT_EQ(row("observed || drifted"), "isolated0");
}

TEST_F(Endpoints, ProtectedByListOrTag) {
  close();
  StoreOptions o = options();
  o.protected_hosts = {"ep-1", "h-2", "NAME-of-ep-3"};
  open(o);
  for (const char* id : {"ep-1", "ep-2", "ep-3", "ep-4"}) enroll(id, std::string("h-") + (id + 3));
  ASSERT_TRUE(store_->set_tags("ep-4", {"web"}, "user:ada", ""));
  const auto protected_now = [&] {
    std::string text;
    const auto list = store_->endpoints().value();
    for (const Endpoint& e : list) text += e.is_protected ? '1' : '0';
    return text;
  };
  EXPECT_EQ(protected_now(), "1110");
  ASSERT_TRUE(store_->set_tags("ep-4", {"web", "dc"}, "user:ada", "it runs the domain"));
  EXPECT_EQ(protected_now(), "1111");
  Ledger::EndpointFacts facts;
  judge_.answer = [&](const PlannedAction& a, Ledger& ledger, int64_t) -> Result<Judgement> {
    FB_TRY(facts, ledger.endpoint(a.endpoint_id));
    return ScriptedJudge::says(Verdict::blocked, Guard::protected_endpoint, "protected");
  };
  keep(batch(rule("r1"), "ep-4", 0));
  EXPECT_TRUE(facts.is_protected);
  EXPECT_EQ(store_->set_tags("ghost", {}, "user:ada", "").error().code, ErrorCode::not_found);
}

TEST_F(Endpoints, KillSwitchOutlivesTheProcess) {
  EXPECT_FALSE(store_->kill_switch().value());
  ASSERT_TRUE(store_->set_kill_switch(true, "user:ada", "something is wrong"));
  EXPECT_TRUE(store_->kill_switch().value());
  close();
  open();
  EXPECT_TRUE(store_->kill_switch().value());
  ASSERT_TRUE(store_->set_kill_switch(false, "user:ada", ""));
  EXPECT_FALSE(store_->kill_switch().value());
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE what LIKE 'kill_switch_%'"), 2);
}

TEST_F(Endpoints, RefusesNamesThatAreNotText) {
  EndpointReport r = agent("ep-1");
  r.hostname = "\xff\xfe";
  EXPECT_EQ(enrol(*store_, r, "c1").error().code, ErrorCode::invalid_argument);
  r = agent(std::string(5000, 'x'));
  EXPECT_EQ(enrol(*store_, r, "c2").error().code, ErrorCode::invalid_argument);
  r = agent("ep-1");
  r.ips.assign(1000, "192.0.2.1");
  EXPECT_EQ(enrol(*store_, r, "c3").error().code, ErrorCode::limit);
}

// Who was revoked, or replaced by a new agent of the same host, is no part of the fleet: budgets are shares of it.
TEST_F(Endpoints, OnlyThoseWithAValidCertificateCount) {
  for (const char* id : {"ep-1", "ep-2", "ep-3"}) enroll(id, std::string("h-") + id);
  for (const char* id : {"ep-1", "ep-2", "ep-3"}) ASSERT_TRUE(store_->set_tags(id, {"group:web"}, "user:ada", ""));
  int64_t enrolled = -1;
  std::vector<Ledger::Group> groups;
  int64_t offset = 0;
  const auto look = [&] {
    judge_.answer = [&](const PlannedAction& a, Ledger& ledger, int64_t) -> Result<Judgement> {
      FB_TRY(enrolled, ledger.enrolled());
      FB_TRY(groups, ledger.groups_of(a.endpoint_id));
      return ScriptedJudge::says(Verdict::blocked, Guard::protected_endpoint, "");
    };
    keep(batch(rule("r1"), "ep-1", offset++));
  };
  look();
  EXPECT_EQ(enrolled, 3);
  EXPECT_EQ(groups.at(0).members, 3);
  ASSERT_TRUE(store_->revoke_credentials("ep-3", "user:ada", "gone"));
  ASSERT_TRUE(store_->revoke_credentials("ep-2", "user:ada", "installed anew"));
  ASSERT_TRUE(enrol(*store_, agent("ep-2b", "h-ep-2"), "its new agent"));
  look();
  EXPECT_EQ(count("SELECT count(*) FROM endpoints"), 4);
  EXPECT_EQ(enrolled, 2) << "ep-1 and the new agent of h-ep-2";
  EXPECT_EQ(groups.at(0).members, 1);
}

TEST_F(Endpoints, AProblemThatComesAndGoesFillsNoAudit) {
  enroll("ep-1");
  const auto rows = [&] {
    return count("SELECT count(*) FROM audit WHERE actor = 'agent:ep-1' AND what IN ('unhealthy', 'online')");
  };
  EndpointReport r = agent("ep-1");
  for (int beat = 0; beat < 360; ++beat) {  // an hour
    r.problems = beat % 2 == 0 ? std::vector<std::string>{"clock_skew"} : std::vector<std::string>{};
    ASSERT_TRUE(store_->seen(r));
    EXPECT_EQ(row("agent_status"), beat % 2 == 0 ? "unhealthy" : "online") << "what is now is always told";
    clock_.advance_ms(10'000);
  }
  EXPECT_GE(rows(), 1);
  EXPECT_LE(rows(), 7) << "once in ten minutes";
  EXPECT_EQ(ask("SELECT detail FROM audit WHERE what = 'unhealthy' ORDER BY seq LIMIT 1"), "clock_skew") << "at once";
  // It ends well, and that is the last word.
  r.problems.clear();
  for (int beat = 0; beat < 180; ++beat) {
    ASSERT_TRUE(store_->seen(r));
    clock_.advance_ms(10'000);
  }
  EXPECT_EQ(ask("SELECT what FROM audit WHERE actor = 'agent:ep-1' ORDER BY seq DESC LIMIT 1"), "online");
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE detail LIKE '%times since it was last told'") > 0, true);
  const int64_t settled = rows();
  for (int beat = 0; beat < 360; ++beat) {
    ASSERT_TRUE(store_->seen(r));
    clock_.advance_ms(10'000);
  }
  EXPECT_EQ(rows(), settled);
}

// The job is undone by a full disk: the audit has no row of it, so the next one must write it.
TEST_F(Endpoints, AProblemWhoseRowWasUndoneIsToldTheNextTime) {
  enroll("ep-1");
  EndpointReport r = agent("ep-1");
  ASSERT_TRUE(store_->seen(r));
  r.problems = {"clock_skew"};
  ASSERT_TRUE(arm_failpoint("record.before_commit:1:full"));
  const Status undone = store_->seen(r);
  ASSERT_TRUE(arm_failpoint(""));
  ASSERT_FALSE(undone);
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE what = 'unhealthy'"), 0);
  clock_.advance_ms(10'000);
  ASSERT_TRUE(store_->seen(r));
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE what = 'unhealthy'"), 1);
}

TEST_F(Endpoints, AContestedIdentityIsAProblemUntilAPersonHasLooked) {
  enroll("ep-1");
  enroll("ep-2");
  ASSERT_TRUE(store_->seen(agent("ep-1")));
  ASSERT_TRUE(store_->contest("ep-1", "two machines"));
  ASSERT_TRUE(store_->contest("ep-1", "again"));
  EXPECT_EQ(store_->contest("ghost", "").error().code, ErrorCode::not_found);
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE what = 'duplicate_identity' AND ref = 'ep-1'"), 1);
  close();
  open();
  EXPECT_TRUE(store_->is_contested("ep-1")) << "it outlives the process";
  EXPECT_FALSE(store_->is_contested("ep-2"));
  const std::vector<std::string> problems{"duplicate_identity"};
  EXPECT_EQ(store_->agents().value()[0].problems, problems);
  EXPECT_TRUE(store_->endpoints().value()[0].is_duplicate);
  ASSERT_TRUE(store_->set_status("ep-1", AgentStatus::online, "it speaks"));
  EXPECT_EQ(row("agent_status"), "unhealthy");
  ASSERT_TRUE(store_->seen(agent("ep-1")));
  EXPECT_EQ(store_->agents().value()[0].problems, problems);

  EXPECT_EQ(store_->decide_enrollment("ep-1", false, "user:ada", "").error().code, ErrorCode::not_found);
  EXPECT_EQ(store_->decide_enrollment("ep-2", true, "user:ada", "").error().code, ErrorCode::not_found);
  ASSERT_TRUE(store_->decide_enrollment("ep-1", true, "user:ada", "the copy is switched off"));
  EXPECT_FALSE(store_->is_contested("ep-1"));
  EXPECT_TRUE(store_->agents().value()[0].problems.empty());
  EXPECT_EQ(count("SELECT count(*) FROM audit WHERE what = 'identity_approved' AND actor = 'user:ada'"), 1);

  ASSERT_TRUE(store_->contest("ep-1", "again"));
  ASSERT_TRUE(store_->revoke_credentials("ep-1", "user:ada", "neither of them"));
  EXPECT_TRUE(store_->is_contested("ep-1"));
  ASSERT_TRUE(enrol(*store_, agent("ep-1"), "enrolled anew"));
  EXPECT_FALSE(store_->is_contested("ep-1")) << "nobody else has a certificate any more";
}

}  // namespace
}  // namespace fb::test
