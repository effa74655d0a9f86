// What the audit says of exceptions: bounded, and what decides about an isolated host or an alert comes first, so that
// no length of the rest hides it. Pure, thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "engine/record/exceptions.h"

namespace fb::record {

// A JSON object of at most kMaxAuditText bytes: entries, platforms, tags, expiry, name, then the rest of the document.
// A member that is too long stands there as the beginning of its text. Of comments the newest, shortened.
std::string audit_text(const ExceptionRow& row);
inline constexpr size_t kMaxAuditText = 16'384;

// The items that went with a list, by name as far as there are kNamed.
class RemovedItems {
 public:
  static constexpr size_t kNamed = 50;
  void add(const std::string& item_id, const std::string& address, const std::string& name);
  std::string text(int64_t count) const;  // of all that went

 private:
  std::string named_;
  int64_t names_ = 0;
};

}  // namespace fb::record
