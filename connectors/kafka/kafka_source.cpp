#include "connectors/kafka/kafka_source.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <limits>
#include <mutex>
#include <thread>

#include "connectors/kafka/client_stats.h"
#include "connectors/kafka/handles.h"
#include "connectors/kafka/placement.h"
#include "engine/base/log.h"

namespace fb {
namespace {

using namespace kafka;

constexpr int kPollSliceMs = 100;     // how long one wait inside the client may last
constexpr int kAskTimeoutMs = 3'000;  // one question to the broker on assignment
constexpr int kAskAgainMs = 300;
constexpr int kCommitEveryMs = 1'000;
constexpr int kCommitLostMs = 30'000;     // an unanswered commit is sent again
constexpr int kHandBackCommitMs = 3'000;  // commit while partitions are handed back
constexpr int kCloseMs = 4'000;
constexpr int kDestroyMs = 3'000;
constexpr int kRecheckMs = 15'000;  // a partition that stopped beyond the end of its log
constexpr int kRecreateEveryMs = 2'000;

int64_t steady_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct Partition {
  std::string topic;
  int32_t id = 0;
  int64_t handled = 0;     // everything below was given out (or is the record's word)
  int64_t next = 0;        // the next offset to take
  int64_t kept = -1;       // the record holds everything below
  int64_t sent = -1;       // the last commit sent
  bool stopped = false;    // a gap that only the operator may pass
  bool misplaced = false;  // the broker refused the position: ask where to go
  bool regressing = false;
  int64_t recheck_at = 0;
  int64_t at_end = -1;     // steady time at which it was last known to be read to its end
  int stream = -1;         // in the open batch
  int64_t first_time = 0;  // the broker's time of its first record there
  bool first_is_append = false;
};

}  // namespace

struct KafkaSource::Impl {
  Impl(KafkaSourceConfig c, KafkaSourceHooks h, const Clock& k) : config(std::move(c)), hooks(std::move(h)), clock(k) {}

  // The consumer's life.
  Status create();
  void shut_down();
  Status look_after_handle(int64_t now);
  static void on_rebalance(rd_kafka_t*, rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t*, void*);
  static void on_error(rd_kafka_t*, int, const char*, void*);
  static void on_commit(rd_kafka_t*, rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t*, void*);
  static int on_stats(rd_kafka_t*, char*, size_t, void*);

  // Partitions.
  void given(const rd_kafka_topic_partition_list_t* list);
  void taken_away(bool lost);
  Status place_partitions(int64_t now);
  void tell_gap(const Placed& placed);
  Partition* find(const rd_kafka_message_t& message);
  void commit_now_and_then(int64_t now);
  Partitions offsets_to_commit();

  // Records.
  void take(const rd_kafka_message_t& message);
  void take_error(const rd_kafka_message_t& message);
  void close_batch();
  void note_ends(int64_t now);
  int64_t end_of(const Partition& p) const;
  void skip_gaps();

  void set_broker_up(bool up);
  void set_trouble(std::string text);

  KafkaSourceConfig config;
  KafkaSourceHooks hooks;
  const Clock& clock;
  KafkaProperties required;

  rd_kafka_t* handle = nullptr;
  bool closed = false;
  bool fatal = false;
  std::string cluster;
  std::vector<Partition> partitions;           // assigned and placed
  std::optional<std::vector<Asked>> to_place;  // assigned, not placed yet
  int64_t ask_at = 0;
  const rd_kafka_topic_t* last_topic = nullptr;  // find()'s memory; good until partitions change
  int32_t last_id = -1;
  size_t last_index = 0;

  RawBatch* batch = nullptr;  // open while poll() runs
  int64_t commit_at = 0;
  int64_t commit_sent_at = -1;  // >= 0: one is on its way
  int64_t no_broker_since = 0;
  int64_t recreate_at = 0;
  ClientStats stats;
  int64_t stats_at = -1;

  mutable std::mutex mutex;  // what follows, for health() and counts()
  bool broker_up = false;
  bool placing = false;
  uint32_t stopped_partitions = 0;
  std::string network;  // what the client last said of a connection; of interest while no broker is up
  std::string trouble;  // what the group or a topic lacks
  std::string gap;
  Counts counts;
};

// ---- The consumer's life

Status KafkaSource::Impl::create() {
  FB_TRY(Conf conf, make_conf(config.properties, consumer_defaults(config.embedded), required));
  rd_kafka_conf_set_opaque(conf.get(), this);
  rd_kafka_conf_set_rebalance_cb(conf.get(), on_rebalance);
  rd_kafka_conf_set_error_cb(conf.get(), on_error);
  rd_kafka_conf_set_offset_commit_cb(conf.get(), on_commit);
  rd_kafka_conf_set_stats_cb(conf.get(), on_stats);
  FB_TRY(handle, make_handle(Role::consumer, std::move(conf)));
  rd_kafka_poll_set_consumer(handle);
  const Partitions topics(rd_kafka_topic_partition_list_new(static_cast<int>(config.topics.size())));
  for (const std::string& topic : config.topics) {
    rd_kafka_topic_partition_list_add(topics.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
  }
  const rd_kafka_resp_err_t error = rd_kafka_subscribe(handle, topics.get());
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    handle = nullptr;
    return fail(ErrorCode::invalid_argument, error_text(error), "kafka.topics");
  }
  no_broker_since = steady_ms();
  commit_sent_at = -1;
  fatal = false;
  const std::lock_guard lock(mutex);
  broker_up = false;
  return {};
}

// Leaves the group if the broker answers in time; never hangs on one that doesn't.
void KafkaSource::Impl::shut_down() {
  if (handle == nullptr) return;
  if (to_place) {
    // The client waits for our answer to its assignment; the answer is: none.
    to_place.reset();
    rd_kafka_assign(handle, nullptr);
  }
  const int64_t until = steady_ms() + kCloseMs;
  {
    const Owned<rd_kafka_queue_t> queue(rd_kafka_queue_new(handle));
    const Owned<rd_kafka_error_t> refused(rd_kafka_consumer_close_queue(handle, queue.get()));
    while (refused == nullptr && rd_kafka_consumer_closed(handle) == 0 && steady_ms() < until) {
      const Owned<rd_kafka_message_t> message(rd_kafka_consume_queue(queue.get(), kPollSliceMs));
    }
  }
  destroy_within(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE, kDestroyMs);
  handle = nullptr;
  partitions.clear();
  last_topic = nullptr;
  to_place.reset();
  stats = {};
  stats_at = -1;
}

// A consumer that can't go on is replaced; librdkafka 2.0.2 gives up for ever on some lost connections.
Status KafkaSource::Impl::look_after_handle(int64_t now) {
  if (fatal && handle != nullptr) {
    std::array<char, 512> why{};
    const rd_kafka_resp_err_t error = rd_kafka_fatal_error(handle, why.data(), why.size());
    if (error == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID) {
      return fail(ErrorCode::refused, "another consumer uses the same group.instance.id", "kafka");
    }
    log(LogLevel::error, "kafka_fatal", "the Kafka client gave up and is made anew", {{"cause", why.data()}});
    recreate_at = std::max(recreate_at, now);
  } else if (handle != nullptr && !broker_up && now - no_broker_since >= config.recreate_after_ms) {
    log(LogLevel::warn, "kafka_recreated", "no broker for long: the Kafka client is made anew");
    recreate_at = now;
  } else if (handle != nullptr) {
    return {};
  }
  if (now < recreate_at) return {};
  recreate_at = now + kRecreateEveryMs;
  shut_down();
  FB_TRY_VOID(create());
  const std::lock_guard lock(mutex);
  ++counts.recreated;
  return {};
}

void KafkaSource::Impl::on_rebalance(rd_kafka_t* handle, rd_kafka_resp_err_t error,
                                     rd_kafka_topic_partition_list_t* list, void* opaque) {
  Impl& self = *static_cast<Impl*>(opaque);
  if (error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
    self.given(list);
    return;  // rd_kafka_assign comes from place_partitions, when it is known where to start
  }
  self.taken_away(rd_kafka_assignment_lost(handle) != 0);
  rd_kafka_assign(handle, nullptr);
}

void KafkaSource::Impl::on_error(rd_kafka_t*, int error, const char* reason, void* opaque) {
  Impl& self = *static_cast<Impl*>(opaque);
  if (error == RD_KAFKA_RESP_ERR__FATAL) self.fatal = true;
  {
    const std::lock_guard lock(self.mutex);
    // That all brokers are down says less than what the last of them said.
    if (error != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || self.network.empty()) self.network = reason;
  }
  if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) self.set_broker_up(false);
}

void KafkaSource::Impl::set_broker_up(bool up) {
  std::string why;
  {
    const std::lock_guard lock(mutex);
    if (broker_up == up) return;
    broker_up = up;
    why = network;
  }
  if (up) {
    log(LogLevel::info, "kafka_connected", "a broker answers");
  } else {
    no_broker_since = steady_ms();
    log(LogLevel::warn, "kafka_disconnected", "no broker answers; tried again until one does", {{"cause", why}});
  }
}

void KafkaSource::Impl::on_commit(rd_kafka_t*, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t*,
                                  void* opaque) {
  Impl& self = *static_cast<Impl*>(opaque);
  self.commit_sent_at = -1;
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR || error == RD_KAFKA_RESP_ERR__NO_OFFSET) return;
  for (Partition& p : self.partitions) p.sent = -1;  // what is kept stays to be committed
  const std::lock_guard lock(self.mutex);
  ++self.counts.commit_errors;
}

int KafkaSource::Impl::on_stats(rd_kafka_t*, char* json, size_t size, void* opaque) {
  Impl& self = *static_cast<Impl*>(opaque);
  self.stats = parse_client_stats({json, size});
  self.stats_at = steady_ms();
  self.set_broker_up(self.stats.any_broker_up);
  return 0;  // the client keeps the text
}

// ---- Partitions

void KafkaSource::Impl::given(const rd_kafka_topic_partition_list_t* list) {
  partitions.clear();
  last_topic = nullptr;
  to_place.emplace();
  for (int i = 0; i < list->cnt; ++i)
    to_place->push_back({list->elems[i].topic, list->elems[i].partition, std::nullopt});
  ask_at = 0;
  const std::lock_guard lock(mutex);
  ++counts.assignments;
  placing = true;
}

void KafkaSource::Impl::taken_away(bool lost) {
  uint64_t dropped = 0;
  if (batch != nullptr) {
    // All partitions go at once (range); whoever has them next starts at what was kept, which these records are not.
    dropped = batch->records.size();
    batch->clear();
  }
  if (!lost) {
    const Partitions offsets = offsets_to_commit();
    if (offsets->cnt > 0) {
      if (const Status s = commit_and_wait(handle, offsets.get(), kHandBackCommitMs); !s) {
        log(LogLevel::warn, "kafka_commit_failed", "partitions were handed back without a commit; the record decides",
            {{"cause", s.error().message}});
        const std::lock_guard lock(mutex);
        ++counts.commit_errors;
      }
    }
  }
  partitions.clear();
  last_topic = nullptr;
  to_place.reset();
  const std::lock_guard lock(mutex);
  ++counts.revocations;
  counts.lost += lost ? 1 : 0;
  counts.dropped += dropped;
  counts.partitions = 0;
  stopped_partitions = 0;
  placing = false;
}

// Finds out where each partition starts, and starts it there. A question without an answer is asked again later; the
// group keeps us meanwhile, since the client's own thread sends the heartbeats.
Status KafkaSource::Impl::place_partitions(int64_t now) {
  const bool new_assignment = to_place.has_value();
  std::vector<Asked> asked;
  if (new_assignment) {
    asked = *to_place;
  } else {
    for (Partition& p : partitions) {
      if (p.stopped && p.recheck_at > 0 && now >= p.recheck_at) p.misplaced = true;
      if (p.misplaced) asked.push_back({p.topic, p.id, p.next});
    }
  }
  if ((!new_assignment && asked.empty()) || now < ask_at) return {};
  ask_at = now + kAskAgainMs;

  if (cluster.empty() || new_assignment) {
    char* id = rd_kafka_clusterid(handle, kAskTimeoutMs);
    if (id == nullptr) {
      set_trouble("the cluster's id is not known yet");
      return {};
    }
    cluster = id;
    rd_kafka_mem_free(handle, id);
  }
  const Result<std::vector<Placed>> answer = place(handle, config, hooks.stored, cluster, asked, kAskTimeoutMs);
  if (!answer) {
    if (answer.error().retry == Retry::no) return tl::unexpected<Error>(answer.error());
    set_trouble(answer.error().message);
    return {};
  }

  if (new_assignment) partitions.clear();
  for (const Placed& placed : *answer) {
    auto p = std::find_if(partitions.begin(), partitions.end(),
                          [&](const Partition& o) { return o.topic == placed.topic && o.id == placed.partition; });
    const bool was_stopped = p != partitions.end() && p->stopped;
    if (p == partitions.end()) {
      partitions.emplace_back();
      p = partitions.end() - 1;
      p->topic = placed.topic;
      p->id = placed.partition;
      p->handled = placed.decision.handled;
      // The group's commit may lag behind the record: it is brought up even if nothing more comes.
      const bool whole = !placed.decision.fresh && !placed.decision.stopped && p->handled == placed.decision.start;
      if (whole) p->kept = p->handled;
    }
    p->next = placed.decision.start;
    p->stopped = placed.decision.stopped;
    p->misplaced = false;
    const bool may_heal = p->stopped && placed.decision.gap->kind == GapKind::beyond_end;
    p->recheck_at = may_heal ? now + kRecheckMs : 0;
    if (placed.decision.gap && !was_stopped) tell_gap(placed);
  }
  to_place.reset();
  last_topic = nullptr;

  const Partitions start(rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size())));
  uint32_t stopped = 0;
  for (const Partition& p : partitions) {
    if (p.stopped) {
      ++stopped;
    } else {
      rd_kafka_topic_partition_list_add(start.get(), p.topic.c_str(), p.id)->offset = p.next;
    }
  }
  const rd_kafka_resp_err_t error = rd_kafka_assign(handle, start.get());
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) set_trouble("partitions could not be started: " + error_text(error));
  const std::lock_guard lock(mutex);
  placing = false;
  stopped_partitions = stopped;
  counts.partitions = static_cast<uint32_t>(partitions.size());
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) trouble.clear();
  return {};
}

void KafkaSource::Impl::tell_gap(const Placed& placed) {
  const StartDecision::Gap& g = *placed.decision.gap;
  KafkaGap out{g.kind, cluster, placed.topic, config.epoch, placed.partition, g.first, g.last, placed.decision.stopped,
               ""};
  const std::string where = placed.topic + "/" + std::to_string(placed.partition);
  const std::string range = "[" + std::to_string(g.first) + ", " + std::to_string(g.last) + ")";
  switch (g.kind) {
    case GapKind::log_start:
      out.message = where + ": offsets " + range + " are gone from the log and were never read; " +
                    (out.stopped ? "stopped (kafka.gap_policy: stop)" : "reading on at " + std::to_string(g.last));
      break;
    case GapKind::beyond_end:
      out.message = where + ": the log ends at " + std::to_string(g.first) + ", before the next offset " +
                    std::to_string(g.last) + "; stopped. If the topic was made anew, raise kafka.epoch";
      break;
    case GapKind::record_behind:
      out.message = where + ": offsets " + range + " were handled by the group but not by this record";
      break;
    case GapKind::corrupt:
      out.message = where + ": the broker's bytes are damaged after offset " + std::to_string(g.first) +
                    "; the records of that batch could not be read";
      break;
  }
  log(g.kind == GapKind::record_behind ? LogLevel::warn : LogLevel::error, "kafka_gap", out.message,
      {{"kind", std::string(to_string(g.kind))}});
  {
    const std::lock_guard lock(mutex);
    ++counts.gaps;
    gap = out.message;
  }
  if (hooks.on_gap) hooks.on_gap(out);
}

Partition* KafkaSource::Impl::find(const rd_kafka_message_t& message) {
  if (message.rkt == last_topic && message.partition == last_id && last_index < partitions.size()) {
    return &partitions[last_index];
  }
  if (message.rkt == nullptr) return nullptr;
  const std::string_view topic = rd_kafka_topic_name(message.rkt);
  for (size_t i = 0; i < partitions.size(); ++i) {
    if (partitions[i].id == message.partition && partitions[i].topic == topic) {
      last_topic = message.rkt;
      last_id = message.partition;
      last_index = i;
      return &partitions[i];
    }
  }
  return nullptr;
}

Partitions KafkaSource::Impl::offsets_to_commit() {
  Partitions list(rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size())));
  for (Partition& p : partitions) {
    if (p.kept < 0 || p.kept == p.sent) continue;
    rd_kafka_topic_partition_t* element = rd_kafka_topic_partition_list_add(list.get(), p.topic.c_str(), p.id);
    element->offset = p.kept;
    set_epoch(element, config.epoch);
    p.sent = p.kept;
  }
  return list;
}

void KafkaSource::Impl::commit_now_and_then(int64_t now) {
  if (now < commit_at || handle == nullptr) return;
  commit_at = now + kCommitEveryMs;
  if (commit_sent_at >= 0) {
    if (now - commit_sent_at < kCommitLostMs) return;
    for (Partition& p : partitions) p.sent = -1;
  }
  const Partitions list = offsets_to_commit();
  if (list->cnt > 0 && rd_kafka_commit(handle, list.get(), 1) == RD_KAFKA_RESP_ERR_NO_ERROR) commit_sent_at = now;
}

// ---- Records

void KafkaSource::Impl::take(const rd_kafka_message_t& message) {
  Partition* p = find(message);
  if (p == nullptr || p->stopped || p->misplaced) return;  // not ours (any more)
  if (message.offset < p->next) {
    if (!p->regressing) {
      p->regressing = true;
      if (hooks.on_regression) {
        hooks.on_regression({cluster, p->topic, config.epoch, p->id, p->next, message.offset});
      } else {
        log(LogLevel::error, "offset_regression", "the broker gave an offset again; the record was skipped",
            {{"topic", p->topic}, {"expected", std::to_string(p->next)}, {"got", std::to_string(message.offset)}});
      }
    }
    const std::lock_guard lock(mutex);
    ++counts.regressions;
    return;
  }
  p->regressing = false;
  rd_kafka_timestamp_type_t kind = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
  const int64_t time = std::max<int64_t>(0, rd_kafka_message_timestamp(&message, &kind));
  const bool append = kind == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME;
  if (p->stream < 0) {
    if (batch->records.empty()) batch->read_time_ms = clock.wall_ms();
    p->stream = static_cast<int>(batch->streams.size());
    p->first_time = time;
    p->first_is_append = append;
    batch->streams.push_back({cluster, p->topic, config.epoch, p->id, p->handled, p->handled, 0, 0});
  }
  batch->add({static_cast<const char*>(message.payload), message.payload == nullptr ? 0 : message.len},
             static_cast<uint32_t>(p->stream), message.offset, time, append);
  batch->records.back().tombstone = message.payload == nullptr;
  p->next = message.offset + 1;
}

void KafkaSource::Impl::take_error(const rd_kafka_message_t& message) {
  const char* said = rd_kafka_message_errstr(&message);
  const std::string text = said != nullptr ? said : error_text(message.err);
  switch (message.err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
      return;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
      if (Partition* p = find(message); p != nullptr && !p->stopped) {
        p->misplaced = true;
        ask_at = 0;
      }
      return;
    case RD_KAFKA_RESP_ERR__BAD_MSG:
      if (Partition* p = find(message); p != nullptr) {
        Placed damaged{p->topic, p->id, {}};
        damaged.decision.gap = {GapKind::corrupt, p->next, std::max(p->next, message.offset)};
        tell_gap(damaged);
      }
      return;
    case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED:
      log(LogLevel::warn, "kafka_too_slow", text);
      return;
    case RD_KAFKA_RESP_ERR__FATAL:
      fatal = true;
      return;
    default:
      log(LogLevel::warn, "kafka_trouble", text);
      set_trouble(text);
  }
}

int64_t KafkaSource::Impl::end_of(const Partition& p) const {
  int64_t low = -1;
  int64_t high = -1;
  if (rd_kafka_get_watermark_offsets(handle, p.topic.c_str(), p.id, &low, &high) != RD_KAFKA_RESP_ERR_NO_ERROR)
    return -1;
  return high;
}

// Notes which partitions are read to their ends, as of when their leaders were last heard: what comes later is younger
// than that, whatever its producer claims.
void KafkaSource::Impl::note_ends(int64_t now) {
  if (stats_at < 0 || now - stats_at > 5'000) return;
  for (Partition& p : partitions) {
    if (p.stopped) continue;
    const auto silence = stats.leader_silence_ms.find({p.topic, p.id});
    if (silence == stats.leader_silence_ms.end()) continue;
    const int64_t end = end_of(p);
    if (end >= 0 && p.next >= end) p.at_end = std::max(p.at_end, stats_at - silence->second);
  }
}

void KafkaSource::Impl::close_batch() {
  const int64_t now = steady_ms();
  for (Partition& p : partitions) {
    if (p.stream < 0) continue;
    RawStream& s = batch->streams[static_cast<size_t>(p.stream)];
    s.next = p.next;
    const int64_t end = end_of(p);
    s.lag = std::max<int64_t>(0, end - p.next);
    const int64_t claimed = p.first_time > 0 ? std::max<int64_t>(0, batch->read_time_ms - p.first_time)
                                             : std::numeric_limits<int64_t>::max();
    const int64_t at_most = p.at_end >= 0 ? now - p.at_end : std::numeric_limits<int64_t>::max();
    s.lag_ms = p.first_is_append ? claimed : std::min(claimed, at_most);
    if (s.lag_ms == std::numeric_limits<int64_t>::max()) s.lag_ms = 0;  // nothing is known
    p.handled = p.next;
    p.stream = -1;
  }
}

// Offsets that are gone are handled in the only way left: the record is told that they lie behind us.
void KafkaSource::Impl::skip_gaps() {
  for (Partition& p : partitions) {
    if (p.stopped || p.misplaced || p.handled >= p.next) continue;
    batch->streams.push_back({cluster, p.topic, config.epoch, p.id, p.handled, p.next, 0, 0});
    p.handled = p.next;
  }
}

void KafkaSource::Impl::set_trouble(std::string text) {
  const std::lock_guard lock(mutex);
  trouble = std::move(text);
}

// ---- The port

KafkaSource::KafkaSource(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KafkaSource::~KafkaSource() {
  close();
}

Result<std::unique_ptr<KafkaSource>> KafkaSource::open(KafkaSourceConfig config, KafkaSourceHooks hooks,
                                                       const Clock& clock) {
  if (config.topics.empty()) return fail(ErrorCode::invalid_argument, "names no topic", "kafka.topics");
  if (config.group.empty()) return fail(ErrorCode::invalid_argument, "is empty", "kafka.group");
  if (!hooks.stored) return fail(ErrorCode::internal, "the record's offsets must be given", "kafka");
  auto impl = std::make_unique<Impl>(std::move(config), std::move(hooks), clock);
  impl->required = consumer_requirements();
  impl->required["group.id"] = impl->config.group;
  FB_TRY_VOID(impl->create());
  return std::unique_ptr<KafkaSource>(new KafkaSource(std::move(impl)));
}

Result<Source::Progress> KafkaSource::poll(RawBatch& batch, const BatchLimits& limits, int idle_wait_ms) {
  Impl& self = *impl_;
  batch.clear();
  if (self.closed) return Progress::ended;
  struct Open {  // the rebalance callback may empty the batch while it is open, and only then
    Impl& self;
    ~Open() { self.batch = nullptr; }
  } open{self};
  self.batch = &batch;

  int64_t now = steady_ms();
  const int64_t until = now + std::max(0, idle_wait_ms);
  int64_t close_at = 0;
  for (;;) {
    if (batch.records.empty()) {
      now = steady_ms();
      FB_TRY_VOID(self.look_after_handle(now));
      if (self.handle == nullptr) {
        if (now >= until) return Progress::idle;
        std::this_thread::sleep_for(std::chrono::milliseconds(std::min<int64_t>(kPollSliceMs, until - now)));
        continue;
      }
      FB_TRY_VOID(self.place_partitions(now));
      self.commit_now_and_then(now);
      now = steady_ms();
    }
    const int wait = batch.records.empty() ? static_cast<int>(std::clamp<int64_t>(until - now, 0, kPollSliceMs)) : 0;
    const Owned<rd_kafka_message_t> message(rd_kafka_consumer_poll(self.handle, wait));
    if (message == nullptr) {
      if (!batch.records.empty()) break;  // nothing more to give: the batch closes at once
      if (steady_ms() < until) continue;
      self.note_ends(steady_ms());
      self.skip_gaps();
      return Progress::idle;
    }
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      self.take_error(*message);
      if (!batch.records.empty()) break;  // whatever it is gets looked after with an empty batch
      if (steady_ms() >= until) return Progress::idle;
      continue;
    }
    const bool first = batch.records.empty();
    self.take(*message);
    if (batch.records.empty()) {
      // A stream of nothing but errors, or of records that are not ours, must not keep whoever wants to end.
      if (steady_ms() >= until) return Progress::idle;
      continue;
    }
    if (first) close_at = steady_ms() + limits.max_wait_ms;
    if (batch.records.size() >= limits.max_records || batch.bytes() >= limits.max_bytes) break;
    // Looking at the clock for every record would cost more than taking it.
    if ((batch.records.size() & 63u) == 0 && steady_ms() >= close_at) break;
  }
  self.close_batch();
  now = steady_ms();
  self.note_ends(now);
  return Progress::records;
}

void KafkaSource::kept(const std::vector<OffsetAdvance>& advances) {
  Impl& self = *impl_;
  for (const OffsetAdvance& a : advances) {
    for (Partition& p : self.partitions) {
      if (p.id != a.partition || p.topic != a.topic || a.epoch != self.config.epoch || a.cluster != self.cluster)
        continue;
      p.kept = std::max(p.kept, a.next);
    }
  }
  self.commit_now_and_then(steady_ms());
}

Source::Health KafkaSource::health() const {
  const Impl& self = *impl_;
  const std::lock_guard lock(self.mutex);
  Health h;
  h.connected = self.broker_up && !self.placing && self.stopped_partitions == 0 && self.trouble.empty();
  if (!self.broker_up) {
    h.detail = self.network.empty() ? "no broker answers" : self.network;
  } else if (!self.trouble.empty()) {
    h.detail = self.trouble;
  } else if (self.placing) {
    h.detail = "partitions were given and are being placed";
  } else {
    h.detail = self.gap;
  }
  return h;
}

KafkaSource::Counts KafkaSource::counts() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->counts;
}

void KafkaSource::close() {
  Impl& self = *impl_;
  if (self.closed) return;
  self.closed = true;
  self.shut_down();
  const std::lock_guard lock(self.mutex);
  self.broker_up = false;
  self.network = "closed";
}

}  // namespace fb
