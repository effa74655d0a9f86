// What people noted about alerts: status, tags, assignees, notes; and reading alerts together with that. The alert's
// own row never changes. Thread-safe; writes are durable when they return and leave audit rows.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/result.h"

namespace fb {

class Store;

// An alert and its workflow.
struct AlertView {
  int64_t seq = 0;
  std::string alert_id;
  std::string rule_id;
  std::string endpoint_id;
  int64_t read_time_ms = 0;  // the document's @timestamp
  std::string doc;           // as it was kept
  bool noted = false;        // somebody changed what follows; else the document says it
  std::string status;        // open, acknowledged, closed
  std::vector<std::string> tags;
  std::vector<std::string> assignees;
  std::string reason;
  int64_t changed_at_ms = 0;
  std::string changed_by;
};

// Empty lists do not filter. Bounds are inclusive.
struct AlertPick {
  std::vector<std::string> alert_ids;
  std::vector<std::string> rule_ids;
  std::vector<std::string> statuses;
  std::vector<std::string> agent_ids;  // alerts whose event names several agents come too
  int64_t from_ms = std::numeric_limits<int64_t>::min();
  int64_t to_ms = std::numeric_limits<int64_t>::max();
  bool newest_first = true;
  int64_t limit = -1;  // none
  int64_t skip = 0;
};

struct AlertNote {
  std::string id;
  std::string alert_id;
  std::string text;
  int64_t created_at_ms = 0;
  std::string created_by;
  int64_t updated_at_ms = 0;
  std::string updated_by;
};

class Workflow {
 public:
  explicit Workflow(Store& store) : store_(store) {}

  Result<int64_t> count(const AlertPick& pick);  // without limit and skip
  // Hands out one alert after the other, by the time they were read; `take` ends it with false. It holds a snapshot of
  // the record: no slow work in it.
  Status each(const AlertPick& pick, const std::function<bool(const AlertView&)>& take);

  struct Changed {
    int64_t found = 0;    // of the ids that were asked for
    int64_t updated = 0;  // those that were not so already
  };
  Result<Changed> set_status(const std::vector<std::string>& alert_ids, const std::string& status,
                             const std::string& reason, const std::string& who);
  Result<Changed> change_tags(const std::vector<std::string>& alert_ids, const std::vector<std::string>& add,
                              const std::vector<std::string>& remove, const std::string& who);
  Result<Changed> change_assignees(const std::vector<std::string>& alert_ids, const std::vector<std::string>& add,
                                   const std::vector<std::string>& remove, const std::string& who);

  // An empty id makes a new note; only its author changes one (refused).
  Result<AlertNote> put_note(const std::string& id, const std::string& alert_id, const std::string& text,
                             const std::string& who);
  Result<std::vector<AlertNote>> notes(const std::vector<std::string>& alert_ids);  // none: all; oldest first
  // All or none: a note of somebody else is removed only with `of_others` (refused).
  Result<int64_t> remove_notes(const std::vector<std::string>& ids, const std::string& who, bool of_others);

 private:
  Result<Changed> change_list(const std::vector<std::string>& alert_ids, bool tags, const std::vector<std::string>& add,
                              const std::vector<std::string>& remove, const std::string& who);
  Store& store_;
};

}  // namespace fb
