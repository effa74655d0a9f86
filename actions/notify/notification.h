// One thing that people are told: what it is, how grave, about which host. Plain data and its JSON; pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fb::notify {

enum class Level : uint8_t { low, medium, high, critical };
std::string_view to_string(Level level);
std::optional<Level> level_from(std::string_view word);

// Every kind there is, with its level. A filter names kinds as they are spelt here.
struct Kind {
  std::string_view name;
  Level level = Level::medium;
  bool of_service = false;  // about Firebreak as a whole: never folded into a digest
};
std::span<const Kind> all_kinds();
const Kind* find_kind(std::string_view name);

struct Notification {
  std::string id;  // the same for the same thing after a restart: a receiver may drop repeats by it
  int64_t seq = 0;
  std::string kind;
  Level level = Level::medium;
  std::string at;  // ISO 8601, UTC
  std::string endpoint_id;
  std::string hostname;
  std::string action_id;
  std::string command;  // isolate or release
  std::string rule_id;
  std::string comment;
  std::string who;
  std::string verdict;
  std::string guard;
  std::string detail;
  std::string text;                       // one printable line that says it all
  std::map<std::string, int64_t> counts;  // of a digest: how many of each kind
  std::vector<std::string> samples;       // of a digest: the first few lines
};

// {"id","kind","severity","time",...}: every key always there, "" where it does not apply; counts and samples only in
// a digest. docs/notifications.md describes it.
std::string json_body(const Notification& n);

// Folds notifications of which there are too many into one. Bounded however many are added.
class Digest {
 public:
  void add(const Notification& n);
  bool empty() const { return total_ == 0; }
  int64_t first_seq() const { return first_seq_; }
  Notification close();  // the digest; empty afterwards

 private:
  int64_t total_ = 0;
  int64_t first_seq_ = 0;
  int64_t last_seq_ = 0;
  Level level_ = Level::low;
  std::string first_at_;
  std::string last_at_;
  std::map<std::string, int64_t> counts_;
  std::vector<std::string> samples_;
};

}  // namespace fb::notify
