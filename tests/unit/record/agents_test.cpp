// Agents in the record: who is admitted, whose certificate is good, the epoch, local releases, what makes one
// unhealthy.
#include "tests/unit/record/record_fixture.h"

namespace fb::test {
namespace {

class Agents : public RecordTest {
 protected:
  void SetUp() override {
    StoreOptions o = options();
    o.local_release_proven = [](const std::string& id, const LocalRelease& r) {
      return r.how == "break_glass" && r.proof == "code of " + id + std::to_string(r.generation);
    };
    o.unhealthy_drift_events = 3;
    o.drift_window_ms = 600'000;
    open(o);
  }
  void token(const std::string& t) { ASSERT_TRUE(store_->add_token(t, clock_.wall_ms() + 60'000)); }
  Admission admit(const std::string& id, const std::string& host, const std::string& key, const std::string& t) {
    const auto answer = store_->admit(agent(id, host), key, t);
    EXPECT_TRUE(answer) << answer.error().describe();
    return answer.value_or(Admission::refused);
  }
  // Admitted by a token of its own, with a certificate that was used.
  void admit_fully(const std::string& id, const std::string& host) {
    token("token of " + id);
    ASSERT_EQ(admit(id, host, "key of " + id, "token of " + id), Admission::granted);
    std::vector<std::string> replaced;
    ASSERT_TRUE(store_->keep_agent(agent(id, host), "cert of " + id, 1000, &replaced));
    EXPECT_TRUE(replaced.empty());
    EXPECT_EQ(store_->use_certificate("cert of " + id).value(), id);
  }
  std::string row(const std::string& columns) {
    return ask("SELECT " + columns + " FROM endpoints WHERE endpoint_id = 'ep-1'");
  }
  int64_t audited(const std::string& what) { return count("SELECT count(*) FROM audit WHERE what = '" + what + "'"); }
  // Isolated by a person, generation 1, verified.
  void isolate_ep1(int64_t lease_ms = 0) {
    enroll("ep-1", "h-1");
    const auto submitted = store_->submit(request(Verb::isolate, {"ep-1"}));
    ASSERT_TRUE(submitted);
    action_ = (*submitted)[0].action_id;
    if (lease_ms > 0) {
      RawDb(db()).run("UPDATE actions SET lease_ms = " + std::to_string(lease_ms) + " WHERE action_id = '" + action_ +
                      "'");
    }
    isolate_fully(action_);
    ASSERT_EQ(row("lease_until > 0"), lease_ms > 0 ? "1" : "0");
    ASSERT_EQ(row("desired"), "isolated");
  }
  void release_locally(const std::string& how, const std::string& proof, int64_t generation = 1, int64_t sequence = 1) {
    EndpointReport r = agent("ep-1", "h-1");
    r.generation = 1;
    r.local_release = {generation, sequence, how, proof, clock_.wall_ms()};
    const Status seen = store_->seen(r);
    ASSERT_TRUE(seen) << seen.error().describe();
  }
  std::string action_;
};

TEST_F(Agents, AreAdmittedOnceByATokenAndAgainByTheirKeyOnly) {
  token("t1");
  EXPECT_EQ(admit("ep-1", "h-1", "key-1", "no token"), Admission::refused);
  EXPECT_EQ(admit("ep-1", "h-1", "key-1", "t1"), Admission::granted);
  EXPECT_EQ(admit("ep-1", "h-1", "key-1", "t1"), Admission::granted) << "its first answer may have been lost";
  EXPECT_EQ(admit("ep-1", "h-1", "key-2", "t1"), Admission::refused) << "the token is used";
  clock_.advance_ms(25 * 3'600'000);
  EXPECT_EQ(admit("ep-1", "h-1", "key-1", "t1"), Admission::refused) << "not for ever";
  token("t2");
  clock_.advance_ms(60'000);
  EXPECT_EQ(admit("ep-1", "h-1", "key-1", "t2"), Admission::refused) << "expired";
}

TEST_F(Agents, OfAKnownHostWaitForAPersonAndThenReplaceTheFirst) {
  admit_fully("ep-1", "h-1");
  token("t2");
  EXPECT_EQ(admit("ep-2", "h-1", "key-2", "t2"), Admission::waits);
  EXPECT_EQ(admit("ep-2", "h-1", "key-2", "t2"), Admission::waits);
  std::vector<std::string> replaced;
  EXPECT_FALSE(store_->keep_agent(agent("ep-2", "h-1"), "cert-2", 1000, &replaced)) << "nobody granted it";
  EXPECT_EQ(store_->use_certificate("cert of ep-1").value(), "ep-1");
  ASSERT_TRUE(store_->decide_enrollment("ep-2", true, "user:ada", "installed anew"));
  EXPECT_EQ(store_->decide_enrollment("ep-2", false, "user:ada", "").error().code, ErrorCode::not_found);
  EXPECT_EQ(admit("ep-2", "h-1", "key-2", ""), Admission::granted);
  EXPECT_EQ(store_->use_certificate("cert of ep-1").value(), "ep-1") << "until the new one has its certificate";
  ASSERT_TRUE(store_->keep_agent(agent("ep-2", "h-1"), "cert-2", 1000, &replaced));
  EXPECT_EQ(replaced, std::vector<std::string>{"ep-1"});
  EXPECT_EQ(store_->use_certificate("cert of ep-1").value(), "");
  EXPECT_EQ(store_->use_certificate("cert-2").value(), "ep-2");
  Target t;
  t.host_id = "h-1";
  EXPECT_EQ(store_->directory().resolve(t).endpoint_id, "ep-2");
  const auto reader = record::Reader::open(db());
  ASSERT_TRUE(reader);
  const auto by_host = (*reader)->find_endpoints("h-1");
  ASSERT_EQ(by_host->size(), 1u) << "the host is the new agent's, for people too";
  EXPECT_EQ((*by_host)[0].endpoint_id, "ep-2");
  EXPECT_EQ((*reader)->find_endpoints("ep-1")->size(), 1u) << "the old one by its own id";
  EXPECT_EQ(audited("enrollment_waits"), 1);
  EXPECT_EQ(audited("enrollment_approved"), 1);
}

TEST_F(Agents, WithTheIdOfAnotherWaitToo) {
  admit_fully("ep-1", "h-1");
  token("t2");
  EXPECT_EQ(admit("ep-1", "h-1", "another key", "t2"), Admission::waits);
  ASSERT_TRUE(store_->decide_enrollment("ep-1", false, "user:ada", "a copy"));
  EXPECT_EQ(admit("ep-1", "h-1", "another key", "t2"), Admission::denied);
  EXPECT_EQ(store_->use_certificate("cert of ep-1").value(), "ep-1");
  const auto list = store_->agents().value();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].certificate_until_ms + list[1].certificate_until_ms, 1000);
}

TEST_F(Agents, ANewCertificateEndsTheOldOneWithItsFirstUse) {
  admit_fully("ep-1", "h-1");
  ASSERT_TRUE(store_->add_certificate("ep-1", "second", 2000));
  EXPECT_EQ(store_->use_certificate("cert of ep-1").value(), "ep-1");
  EXPECT_EQ(store_->agents().value()[0].certificate_until_ms, 2000);
  EXPECT_EQ(store_->use_certificate("second").value(), "ep-1");
  EXPECT_EQ(store_->use_certificate("cert of ep-1").value(), "");
  ASSERT_TRUE(store_->revoke_credentials("ep-1", "user:ada", "lost"));
  EXPECT_EQ(store_->use_certificate("second").value(), "");
  EXPECT_EQ(store_->add_certificate("ep-1", "third", 3000).error().code, ErrorCode::refused);
  EXPECT_TRUE(store_->agents().value()[0].revoked);
  EXPECT_EQ(admit("ep-1", "h-1", "key of ep-1", ""), Admission::refused) << "its old enrolment counts no longer";
}

TEST_F(Agents, TheEpochRisesAboveEverythingThatIsKnown) {
  EXPECT_EQ(store_->raise_epoch(0).value(), 1);
  EXPECT_EQ(store_->raise_epoch(0).value(), 2);
  EXPECT_EQ(store_->raise_epoch(40).value(), 41);
  enroll("ep-1", "h-1");
  EndpointReport r = agent("ep-1", "h-1");
  r.epoch = 90;
  ASSERT_TRUE(store_->seen(r));
  EXPECT_EQ(store_->raise_epoch(0).value(), 91);
  r.epoch = int64_t{1} << 52;
  ASSERT_TRUE(store_->seen(r));
  EXPECT_EQ(store_->raise_epoch(0).value(), 92) << "that is no epoch of ours";
  r.epoch = -1;
  EXPECT_EQ(store_->seen(r).error().code, ErrorCode::invalid_argument);
}

TEST_F(Agents, AProvenLocalReleaseIsWantedFromThenOn) {
  isolate_ep1();
  release_locally("break_glass", "code of ep-11");
  EXPECT_EQ(row("desired || observed || drifted || standing_isolate"), "releasedreleased0");
  EXPECT_EQ(row("released_at"), std::to_string(clock_.wall_ms()));
  EXPECT_EQ(audited("released_locally"), 1);
  release_locally("break_glass", "code of ep-11");
  EXPECT_EQ(audited("released_locally"), 1) << "judged once";
  EXPECT_EQ(row("agent_status"), "online");
}

TEST_F(Agents, AnUnprovenOneChangesNothingThatIsWanted) {
  isolate_ep1();
  release_locally("break_glass", "a guess");
  EXPECT_EQ(row("desired || observed || drifted"), "isolatedreleased1") << "repair goes on";
  EXPECT_EQ(row("agent_status"), "unhealthy");
  EXPECT_EQ(audited("local_release_unproven"), 1);
  for (const char* how : {"rollback", "because"}) release_locally(how, "", 1, how[0] == 'r' ? 2 : 3);
  EXPECT_EQ(audited("local_release_unproven"), 3);
  EXPECT_EQ(audited("released_locally"), 0);
  EndpointReport r = agent("ep-1", "h-1");
  r.generation = 1;
  r.observed = Isolation::isolated;
  ASSERT_TRUE(store_->seen(r));
  EXPECT_EQ(row("agent_status || drifted"), "online0");
}

TEST_F(Agents, ALeaseIsProvenByTheServicesOwnClock) {
  isolate_ep1(3'600'000);
  release_locally("lease", "");
  EXPECT_EQ(row("desired"), "isolated") << "an hour too early";
  clock_.advance_ms(3'600'000 - 60'000);
  release_locally("lease", "", 1, 2);
  EXPECT_EQ(row("desired"), "released");
}

TEST_F(Agents, ALocalReleaseOfAnOlderIsolationDoesNotEndANewerOne) {
  isolate_ep1();
  const auto released = store_->submit(request(Verb::release, {"ep-1"}));
  release_fully((*released)[0].action_id);
  const auto again = store_->submit(request(Verb::isolate, {"ep-1"}));
  isolate_fully((*again)[0].action_id);
  release_locally("break_glass", "code of ep-11");
  EXPECT_EQ(row("desired"), "isolated");
  EXPECT_EQ(audited("released_locally"), 1) << "told all the same";
}

// The service's own release was on its way when the host told of its.
TEST_F(Agents, ALeaseThatTheHostEndedDoesNotEndTheNextIsolation) {
  isolate_ep1(60'000);
  clock_.advance_ms(70'000);
  ASSERT_TRUE(store_->submit(request(Verb::release, {"ep-1"})));
  release_locally("lease", "");
  EXPECT_EQ(row("standing_isolate || lease_until"), "0");
  ASSERT_TRUE(store_->submit(request(Verb::isolate, {"ep-1"})));
  EXPECT_EQ(row("desired || lease_until"), "isolated0");
}

TEST_F(Agents, AnIsolationAfterAReleaseThatDidNotArriveHasNoneOfTheOldLease) {
  isolate_ep1(60'000);
  ASSERT_TRUE(store_->submit(request(Verb::release, {"ep-1"})));
  EXPECT_NE(row("lease_until"), "0");
  ASSERT_TRUE(store_->submit(request(Verb::isolate, {"ep-1"})));
  EXPECT_EQ(row("desired || lease_until"), "isolated0");
}

TEST_F(Agents, AnIsolationOnItsWayIsOverWhenTheHostLetItselfBackIn) {
  enroll("ep-1", "h-1");
  const auto submitted = store_->submit(request(Verb::isolate, {"ep-1"}));
  const std::string id = (*submitted)[0].action_id;
  ASSERT_TRUE(step(id, {ActionState::requested}, ActionState::dispatched));
  release_locally("break_glass", "code of ep-11");
  EXPECT_EQ(ask("SELECT state FROM actions"), "superseded");
  EXPECT_EQ(row("desired"), "released");
}

TEST_F(Agents, TheGenerationForABreakGlassCodeIsTheOneThatStands) {
  isolate_ep1();
  EXPECT_EQ(store_->isolation_generation("ep-1").value(), 1);
  ASSERT_TRUE(store_->submit(request(Verb::release, {"ep-1"})));
  EXPECT_EQ(store_->isolation_generation("ep-1").value(), 1) << "the release has not arrived";
  EXPECT_EQ(store_->isolation_generation("nobody").value(), 0);
}

TEST_F(Agents, ProblemsAndFightsMakeOneUnhealthy) {
  enroll("ep-1", "h-1");
  EndpointReport r = agent("ep-1", "h-1");
  r.problems = {"raw sockets not covered"};
  ASSERT_TRUE(store_->seen(r));
  EXPECT_EQ(row("agent_status || ': ' || status_detail"), "unhealthy: raw sockets not covered");
  EXPECT_EQ(store_->agents().value()[0].problems, r.problems);
  r.problems.clear();
  ASSERT_TRUE(store_->seen(r));
  EXPECT_EQ(row("agent_status"), "online");
  r.drift_events = 2;
  ASSERT_TRUE(store_->seen(r));
  EXPECT_EQ(row("agent_status"), "online") << "that happens";
  r.drift_events = 3;
  ASSERT_TRUE(store_->seen(r));
  EXPECT_EQ(row("agent_status"), "unhealthy");
  clock_.advance_ms(600'000);
  ASSERT_TRUE(store_->seen(r));
  EXPECT_EQ(row("agent_status"), "unhealthy") << "the window before was a fight";
  clock_.advance_ms(600'000);
  ASSERT_TRUE(store_->seen(r));
  EXPECT_EQ(row("agent_status"), "online") << "a window without one";
}

}  // namespace
}  // namespace fb::test
