#include "actions/endpoint/mailbox.h"

#include <gtest/gtest.h>

#include "actions/endpoint/credential_cache.h"
#include "actions/endpoint/rate_limit.h"
#include "actions/endpoint/worker.h"

namespace fb::endpoint {
namespace {

class FakePoll final : public net::Responder {
 public:
  void answer(net::Response) override { answered = true; }
  bool gone() const override { return left; }
  bool answered = false;
  bool left = false;
};

Command command(const std::string& id, int64_t generation) {
  Command c;
  c.action_id = id;
  c.endpoint_id = "ep";
  c.generation = generation;
  return c;
}

struct Rig {
  Mailboxes boxes{30'000, 1000};
  int64_t now = 1'000'000;
  Mailboxes::Handed handed;
  Poll replaced;

  Mailboxes::Put put(const std::string& id, int64_t generation) {
    handed = {};
    return boxes.put(command(id, generation), now, &handed);
  }
  Mailboxes::Handed poll(const Poll& p, bool releases_only = false) {
    boxes.heard("ep", now);
    return boxes.poll("ep", p, now, now + 50'000, releases_only, &replaced);
  }
};

TEST(Mailboxes, HandACommandToThePollThatWaits) {
  Rig rig;
  const auto poll = std::make_shared<FakePoll>();
  EXPECT_EQ(rig.poll(poll).poll, nullptr);
  EXPECT_EQ(rig.put("a", 1), Mailboxes::Put::handed);
  EXPECT_EQ(rig.handed.poll, poll);
  EXPECT_EQ(rig.handed.command->action_id, "a");
  EXPECT_EQ(rig.boxes.open_polls(), 0u);
}

TEST(Mailboxes, AnUpdateComesAfterTheCommandAndAgainUntilItIsDropped) {
  Rig rig;
  rig.boxes.heard("ep", rig.now);
  EXPECT_EQ(rig.put("a", 1), Mailboxes::Put::kept);
  Mailboxes::Handed handed;
  rig.boxes.put_update("ep", 1, rig.now, &handed);
  EXPECT_FALSE(handed.poll) << "nobody waits";
  EXPECT_TRUE(rig.poll(std::make_shared<FakePoll>()).command);
  EXPECT_FALSE(rig.poll(std::make_shared<FakePoll>()).update) << "the command's end is not known yet";
  rig.boxes.finished("ep", "a");
  const auto update = rig.poll(std::make_shared<FakePoll>()).update;
  ASSERT_TRUE(update);
  EXPECT_EQ(update->endpoint_id, "ep");
  EXPECT_EQ(update->generation, 1);
  EXPECT_FALSE(rig.poll(std::make_shared<FakePoll>()).update) << "it rests";
  rig.now += Mailboxes::kUpdateRestMs;
  EXPECT_EQ(rig.boxes.due(rig.now).handed.size(), 1u);
  rig.now += Mailboxes::kUpdateRestMs;
  EXPECT_FALSE(rig.poll(std::make_shared<FakePoll>()).update) << "longer each time";
  rig.now += Mailboxes::kUpdateRestMs;
  EXPECT_TRUE(rig.poll(std::make_shared<FakePoll>()).update);
  rig.boxes.drop_update("ep");
  rig.now += Mailboxes::kUpdateRestMs;
  EXPECT_FALSE(rig.poll(std::make_shared<FakePoll>()).update);
  rig.boxes.put_update("ep", 2, rig.now, &handed);
  ASSERT_TRUE(handed.poll) << "a poll waits: at once";
  EXPECT_EQ(handed.update->generation, 2);
}

TEST(Mailboxes, AnExpiredCertificateGetsReleasesOnly) {
  Rig rig;
  const auto poll = std::make_shared<FakePoll>();
  rig.poll(poll, true);
  EXPECT_EQ(rig.put("i", 1), Mailboxes::Put::kept);
  EXPECT_TRUE(rig.boxes.due(rig.now).handed.empty());
  Command release = command("r", 2);
  release.verb = Verb::release;
  Mailboxes::Handed handed;
  EXPECT_EQ(rig.boxes.put(release, rig.now, &handed), Mailboxes::Put::handed);
  EXPECT_EQ(handed.poll, poll);
}

TEST(Mailboxes, TwoProcessesWithOneIdentityAreSeen) {
  Rig rig;
  std::vector<Poll> all;
  for (int i = 0; i < Mailboxes::kFightTakeovers; ++i) {
    all.push_back(std::make_shared<FakePoll>());
    rig.poll(all.back());
    EXPECT_FALSE(rig.boxes.is_fought_over("ep", rig.now)) << i;
  }
  all.push_back(std::make_shared<FakePoll>());
  rig.poll(all.back());
  EXPECT_TRUE(rig.boxes.is_fought_over("ep", rig.now));
  EXPECT_FALSE(rig.boxes.is_fought_over("ep", rig.now)) << "told once";
  for (int i = 0; i < 3 * Mailboxes::kFightTakeovers; ++i) {  // now and then a poll is taken over by its own agent
    rig.now += Mailboxes::kFightMs;
    all.push_back(std::make_shared<FakePoll>());
    rig.poll(all.back());
    EXPECT_FALSE(rig.boxes.is_fought_over("ep", rig.now));
  }
}

TEST(Mailboxes, OneProcessThatAsksAgainFightsWithNobody) {
  Rig rig;
  for (int i = 0; i < 3 * Mailboxes::kFightTakeovers; ++i) {
    rig.boxes.poll("ep", std::make_shared<FakePoll>(), rig.now, rig.now + 50'000, false, &rig.replaced, "one");
  }
  EXPECT_FALSE(rig.boxes.is_fought_over("ep", rig.now));
  for (int i = 0; i < Mailboxes::kFightTakeovers; ++i) {
    rig.boxes.poll("ep", std::make_shared<FakePoll>(), rig.now, rig.now + 50'000, false, &rig.replaced,
                   i % 2 == 0 ? "two" : "one");
  }
  EXPECT_TRUE(rig.boxes.is_fought_over("ep", rig.now));
}

TEST(Mailboxes, OnlyAnIsolationThatWasNeverGivenComesBack) {
  Rig rig;
  rig.boxes.heard("ep", rig.now);
  EXPECT_FALSE(rig.boxes.take_back("ep"));
  rig.put("a", 1);
  EXPECT_FALSE(rig.boxes.take_back("ep", "another"));
  EXPECT_EQ(rig.boxes.take_back("ep")->action_id, "a");
  EXPECT_FALSE(rig.boxes.give(command("a", 1))) << "taken back meanwhile";
  EXPECT_FALSE(rig.poll(std::make_shared<FakePoll>()).command);
  // The poll that waits was found for it, and then it must not go out after all: it was not given, and rests.
  rig.put("b", 2);
  EXPECT_FALSE(rig.poll(std::make_shared<FakePoll>()).command);
  EXPECT_EQ(rig.boxes.take_back("ep", "b")->action_id, "b");
  // Given once, it may have arrived, however often it is sent again.
  rig.put("c", 3);
  EXPECT_TRUE(rig.boxes.give(command("c", 3)));
  EXPECT_FALSE(rig.boxes.take_back("ep"));
  rig.put("c", 3);
  EXPECT_FALSE(rig.boxes.take_back("ep"));
  rig.boxes.releases_only("ep");
  EXPECT_FALSE(rig.boxes.give(command("c", 3))) << "contested meanwhile";
  rig.put("d", 4);
  EXPECT_EQ(rig.boxes.take_back("ep")->action_id, "d");
  Command release = command("r", 5);
  release.verb = Verb::release;
  EXPECT_EQ(rig.boxes.put(release, rig.now, &rig.handed), Mailboxes::Put::kept);
  EXPECT_FALSE(rig.boxes.take_back("ep"));
}

TEST(Mailboxes, KeepACommandForTheNextPoll) {
  Rig rig;
  rig.boxes.heard("ep", rig.now);
  EXPECT_EQ(rig.put("a", 1), Mailboxes::Put::kept);
  EXPECT_EQ(rig.poll(std::make_shared<FakePoll>()).command->action_id, "a");
}

TEST(Mailboxes, KeepNothingForAnAgentThatIsAway) {
  Rig rig;
  EXPECT_EQ(rig.put("a", 1), Mailboxes::Put::offline) << "never heard";
  rig.boxes.heard("ep", rig.now);
  EXPECT_EQ(rig.put("b", 2), Mailboxes::Put::kept);
  rig.now += 30'000;
  EXPECT_EQ(rig.put("c", 3), Mailboxes::Put::offline);
  EXPECT_FALSE(rig.poll(std::make_shared<FakePoll>()).command) << "what waited is out of date too";
}

TEST(Mailboxes, TheNewestGenerationWins) {
  Rig rig;
  rig.boxes.heard("ep", rig.now);
  EXPECT_EQ(rig.put("isolate", 5), Mailboxes::Put::kept);
  EXPECT_EQ(rig.put("release", 6), Mailboxes::Put::kept);
  EXPECT_EQ(rig.put("isolate", 5), Mailboxes::Put::stale);
  EXPECT_EQ(rig.poll(std::make_shared<FakePoll>()).command->action_id, "release");
}

TEST(Mailboxes, HandACommandOutAgainUntilItsEndIsReported) {
  Rig rig;
  rig.boxes.heard("ep", rig.now);
  rig.put("a", 1);
  EXPECT_TRUE(rig.poll(std::make_shared<FakePoll>()).command);
  const auto second = std::make_shared<FakePoll>();
  EXPECT_FALSE(rig.poll(second).command) << "not at once: its report is on the way";
  rig.now += 999;
  EXPECT_TRUE(rig.boxes.due(rig.now).handed.empty());
  rig.now += 1;
  const auto due = rig.boxes.due(rig.now);
  ASSERT_EQ(due.handed.size(), 1u);
  EXPECT_EQ(due.handed[0].poll, second);
  rig.boxes.finished("ep", "other");
  rig.now += 1000;
  EXPECT_TRUE(rig.poll(std::make_shared<FakePoll>()).command);
  rig.boxes.finished("ep", "a");
  rig.now += 1000;
  EXPECT_FALSE(rig.poll(std::make_shared<FakePoll>()).command);
}

TEST(Mailboxes, TheSameCommandSentAgainGoesOutAtOnce) {
  Rig rig;
  rig.poll(std::make_shared<FakePoll>());
  EXPECT_EQ(rig.put("a", 1), Mailboxes::Put::handed);
  rig.poll(std::make_shared<FakePoll>());
  EXPECT_EQ(rig.put("a", 1), Mailboxes::Put::handed);
}

TEST(Mailboxes, GiveNothingToAPollWhoseClientLeft) {
  Rig rig;
  const auto poll = std::make_shared<FakePoll>();
  rig.poll(poll);
  poll->left = true;
  EXPECT_EQ(rig.put("a", 1), Mailboxes::Put::kept);
  EXPECT_TRUE(rig.poll(std::make_shared<FakePoll>()).command);
}

TEST(Mailboxes, EndPollsInTimeAndTellWhoFellSilent) {
  Rig rig;
  const auto first = std::make_shared<FakePoll>();
  const auto second = std::make_shared<FakePoll>();
  rig.poll(first);
  rig.poll(second);
  EXPECT_EQ(rig.replaced, first) << "one poll an agent";
  rig.now += 29'999;
  EXPECT_TRUE(rig.boxes.due(rig.now).silent.empty());
  EXPECT_TRUE(rig.boxes.is_live("ep", rig.now));
  rig.now += 1;
  EXPECT_EQ(rig.boxes.due(rig.now).silent, std::vector<std::string>{"ep"});
  EXPECT_FALSE(rig.boxes.is_live("ep", rig.now));
  EXPECT_TRUE(rig.boxes.due(rig.now).silent.empty()) << "said once";
  rig.now += 20'000;
  EXPECT_EQ(rig.boxes.due(rig.now).empty, std::vector<Poll>{second});
  EXPECT_TRUE(rig.boxes.heard("ep", rig.now)) << "back again";
  EXPECT_FALSE(rig.boxes.heard("ep", rig.now));
}

TEST(Mailboxes, ARevokedAgentIsNotLiveUntilItIsAdmittedAgain) {
  Rig rig;
  const auto poll = std::make_shared<FakePoll>();
  rig.poll(poll);
  EXPECT_EQ(rig.boxes.forget("ep"), poll);
  const auto late = std::make_shared<FakePoll>();
  EXPECT_FALSE(rig.poll(late).command);  // was under way when the credential was revoked
  EXPECT_EQ(rig.replaced, late) << "handed back, to be ended";
  EXPECT_FALSE(rig.boxes.is_live("ep", rig.now));
  EXPECT_TRUE(rig.boxes.is_cut_off("ep"));
  EXPECT_EQ(rig.put("a", 1), Mailboxes::Put::offline);
  rig.boxes.admit("ep");
  EXPECT_FALSE(rig.boxes.is_cut_off("ep"));
  rig.poll(late);
  EXPECT_EQ(rig.put("a", 1), Mailboxes::Put::handed);
}

TEST(RateLimit, CountsByKeyAndMinute) {
  RateLimit limit(2);
  EXPECT_TRUE(limit.take("a", 0));
  EXPECT_FALSE(limit.exhausted("a", 0));
  EXPECT_TRUE(limit.take("a", 1));
  EXPECT_TRUE(limit.exhausted("a", 1));
  EXPECT_FALSE(limit.take("a", 59'999));
  EXPECT_TRUE(limit.take("b", 59'999));
  EXPECT_TRUE(limit.take("a", 60'000));
  for (int i = 0; i < 50'000; ++i) limit.take("k" + std::to_string(i), 60'000);  // bounded memory
  EXPECT_FALSE(limit.take("one more", 60'000)) << "beyond the bound all share one allowance";
  EXPECT_TRUE(limit.take("one more", 120'000)) << "minutes that are over make room";
}

TEST(CredentialCache, ForgetsInTimeAndOnDemand) {
  CredentialCache cache(1000);
  cache.keep("h1", "ep1", 0);
  cache.keep("h2", "ep1", 0);
  EXPECT_EQ(cache.find("h1", 999).endpoint_id, "ep1");
  EXPECT_TRUE(cache.find("h1", 999).fresh);
  EXPECT_FALSE(cache.find("h1", 1000).fresh);
  EXPECT_EQ(cache.find("x", 0).endpoint_id, "");
  cache.drop("h1");
  EXPECT_EQ(cache.find("h1", 0).endpoint_id, "");
  cache.drop_endpoint("ep1");
  EXPECT_EQ(cache.find("h2", 0).endpoint_id, "");
}

TEST(Worker, DoesUrgentThingsFirstAndEndsWithAnEmptyQueue) {
  std::mutex gate;
  std::string order;
  {
    Worker worker(4);
    gate.lock();
    std::atomic<bool> started{false};
    ASSERT_TRUE(worker.add(false, [&] {
      started = true;
      const std::lock_guard wait(gate);
      order += '0';
    }));
    while (!started) std::this_thread::yield();
    ASSERT_TRUE(worker.add(false, [&] { order += 'p'; }));
    ASSERT_TRUE(worker.add(true, [&] { order += 'u'; }));
    ASSERT_TRUE(worker.add(false, [&] { order += 'p'; }));
    ASSERT_TRUE(worker.add(true, [&] { order += 'u'; }));
    EXPECT_FALSE(worker.add(true, [&] { order += 'x'; })) << "full";
    gate.unlock();
    worker.stop();
    EXPECT_FALSE(worker.add(true, [&] { order += 'y'; }));
  }
  EXPECT_EQ(order, "0uupp");
}

}  // namespace
}  // namespace fb::endpoint
