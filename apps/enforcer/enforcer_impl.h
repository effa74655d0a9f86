// The inside of the enforcer; only its sources see it. enforcer_orders.cpp judges and obeys envelopes,
// enforcer_local.cpp is what the host does by itself (lease, break-glass, drift, time), enforcer_open.cpp brings the
// state of before back.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "apps/enforcer/background.h"
#include "apps/enforcer/cut_plan.h"
#include "apps/enforcer/enforcer.h"
#include "apps/enforcer/enforcer_files.h"
#include "apps/enforcer/journal.h"

namespace fb::agent {

inline constexpr int kResolveOnTheWayMs = 2'000;   // names may hold up an isolation this long, in all
inline constexpr int64_t kNamesEveryMs = 300'000;  // how often names are asked for again
inline constexpr int64_t kNamesRetryMs = 10'000;   // when one had no answer
inline constexpr int64_t kProbeRetryMs = 10'000;   // while the control plane can't be reached
inline constexpr int64_t kForEverMs = 1LL << 50;   // what is longer is taken as this long
inline constexpr int64_t kHourMs = 3'600'000;      // of changes_per_hour
inline constexpr int64_t kFreeTries = 5;           // break-glass codes before the first wait
inline constexpr int64_t kFirstWaitMs = 30'000;    // doubles with every wrong code
inline constexpr int64_t kLongestWaitMs = 3'600'000;
inline constexpr size_t kMaxCodeBytes = 256;
inline constexpr size_t kManyMends = 5;  // within a minute: somebody fights the isolation
inline constexpr int64_t kManyMendsMs = 60'000;

// Set from the backend's thread, read by the enforcer's; outlives both ends.
struct WakeUp {
  std::mutex mutex;
  std::condition_variable_any wake;
  bool changed = false;
};

// Calls the notice on a thread of its own, so that a terminal that hangs holds up no order.
class Notifier {
 public:
  explicit Notifier(UserNotice notice) : notice_(std::move(notice)) {}
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;
  void tell(Isolation now, std::string comment, std::string message);

 private:
  struct Notice {
    Isolation now = Isolation::unknown;
    std::string comment;
    std::string message;
  };
  void run(const std::stop_token& stop);

  const UserNotice notice_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<Notice> waiting_;
  std::jthread thread_;
};

class EnforcerImpl final : public Enforcer {
 public:
  using Number = EnforcerFiles::Number;

  EnforcerImpl(EnforcerOptions options, IsolationBackend& backend, const Clock& clock, Identity identity,
               EnforcerFiles files, Journal journal);
  ~EnforcerImpl() override;

  Report carry(const std::string& envelope, const std::function<void()>& on_begin) override;
  Result<EnforcementStatus> status() override;
  Status break_glass(const std::string& code) override;
  void tick() override;
  void start_thread() override;

  Status bring_back();  // once, after the constructor

 private:
  // The isolation in force.
  struct Standing {
    int64_t generation = 0;
    endpoint::CutPolicy policy;
    std::string break_glass_sha256;
    Number isolate;
    std::optional<Number> update;
    std::optional<Number> renew;
  };
  struct Known {
    Verb verb = Verb::isolate;
    int64_t generation = 0;
    int64_t epoch = 0;
    bool finished = false;
    bool ok = false;
    std::string message;
  };
  struct Newest {
    std::string action_id;
    Known what;
  };
  // What the journal says was begun last and not finished.
  struct Replay {
    std::optional<Number> isolate, update, renew;
    int64_t isolate_generation = 0;
    std::optional<JournalEntry> unfinished;
    std::optional<JournalEntry> local;  // the last event, if it was a local release
  };
  using StoredOrders = std::map<Number, std::pair<endpoint::Envelope, std::string>>;

  // enforcer_orders.cpp
  Report obey(const endpoint::Envelope& e, const std::string& text, const std::function<void()>& on_begin);
  Report change(const endpoint::Envelope& e, const std::string& text, const std::function<void()>& on_begin);
  // Makes the order count: the envelope is kept, then the journal's line. A report: it was not run, and why.
  std::optional<Report> commit(const endpoint::Envelope& e, const std::string& text, const JournalEntry& begin);
  Report isolate(const endpoint::Envelope& e, const std::string& text, const std::function<void()>& on_begin);
  Report release(const endpoint::Envelope& e, const std::function<void()>& on_begin);
  Report adjust(const endpoint::Envelope& e, const std::string& text, const std::function<void()>& on_begin);
  Report set_again(const endpoint::Envelope& e);
  std::string why_not(const endpoint::Envelope& isolation);  // "" = it may be obeyed
  Status rotate_keys(const endpoint::KeySet& trust, const std::string& text);
  void stand(const endpoint::Envelope& e);
  void set_lease(Number order, int64_t lease_ms);
  Report report_of(const JournalEntry& about, Report::Kind kind, std::string message);
  Report refuse(const endpoint::Envelope& e, std::string message);
  static JournalEntry entry_of(const endpoint::Envelope& e, int64_t at_ms);
  // Reads back, writes the journal's second line, learns it.
  Report finish(const JournalEntry& begun, const Status& applied);

  // enforcer_local.cpp
  Status local_release(const std::string& how, const std::string& proof, const std::string& comment);
  Status end_isolation(const LocalRelease& release, const std::string& comment);
  void look();
  void refresh_names();
  void check_probe();
  int ms_to_next_tick();
  void run(const std::stop_token& stop);
  void start_probe(bool may_roll_back);
  Status append_for_release(const JournalEntry& entry);
  // Writes; when the disk is full, once more with the space that is held back.
  template <class Write>
  Status with_room(const Write& write) {
    Status written = write();
    if (written || written.error().code != ErrorCode::no_space) return written;
    files_.free_space();
    return write();
  }

  // enforcer_open.cpp
  StoredOrders verified_orders();
  void learn(const JournalEntry& entry);
  void stand_again(const StoredOrders& orders);
  void forget_isolation();

  Status apply_cut(int wait_ms);
  Isolation observe();
  Status keep_state();
  void drop_old_orders();
  void hold_space();
  int64_t service_now() const;
  void hear_service_time(int64_t ms);  // never back
  void set_service_time(int64_t ms);
  int64_t lease_left() const;
  int64_t now() const { return clock_.mono_ms(); }
  bool too_many_changes();

  const EnforcerOptions options_;
  IsolationBackend& backend_;
  const Clock& clock_;
  Notifier notifier_;

  std::mutex mutex_;  // everything below
  Identity identity_;
  endpoint::KeySet retired_;
  EnforcerFiles files_;
  Journal journal_;
  LastingState state_;
  NameCache names_;

  std::unordered_map<std::string, Known> known_;
  std::optional<Newest> newest_;
  Replay replay_;
  Isolation wanted_ = Isolation::unknown;  // unknown: no order says anything
  bool settled_ = true;                    // the wanted state was read back
  std::optional<Standing> standing_;
  std::optional<int64_t> lease_end_;  // mono
  int64_t service_base_ms_ = 0;       // the service's time ...
  int64_t service_base_at_ = 0;       // ... at this mono
  std::deque<int64_t> changes_;       // mono
  int64_t code_wait_end_ = 0;         // mono
  int64_t last_sync_ = 0;
  int64_t last_look_ = 0;
  int64_t next_names_ = 0;
  endpoint::CutPolicy expected_;  // services that an isolation is likely to name: looked up while there is a network

  CutPlan plan_;  // in force while isolated
  int64_t drift_events_ = 0;
  std::deque<int64_t> mends_;
  Background<bool> probe_;
  bool probe_may_roll_back_ = false;
  bool control_plane_lost_ = false;
  std::optional<int64_t> next_probe_;

  std::vector<std::string> problems_at_start_;
  std::string state_problem_, mend_problem_, watch_problem_, key_problem_;

  std::shared_ptr<WakeUp> wake_ = std::make_shared<WakeUp>();
  std::jthread thread_;  // last: ends before what it uses
};

// The journal's words for a local release.
bool is_local(const std::string& order);

}  // namespace fb::agent
