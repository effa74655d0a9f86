// Names to numbers for what stays open on an isolated host, with the last good answer of each kept on the disk: after
// the cut there may be no name server to ask. Asking happens on threads of its own, so a resolver that hangs delays
// nobody beyond the wait that he asked for. Used by one thread (under the enforcer's lock).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actions/endpoint/allow_set.h"
#include "engine/base/clock.h"
#include "engine/base/result.h"

namespace fb::agent {

using Resolve = std::function<Result<std::vector<endpoint::Prefix>>(const std::string& host)>;
Result<std::vector<endpoint::Prefix>> resolve_with_the_system(const std::string& host);

class NameCache {
 public:
  static constexpr int64_t kFreshMs = 300'000;
  static constexpr size_t kMaxAddresses = 64;  // of one name

  // A file that can't be read is as none. `clock` outlives the cache; `resolve` is copied and may be called after it.
  NameCache(std::string file, Resolve resolve, const Clock& clock);
  ~NameCache();
  NameCache(const NameCache&) = delete;
  NameCache& operator=(const NameCache&) = delete;

  // Asks for every name that has no answer of the last kFreshMs, and waits up to wait_ms (real time, for all of them
  // together). Numeric hosts cost nothing.
  void ask(const std::vector<std::string>& hosts, int wait_ms);
  // Takes in what came since. True when an answer changed.
  bool collect();

  struct Numbers {
    std::vector<endpoint::Prefix> addresses;  // the last good answer, sorted
    std::string problem;                      // why there is none, or none that is new; "" = all is well
  };
  Numbers numbers(const std::string& host) const;

 private:
  struct Shared;
  struct Answer;
  struct Known;
  void save() const;

  const std::string file_;
  const Resolve resolve_;
  const Clock& clock_;
  std::shared_ptr<Shared> shared_;
  std::unique_ptr<Known> known_;
};

}  // namespace fb::agent
