// Exception lists that stand in no record, for a rule book: what they hold, and whether they can be read, is the test's
// to say. Thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>

#include "engine/compile/live_exceptions.h"

namespace fb::test {

class FakeLists {
 public:
  // The list excepts this user ("" = nobody).
  void excepts(const std::string& list_id, const std::string& user) {
    const std::lock_guard lock(mutex_);
    items_[list_id] = user.empty() ? "" : entry("match", user);
  }
  // It can be read, but not run.
  void breaks(const std::string& list_id) {
    const std::lock_guard lock(mutex_);
    items_[list_id] = entry("no-such-type", "x");
  }
  // It can't be read from the next reading but `after` on.
  void fails(const std::string& list_id, int after = 0) {
    const std::lock_guard lock(mutex_);
    failing_[list_id] = after;
  }
  void recovers(const std::string& list_id) {
    const std::lock_guard lock(mutex_);
    failing_.erase(list_id);
  }
  ListReader reader() {
    return [this](const ListReference& list) { return read(list.list_id); };
  }

 private:
  static std::string entry(const std::string& type, const std::string& value) {
    return R"({"item_id":"i","name":"n","description":"d","type":"simple","namespace_type":"single","entries":[)"
           R"({"field":"user.name","operator":"included","type":")" +
           type + R"(","value":")" + value + "\"}]}";
  }
  Result<ListContent> read(const std::string& list_id) {
    const std::lock_guard lock(mutex_);
    if (const auto it = failing_.find(list_id); it != failing_.end() && it->second-- <= 0) {
      return fail(ErrorCode::busy, "the record is locked");
    }
    ListContent content;
    const auto it = items_.find(list_id);
    content.known = it != items_.end();
    if (content.known && !it->second.empty()) content.items.push_back({"i", it->second, {}});
    return content;
  }

  std::mutex mutex_;
  std::map<std::string, std::string> items_;
  std::map<std::string, int> failing_;
};

}  // namespace fb::test
