#include "actions/notify/notifier.h"

#include <algorithm>
#include <optional>

#include "actions/notify/translate.h"
#include "engine/base/log.h"

namespace fb::notify {
namespace {

constexpr int64_t kPage = 200;
constexpr int64_t kMinuteMs = 60'000;
constexpr int64_t kFirstBackoffMs = 1000;
constexpr int64_t kMaxBackoffMs = 5 * kMinuteMs;
constexpr int kMaxRefusals = 5;
constexpr int64_t kSaveEveryMs = 5000;  // how often a cursor that passed only rows nobody is told of is written
constexpr int64_t kStepMs = 50;
constexpr int64_t kRemindEveryMs = 60'000;

}  // namespace

// One sink's thread.
class Notifier::Feed {
 public:
  Feed(Notifier& owner, Subscription subscription)
      : owner_(owner),
        s_(std::move(subscription)),
        cursor_name_("notify/" + s_.name),
        sent_(owner.metrics_.counter("firebreak_notifications_sent_total", "Notifications that a sink took",
                                     {{"sink", s_.name}})),
        failed_(owner.metrics_.counter("firebreak_notifications_failed_total", "Tries to notify that failed",
                                       {{"sink", s_.name}})),
        dropped_(owner.metrics_.counter("firebreak_notifications_dropped_total", "Notifications that were given up",
                                        {{"sink", s_.name}})),
        waiting_(owner.metrics_.gauge("firebreak_notifications_waiting", "Audit rows a sink has yet to go through",
                                      {{"sink", s_.name}})) {}

  void cancel() { s_.sink->cancel(); }

  void run() {
    trail_ = owner_.open_();
    while (!owner_.stopping_.load() && !begin()) owner_.pause(kFirstBackoffMs);
    while (!owner_.stopping_.load()) {
      if (!turn()) owner_.pause(kFirstBackoffMs);  // the record can't be read now
    }
    save(true);
  }

 private:
  bool begin() {
    const auto stored = trail_->cursor(cursor_name_);
    if (!stored) return false;
    if (*stored) {
      position_ = saved_ = **stored;
      return true;
    }
    const auto head = trail_->head();
    if (!head || !trail_->set_cursor(cursor_name_, *head)) return false;
    position_ = saved_ = *head;
    return true;
  }

  // One look at the record; false when it could not be read.
  bool turn() {
    const int64_t now = owner_.clock_.mono_ms();
    if (now - minute_began_ >= kMinuteMs) {
      if (!digest_.empty() && !deliver(digest_.close())) return true;
      minute_began_ = owner_.clock_.mono_ms();
      in_minute_ = 0;
      save(false);
    }
    const auto rows = trail_->rows(position_, kPage);
    if (!rows) return false;
    if (rows->empty()) {
      waiting_.set(0);
      save(false);
      owner_.pause(owner_.options_.poll_ms);
      return true;
    }
    for (const TrailRow& row : *rows) {
      if (owner_.stopping_.load()) return true;
      const auto told = translate(row, *trail_);
      if (!told) return false;
      const bool wanted = *told && s_.wants(**told);
      if (wanted && !take(**told)) return true;
      position_ = row.seq;
      if (wanted) save(true);
    }
    save(false);
    return true;
  }

  // False: not delivered, since it is time to end.
  bool take(const Notification& n) {
    const Kind* kind = find_kind(n.kind);
    const bool always = kind != nullptr && kind->of_service;
    if (!always && in_minute_ >= owner_.options_.max_per_minute) {
      digest_.add(n);
      return true;
    }
    if (!always) ++in_minute_;
    return deliver(n);
  }

  bool deliver(const Notification& n) {
    int64_t backoff = kFirstBackoffMs;
    int refusals = 0;
    const int64_t began = owner_.clock_.mono_ms();
    while (!owner_.stopping_.load()) {
      const Status sent = s_.sink->send(n);
      if (sent) {
        sent_.add_one();
        return true;
      }
      if (owner_.stopping_.load()) break;
      failed_.add_one();
      if (const auto head = trail_->head()) waiting_.set(static_cast<double>(std::max<int64_t>(0, *head - position_)));
      if (sent.error().retry == Retry::no) ++refusals;
      const bool late = owner_.clock_.mono_ms() - began >= owner_.options_.give_up_after_ms;
      if (late || refusals >= kMaxRefusals) {
        dropped_.add_one();
        log(LogLevel::error, "notification_given_up", "a sink did not take a notification; it is in the audit",
            {{"sink", s_.name}, {"id", n.id}, {"kind", n.kind}, {"cause", sent.error().describe()}});
        return true;
      }
      if (backoff == kFirstBackoffMs) {
        log(LogLevel::warn, "notification_failed", "a sink takes no notification now; it will be tried again",
            {{"sink", s_.name}, {"id", n.id}, {"kind", n.kind}, {"cause", sent.error().describe()}});
      }
      owner_.pause(backoff);
      backoff = std::min(backoff * 2, kMaxBackoffMs);
    }
    return false;
  }

  // What waits in the digest is not sent yet, so the cursor stays before it.
  void save(bool now) {
    const int64_t safe = digest_.empty() ? position_ : digest_.first_seq() - 1;
    if (safe <= saved_) return;
    const int64_t at = owner_.clock_.mono_ms();
    if (!now && at - saved_at_ < kSaveEveryMs) return;
    if (!trail_->set_cursor(cursor_name_, safe)) return;  // the next one will do; a repeat is allowed
    saved_ = safe;
    saved_at_ = at;
  }

  Notifier& owner_;
  Subscription s_;
  const std::string cursor_name_;
  Counter& sent_;
  Counter& failed_;
  Counter& dropped_;
  Gauge& waiting_;
  std::unique_ptr<Trail> trail_;
  int64_t position_ = 0;
  int64_t saved_ = 0;
  int64_t saved_at_ = 0;
  int64_t minute_began_ = INT64_MIN / 2;
  int64_t in_minute_ = 0;
  Digest digest_;
};

Notifier::Notifier(std::vector<Subscription> sinks, OpenTrail open, const Clock& clock, Metrics& metrics,
                   NotifierOptions options)
    : open_(std::move(open)), clock_(clock), metrics_(metrics), options_(options) {
  for (Subscription& s : sinks) feeds_.push_back(std::make_unique<Feed>(*this, std::move(s)));
  for (const auto& feed : feeds_) threads_.emplace_back([raw = feed.get()] { raw->run(); });
  threads_.emplace_back([this] { remind(); });
}

Notifier::~Notifier() {
  stop();
}

void Notifier::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_.exchange(true)) return;
  }
  wake_.notify_all();
  for (const auto& feed : feeds_) feed->cancel();
  for (std::thread& t : threads_) t.join();
}

bool Notifier::pause(int64_t ms) {
  const int64_t until = clock_.mono_ms() + ms;
  std::unique_lock lock(mutex_);
  while (!stopping_.load() && clock_.mono_ms() < until) {
    wake_.wait_for(lock, std::chrono::milliseconds(std::min(kStepMs, std::max<int64_t>(1, until - clock_.mono_ms()))));
  }
  return !stopping_.load();
}

void Notifier::remind() {
  const std::unique_ptr<Trail> trail = open_();
  do {
    const auto noted = note_standing_isolations(*trail, clock_.wall_ms(), options_.reminder_ms);
    if (!noted) {
      log(LogLevel::warn, "reminder_failed", "standing isolations could not be looked at",
          {{"cause", noted.error().describe()}});
    }
  } while (pause(std::min(kRemindEveryMs, options_.reminder_ms)));
}

Result<int> note_standing_isolations(Trail& trail, int64_t now_ms, int64_t period_ms) {
  FB_TRY(const std::vector<Standing> all, trail.standing());
  int noted = 0;
  for (const Standing& s : all) {
    if (s.isolated_at_ms <= 0) continue;
    const std::string name = "reminder/" + s.endpoint_id;
    FB_TRY(const std::optional<int64_t> last, trail.cursor(name));
    // A reminder of an earlier isolation of this endpoint does not count.
    const int64_t base = last && *last > s.isolated_at_ms ? *last : s.isolated_at_ms;
    if (now_ms - base < period_ms) continue;
    const int64_t hours = (now_ms - s.isolated_at_ms) / 3'600'000;
    FB_TRY_VOID(trail.note("isolation_standing", s.endpoint_id, "isolated for " + std::to_string(hours) + " h"));
    FB_TRY_VOID(trail.set_cursor(name, now_ms));
    ++noted;
  }
  return noted;
}

}  // namespace fb::notify
