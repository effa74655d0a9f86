#include "connectors/kafka/range_reader.h"

#include <algorithm>
#include <map>
#include <utility>

#include "connectors/kafka/handles.h"

namespace fb {
namespace {

using kafka::error_text;
using kafka::Owned;

constexpr int kRoundTripMs = 5'000;
constexpr int kPollMs = 100;
constexpr int kDestroyMs = 3'000;

// What is to be read of one partition: offsets [next, end).
struct Part {
  rd_kafka_topic_t* topic = nullptr;
  int32_t partition = 0;
  int64_t next = 0;
  int64_t end = 0;
  bool reading = false;
};

tl::unexpected<Error> away(const std::string& what, rd_kafka_resp_err_t error) {
  const bool unknown = error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
  const bool refused = error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
  return fail(unknown   ? ErrorCode::not_found
              : refused ? ErrorCode::refused
                        : ErrorCode::unavailable,
              "Kafka: " + error_text(error), what, unknown || refused ? Retry::no : Retry::yes);
}

// One reading. The handle goes last: topics and the queue are parts of it.
class RangeReader {
 public:
  RangeReader(const RangeReaderConfig& config, const EventRange& range, const Clock& clock)
      : config_(config), range_(range), clock_(clock), ends_at_ms_(clock.mono_ms() + range.budget_ms) {}
  ~RangeReader() {
    for (Part& p : parts_) stop(p);
    queue_.reset();
    topics_.clear();
    if (handle_ != nullptr) kafka::destroy_within(handle_, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE, kDestroyMs);
  }
  RangeReader(const RangeReader&) = delete;
  RangeReader& operator=(const RangeReader&) = delete;

  Status connect() {
    KafkaProperties required = kafka::consumer_requirements();
    required["enable.partition.eof"] = "true";
    required["auto.commit.enable"] = "false";
    FB_TRY(kafka::Conf conf,
           kafka::make_conf(config_.properties, kafka::consumer_defaults(config_.embedded), required));
    FB_TRY(handle_, kafka::make_handle(kafka::Role::consumer, std::move(conf)));
    queue_.reset(rd_kafka_queue_new(handle_));
    for (const std::string& name : config_.topics) {
      if (name.starts_with('^')) {
        return fail(ErrorCode::unsupported, "a pattern of topics can't be read back; name the topics", name);
      }
      FB_TRY_VOID(find_partitions(name));
    }
    return {};
  }

  Status place() {
    for (Part& p : parts_) {
      int64_t low = 0;
      int64_t high = 0;
      const char* name = rd_kafka_topic_name(p.topic);
      const rd_kafka_resp_err_t error =
          rd_kafka_query_watermark_offsets(handle_, name, p.partition, &low, &high, wait_ms());
      if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return away(name, error);
      p.next = low;
      p.end = high;
    }
    const bool empty = std::none_of(parts_.begin(), parts_.end(), [](const Part& p) { return p.next < p.end; });
    if (config_.embedded || empty) return {};
    FB_TRY(const std::vector<int64_t> first, first_since(range_.from_ms));
    if (knows_none(first)) {
      // All is older than the range, or the broker has no index of times (librdkafka's mock): then all is looked at.
      FB_TRY(const std::vector<int64_t> any, first_since(0));
      if (knows_none(any)) return {};
    }
    FB_TRY(const std::vector<int64_t> after, first_since(range_.to_ms));
    for (size_t i = 0; i < parts_.size(); ++i) {
      Part& p = parts_[i];
      // None is as late: the bound is the end of the log.
      p.next = first[i] >= 0 ? std::clamp(first[i], p.next, p.end) : p.end;
      p.end = after[i] >= 0 ? std::clamp(after[i], p.next, p.end) : p.end;
    }
    return {};
  }

  Result<PastRead> read(const std::function<bool(std::string_view)>& take) {
    PastRead done;
    size_t bytes = 0;
    for (Part& p : parts_) {
      if (p.next >= p.end) continue;
      if (rd_kafka_consume_start_queue(p.topic, p.partition, p.next, queue_.get()) != 0) {
        return away(rd_kafka_topic_name(p.topic), rd_kafka_last_error());
      }
      p.reading = true;
    }
    const auto cut_short = [&done](std::string why) {
      done.complete = false;
      done.why = std::move(why);
      return done;
    };
    while (std::any_of(parts_.begin(), parts_.end(), [](const Part& p) { return p.reading; })) {
      if (clock_.mono_ms() >= ends_at_ms_) {
        return cut_short("the time of " + std::to_string(range_.budget_ms) + " ms was up");
      }
      const Owned<rd_kafka_message_t> m(rd_kafka_consume_queue(queue_.get(), kPollMs));
      if (!m) continue;
      Part* p = part_of(*m);
      if (p == nullptr || !p->reading) continue;  // one that came after its end
      if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        stop(*p);
        continue;
      }
      if (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
        cut_short("records were deleted from the topic while it was read");
        stop(*p);
        continue;
      }
      if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) return away(rd_kafka_topic_name(p->topic), m->err);
      if (m->offset >= p->end) {
        stop(*p);
        continue;
      }
      const bool last = m->offset + 1 >= p->end;
      ++done.looked_at;
      rd_kafka_timestamp_type_t type{};
      const int64_t time = rd_kafka_message_timestamp(m.get(), &type);
      const bool in_range = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || (time >= range_.from_ms && time < range_.to_ms);
      if (in_range && m->payload != nullptr) {
        if (done.taken == range_.max_events) {
          return cut_short("there are more than " + std::to_string(range_.max_events) + " events");
        }
        if (bytes + m->len > range_.max_bytes) {
          return cut_short("there is more than " + std::to_string(range_.max_bytes >> 20) + " MiB of events");
        }
        bytes += m->len;
        ++done.taken;
        if (!take(std::string_view(static_cast<const char*>(m->payload), m->len))) return done;
      }
      if (last) stop(*p);
    }
    return done;
  }

 private:
  int wait_ms() const { return static_cast<int>(std::clamp<int64_t>(ends_at_ms_ - clock_.mono_ms(), 1, kRoundTripMs)); }

  Status find_partitions(const std::string& name) {
    rd_kafka_topic_t* topic = rd_kafka_topic_new(handle_, name.c_str(), nullptr);
    if (topic == nullptr) return away(name, rd_kafka_last_error());
    topics_.emplace_back(topic);
    const rd_kafka_metadata_t* raw = nullptr;
    const rd_kafka_resp_err_t error = rd_kafka_metadata(handle_, 0, topic, &raw, wait_ms());
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return away(name, error);
    const Owned<const rd_kafka_metadata_t> metadata(raw);
    for (int t = 0; t < metadata->topic_cnt; ++t) {
      const rd_kafka_metadata_topic_t& found = metadata->topics[t];
      if (found.err != RD_KAFKA_RESP_ERR_NO_ERROR) return away(name, found.err);
      for (int i = 0; i < found.partition_cnt; ++i) parts_.push_back({topic, found.partitions[i].id});
    }
    return {};
  }

  // Of every partition the first record that is as late as the time; -1: none is.
  Result<std::vector<int64_t>> first_since(int64_t time_ms) {
    const kafka::Partitions list(rd_kafka_topic_partition_list_new(static_cast<int>(parts_.size())));
    for (const Part& p : parts_) {
      rd_kafka_topic_partition_list_add(list.get(), rd_kafka_topic_name(p.topic), p.partition)->offset =
          std::max<int64_t>(0, time_ms);
    }
    const rd_kafka_resp_err_t error = rd_kafka_offsets_for_times(handle_, list.get(), wait_ms());
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return away("offsets by time", error);
    std::vector<int64_t> out;
    for (const Part& p : parts_) {
      const rd_kafka_topic_partition_t* found =
          rd_kafka_topic_partition_list_find(list.get(), rd_kafka_topic_name(p.topic), p.partition);
      if (found == nullptr || found->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return away(rd_kafka_topic_name(p.topic), found == nullptr ? RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION : found->err);
      }
      out.push_back(found->offset >= 0 ? found->offset : -1);
    }
    return out;
  }

  // A partition with records counts alone: of an empty one no broker knows any.
  bool knows_none(const std::vector<int64_t>& offsets) const {
    for (size_t i = 0; i < parts_.size(); ++i) {
      if (parts_[i].next < parts_[i].end && offsets[i] >= 0) return false;
    }
    return true;
  }

  Part* part_of(const rd_kafka_message_t& m) {
    const std::string_view name = rd_kafka_topic_name(m.rkt);
    const auto it = std::find_if(parts_.begin(), parts_.end(), [&](const Part& p) {
      return p.partition == m.partition && (p.topic == m.rkt || name == rd_kafka_topic_name(p.topic));
    });
    return it == parts_.end() ? nullptr : &*it;
  }

  static void stop(Part& p) {
    if (!p.reading) return;
    p.reading = false;
    rd_kafka_consume_stop(p.topic, p.partition);
  }

  const RangeReaderConfig& config_;
  const EventRange& range_;
  const Clock& clock_;
  const int64_t ends_at_ms_;
  rd_kafka_t* handle_ = nullptr;
  std::vector<Owned<rd_kafka_topic_t>> topics_;
  Owned<rd_kafka_queue_t> queue_;
  std::vector<Part> parts_;
};

}  // namespace

Result<PastRead> read_range(const RangeReaderConfig& config, const EventRange& range,
                            const std::function<bool(std::string_view event)>& take, const Clock& clock) {
  if (range.from_ms >= range.to_ms) return fail(ErrorCode::invalid_argument, "the range ends before it begins");
  RangeReader reader(config, range, clock);
  FB_TRY_VOID(reader.connect());
  FB_TRY_VOID(reader.place());
  return reader.read(take);
}

}  // namespace fb
