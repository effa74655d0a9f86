#include "engine/model/action_life.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

namespace fb {
namespace {

constexpr int kStates = 13;
ActionState state(int i) {
  return static_cast<ActionState>(i);
}

// Written out by hand from the meaning of the states, apart from the table under test.
const std::map<std::string, std::set<std::string>> kLegal{
    {"requested", {"queued", "dispatched", "blocked", "failed", "expired", "superseded"}},
    {"awaiting_approval", {"requested", "denied", "blocked", "expired", "superseded"}},
    {"queued", {"dispatched", "blocked", "unknown", "accepted", "verified", "failed", "expired", "superseded"}},
    {"dispatched", {"queued", "blocked", "unknown", "accepted", "verified", "failed", "expired", "superseded"}},
    {"unknown", {"queued", "dispatched", "blocked", "accepted", "verified", "failed", "expired", "superseded"}},
    {"accepted", {"unknown", "verified", "failed", "expired", "superseded"}},
};

TEST(ActionLife, WholeMatrixOfMoves) {
  int checked = 0;
  for (int from = 0; from < kStates; ++from) {
    for (int to = 0; to < kStates; ++to) {
      const std::string from_word(to_string(state(from)));
      const std::string to_word(to_string(state(to)));
      const auto row = kLegal.find(from_word);
      const bool expected = row != kLegal.end() && row->second.contains(to_word);
      EXPECT_EQ(is_legal_move(state(from), state(to)), expected) << from_word << " -> " << to_word;
      ++checked;
    }
  }
  EXPECT_EQ(checked, 169);
}

TEST(ActionLife, OnlyOpenStatesHaveAWayOut) {
  for (int from = 0; from < kStates; ++from) {
    int ways = 0;
    for (int to = 0; to < kStates; ++to) ways += is_legal_move(state(from), state(to)) ? 1 : 0;
    EXPECT_EQ(ways > 0, is_open(state(from))) << to_string(state(from));
    EXPECT_FALSE(is_legal_move(state(from), state(from))) << to_string(state(from));
  }
}

// Whatever was approved or requested can only come to `verified` through `dispatched`.
TEST(ActionLife, NothingIsVerifiedThatWasNeverDispatched) {
  std::set<int> reached{static_cast<int>(ActionState::requested), static_cast<int>(ActionState::awaiting_approval)};
  for (int round = 0; round < kStates; ++round) {
    for (const int from : std::set<int>(reached)) {
      if (state(from) == ActionState::queued) continue;  // queued first comes from requested, and then has no answer
      for (int to = 0; to < kStates; ++to) {
        if (to == static_cast<int>(ActionState::dispatched)) continue;
        if (is_legal_move(state(from), state(to))) reached.insert(to);
      }
    }
  }
  EXPECT_FALSE(reached.contains(static_cast<int>(ActionState::verified)));
  EXPECT_FALSE(reached.contains(static_cast<int>(ActionState::accepted)));
}

TEST(ActionLife, RowsBeginWhereTheGuardPutsThem) {
  const std::set<std::string> starts{"requested", "dry_run", "awaiting_approval", "blocked"};
  for (int s = 0; s < kStates; ++s) {
    EXPECT_EQ(is_legal_start(state(s)), starts.contains(std::string(to_string(state(s))))) << to_string(state(s));
  }
}

}  // namespace
}  // namespace fb
