#include "apps/enforcer/journal.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include "tests/unit/agent/agent_support.h"

namespace fb::agent {
namespace {

using test::get_file;
using test::lines_of;
using test::put_file;
using test::TemporaryFolder;

JournalEntry entry(const std::string& id, int64_t generation, JournalEntry::Phase phase) {
  JournalEntry e;
  e.action_id = id;
  e.generation = generation;
  e.verb = Verb::isolate;
  e.phase = phase;
  e.at_ms = 1'700'000'000'123;
  if (phase == JournalEntry::Phase::done) {
    e.result = "done";
    e.observed = Isolation::isolated;
  }
  return e;
}
constexpr auto kBegin = JournalEntry::Phase::begin;
constexpr auto kDone = JournalEntry::Phase::done;

TEST(Journal, ALineReadsBackAsItWasWritten) {
  JournalEntry e = entry("a\"b\n\xC3\xA9", 7, kDone);
  e.result = "failed";
  e.message = "line\nbreak";
  const std::string line = write_entry(e);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto back = read_entry(line);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->action_id, e.action_id);
  EXPECT_EQ(back->generation, 7);
  EXPECT_EQ(back->phase, kDone);
  EXPECT_EQ(back->result, "failed");
  EXPECT_EQ(back->observed, Isolation::isolated);
  EXPECT_EQ(back->message, e.message);
  EXPECT_EQ(back->at_ms, e.at_ms);
  EXPECT_NE(line.find(R"("at":"2023-11-14T22:13:20.123Z")"), std::string::npos) << line;
}

TEST(Journal, KnowsWhichOrderItWasAndReadsLinesOfAnOlderAgent) {
  JournalEntry e = entry("", 7, kBegin);
  e.order = "renew";
  e.epoch = 3;
  e.revision = 12;
  const auto back = read_entry(write_entry(e));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->order, "renew");
  EXPECT_EQ(back->epoch, 3);
  EXPECT_EQ(back->revision, 12);
  e.order = "isolate";
  EXPECT_FALSE(read_entry(write_entry(e))) << "an isolation has an action";
  const auto old = read_entry(R"({"action_id":"a","generation":2,"verb":"release","phase":"begin","at_ms":5})");
  ASSERT_TRUE(old);
  EXPECT_EQ(old->order, "");
  EXPECT_EQ(old->epoch, 0);
  EXPECT_EQ(old->revision, 0);
}

TEST(Journal, ReplaysWhatWasAppended) {
  const TemporaryFolder dir;
  {
    auto journal = Journal::open(dir / "j");
    ASSERT_TRUE(journal);
    EXPECT_TRUE(journal->replayed().empty());
    ASSERT_TRUE(journal->append(entry("a", 1, kBegin)));
    ASSERT_TRUE(journal->append(entry("a", 1, kDone)));
  }
  const auto again = Journal::open(dir / "j");
  ASSERT_TRUE(again);
  ASSERT_EQ(again->replayed().size(), 2u);
  EXPECT_EQ(again->replayed()[1].phase, kDone);
  EXPECT_FALSE(again->was_torn());
  struct stat facts {};
  ASSERT_EQ(::stat((dir / "j").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
}

// A crash may leave any prefix of the last line.
TEST(Journal, CutsOffATornLastLineWhereverItIsTorn) {
  const TemporaryFolder dir;
  const std::string first = write_entry(entry("a", 1, kBegin)) + "\n";
  const std::string second = write_entry(entry("b", 2, kBegin)) + "\n";
  for (size_t cut = 1; cut < second.size(); cut += cut < 5 || cut + 12 > second.size() ? 1 : 9) {
    put_file(dir / "j", first + second.substr(0, cut));
    auto journal = Journal::open(dir / "j");
    ASSERT_TRUE(journal) << cut;
    EXPECT_TRUE(journal->was_torn());
    ASSERT_EQ(journal->replayed().size(), 1u);
    ASSERT_TRUE(journal->append(entry("c", 3, kBegin)));
    const auto lines = lines_of(dir / "j");
    ASSERT_EQ(lines.size(), 2u) << cut;
    EXPECT_EQ(read_entry(lines[1])->action_id, "c");
  }
}

TEST(Journal, PassesOverABrokenLineInTheMiddleAndCountsIt) {
  const TemporaryFolder dir;
  const std::string good = write_entry(entry("a", 1, kBegin)) + "\n";
  put_file(dir / "j", good + "{\"action_id\":\n\n[]\n{\"action_id\":\"x\"}\n" + good);
  const auto journal = Journal::open(dir / "j");
  ASSERT_TRUE(journal);
  EXPECT_EQ(journal->replayed().size(), 2u);
  EXPECT_EQ(journal->broken_lines(), 3u);
}

TEST(Journal, IsAsItWasAfterAFailedWrite) {
  const TemporaryFolder dir;
  auto journal = Journal::open(dir / "j");
  ASSERT_TRUE(journal);
  ASSERT_TRUE(journal->append(entry("a", 1, kBegin)));
  const std::string before = get_file(dir / "j");
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = old;
  small.rlim_cur = before.size() + 10;  // a part of the next line fits
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status failed = journal->append(entry("b", 2, kBegin));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_FALSE(failed);
  EXPECT_EQ(get_file(dir / "j"), before);
  EXPECT_TRUE(journal->append(entry("c", 3, kBegin)));
  EXPECT_EQ(lines_of(dir / "j").size(), 2u);
}

TEST(Journal, HasOneOwner) {
  const TemporaryFolder dir;
  auto journal = Journal::open(dir / "j");
  ASSERT_TRUE(journal);
  const auto second = Journal::open(dir / "j");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::busy);
}

TEST(Journal, ThatGrewTooLongBeginsAnewWithWhatStillMatters) {
  const TemporaryFolder dir;
  std::string text = write_entry(entry("earlier", 1, kBegin)) + "\n";
  text += write_entry(entry("stands", 2, kBegin)) + "\n" + write_entry(entry("stands", 2, kDone)) + "\n";
  const size_t renewals = Journal::kKeptEntries + 500;
  for (size_t i = 0; i < renewals; ++i) {
    JournalEntry renew = entry("", 2, kBegin);
    renew.order = "renew";
    renew.epoch = 1;
    renew.revision = static_cast<int64_t>(i + 10);
    text += write_entry(renew) + "\n";
  }
  put_file(dir / "j", text);
  {
    const auto long_one = Journal::open(dir / "j", text.size());
    ASSERT_TRUE(long_one);
    EXPECT_EQ(long_one->replayed().size(), renewals + 3) << "not too long yet";
  }
  {
    auto journal = Journal::open(dir / "j", text.size() - 1);
    ASSERT_TRUE(journal) << journal.error().describe();
    const auto& kept = journal->replayed();
    ASSERT_EQ(kept.size(), Journal::kKeptEntries + 3);
    EXPECT_EQ(kept[0].action_id, "stands");
    EXPECT_EQ(kept[1].phase, kDone);
    EXPECT_EQ(kept[2].order, "renew");
    EXPECT_EQ(kept.back().revision, static_cast<int64_t>(renewals + 9));
    ASSERT_TRUE(journal->append(entry("next", 3, kBegin)));
  }
  EXPECT_EQ(get_file(dir / "j.1"), text);
  const auto again = Journal::open(dir / "j");
  ASSERT_TRUE(again);
  EXPECT_EQ(again->replayed().size(), Journal::kKeptEntries + 4);
  EXPECT_EQ(again->replayed().back().action_id, "next");
}

TEST(Journal, SaysWhenItCannotBeOpened) {
  const TemporaryFolder dir;
  const auto missing = Journal::open(dir / "no/j");
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().describe().find("no/j"), std::string::npos);
}

}  // namespace
}  // namespace fb::agent
