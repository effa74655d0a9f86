// What the parts of the store share; only its own sources see this file.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/record/directory.h"
#include "engine/record/growing_count.h"
#include "engine/record/ledger.h"
#include "engine/record/remembered.h"
#include "engine/record/sqlite.h"
#include "engine/record/store.h"
#include "engine/record/writer.h"

namespace fb {

// The word in an endpoint's problems, and of its audit row.
inline constexpr const char* kDuplicateIdentity = "duplicate_identity";

namespace record {

// Read-only connections, lent to one thread at a time.
class ReadPool {
 public:
  ReadPool(std::string db_path, int busy_timeout_ms, int64_t limit_ms)
      : path_(std::move(db_path)), busy_timeout_ms_(busy_timeout_ms), limit_ms_(limit_ms) {}
  template <class T>
  Result<T> with(const std::function<Result<T>(Sqlite&)>& read) {
    FB_TRY(std::unique_ptr<Sqlite> db, take());
    Result<T> answer = read(*db);
    give(std::move(db));
    return answer;
  }

 private:
  Result<std::unique_ptr<Sqlite>> take();
  void give(std::unique_ptr<Sqlite> db);
  const std::string path_;
  const int busy_timeout_ms_;
  const int64_t limit_ms_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Sqlite>> free_;
};

// Who it is that acts, however the name is written.
std::string person(std::string_view who);

// What became of one planned action.
struct KeptAction {
  std::string action_id;  // the open action when it joined that
  ActionState state = ActionState::requested;
  std::string guard;
  std::string detail;
  bool intent = false;
};

}  // namespace record

struct Store::Impl {
  StoreOptions options;
  const Clock* clock = nullptr;
  int lock_fd = -1;
  std::string db_path;
  record::Protection protection;
  record::LiveDirectory directory;
  std::atomic<bool> kill_switch{false};
  std::unique_ptr<record::ReadPool> readers;

  // What each endpoint said last, so that a heartbeat that says the same costs no transaction.
  struct LastSeen {
    EndpointReport report;
    int64_t written_ms = 0;
  };
  std::mutex seen_mutex;
  std::unordered_map<std::string, LastSeen> last_seen;
  void forget_seen(const std::string& endpoint_id);
  // What is remembered of an endpoint's health in this run; under seen_mutex too.
  struct Health {
    int64_t window_began_ms = 0;
    int64_t window_began_at = 0;  // the drift events it had told of then
    bool fights = false;          // in the window before
    bool unproven = false;        // it let itself back in and could not prove why
    // What the audit says last of its health, and how often that changed since without a row of its own.
    std::string told;
    int64_t told_ms = 0;
    int64_t changes = 0;
  };
  std::unordered_map<std::string, Health> healths;
  std::string trouble_of(const EndpointReport& report, int64_t now_ms);
  Status tell_health(record::Txn& txn, const std::string& endpoint_id, const std::string& before,
                     const std::string& is_now, const std::string& trouble, const std::string& actor);
  std::unordered_set<std::string> contested;  // endpoints with duplicate_since > 0; under seen_mutex

  // Who makes a request, asked with every one of them.
  std::atomic<uint64_t> identities{1};  // raised by every write of people, keys and sessions
  record::Remembered<UserRow> users;
  record::Remembered<KeyRow> keys;
  record::Remembered<SessionRow> sessions;

  // Totals that pages tell. No row of these tables is ever taken away.
  record::GrowingCount alert_count{record::kAlertsCounted};
  record::GrowingCount rule_action_count{record::kActionsByRulesCounted};

  std::unique_ptr<record::Writer> writer;

  ~Impl();

  // identities.cpp: the only way to write what `identities` counts.
  Status change_identities(record::Writer::Work work);
  // keep.cpp: judges a planned action, writes its verdict, its row and, when nothing stands against it, its intent.
  // An action id that is known already changes nothing.
  Result<record::KeptAction> keep_planned(record::Txn& txn, const PlannedAction& planned,
                                          const std::vector<std::string>& alert_ids);
  Result<Judgement> judge(record::Txn& txn, const PlannedAction& planned);
  Status make_intent(record::Txn& txn, const std::string& action_id, Verb verb, const std::string& endpoint_id,
                     const std::string& requested_by);
  // actions.cpp
  Status end_action(record::Txn& txn, const std::string& action_id, ActionState to, const std::string& actor,
                    const std::string& detail, Guard guard = Guard::none);
  // The last look before an isolation goes out. False: it must not, and was ended.
  Result<bool> may_go_out(record::Txn& txn, const PlannedAction& planned, int64_t generation, int64_t expires_at_ms);
  Status housekeeping(record::Txn& txn);
  // endpoints.cpp. An answer about a command that was overtaken since is old news; a heartbeat tells what is now,
  // whatever generation it names (an agent that was installed anew begins at 0).
  enum class Told : uint8_t { in_answer, in_heartbeat };
  Status observe(record::Txn& txn, const std::string& endpoint_id, Isolation observed, int64_t generation, Told told,
                 const std::string& actor);
  Status load_directory(record::Sqlite& db);
  Status load_contested(record::Sqlite& db);
  static Status check_report(const EndpointReport& report);
  Status take_local_release(record::Txn& txn, const EndpointReport& report);
  // enrollments.cpp
  Status end_contest(record::Txn& txn, const std::string& endpoint_id);
  Status write_enrolled(record::Txn& txn, const EndpointReport& agent);
  void reload_directory_after(record::Txn& txn, const std::string& endpoint_id);
  Status add_certificate(record::Txn& txn, const std::string& endpoint_id, const std::string& sha256,
                         int64_t expires_at_ms);
};

}  // namespace fb
