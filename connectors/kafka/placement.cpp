#include "connectors/kafka/placement.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string_view>

namespace fb::kafka {
namespace {

using Key = std::pair<std::string, int32_t>;

tl::unexpected<Error> again(const std::string& what, rd_kafka_resp_err_t error) {
  return fail(ErrorCode::unavailable, what + ": " + error_text(error), "kafka", Retry::yes);
}

Partitions list_of(const std::set<Key>& keys, int64_t offset) {
  Partitions list(rd_kafka_topic_partition_list_new(static_cast<int>(keys.size())));
  for (const Key& k : keys) rd_kafka_topic_partition_list_add(list.get(), k.first.c_str(), k.second)->offset = offset;
  return list;
}

struct GroupOffset {
  std::optional<int64_t> offset;  // of this epoch
  bool other_epoch = false;
};

Result<std::map<Key, GroupOffset>> ask_group(rd_kafka_t* consumer, const std::set<Key>& keys, int32_t epoch,
                                             int timeout_ms) {
  std::map<Key, GroupOffset> out;
  if (keys.empty()) return out;
  const Partitions list = list_of(keys, RD_KAFKA_OFFSET_INVALID);
  const rd_kafka_resp_err_t error = rd_kafka_committed(consumer, list.get(), timeout_ms);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return again("the group's committed offsets are not known", error);
  for (int i = 0; i < list->cnt; ++i) {
    const rd_kafka_topic_partition_t& element = list->elems[i];
    if (element.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return again("the group's committed offset of " + std::string(element.topic) + " is not known", element.err);
    }
    GroupOffset& g = out[{element.topic, element.partition}];
    if (element.offset < 0) continue;  // the only way the broker says "none"
    if (epoch_of(element).value_or(epoch) == epoch) {
      g.offset = element.offset;
    } else {
      g.other_epoch = true;
    }
  }
  return out;
}

// Log starts (RD_KAFKA_OFFSET_BEGINNING) or ends (RD_KAFKA_OFFSET_END), one request a broker.
Result<std::map<Key, int64_t>> ask_log(rd_kafka_t* consumer, const std::set<Key>& keys, int64_t which, int timeout_ms) {
  std::map<Key, int64_t> out;
  if (keys.empty()) return out;
  const Partitions list = list_of(keys, which);
  const rd_kafka_resp_err_t error = rd_kafka_offsets_for_times(consumer, list.get(), timeout_ms);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return again("the ends of the logs are not known", error);
  for (int i = 0; i < list->cnt; ++i) {
    const rd_kafka_topic_partition_t& element = list->elems[i];
    if (element.err != RD_KAFKA_RESP_ERR_NO_ERROR || element.offset < 0) {
      return again("the ends of the log of " + std::string(element.topic) + " are not known", element.err);
    }
    out[{element.topic, element.partition}] = element.offset;
  }
  return out;
}

Result<std::set<Key>> all_partitions(rd_kafka_t* consumer, const std::set<std::string>& topics, int timeout_ms) {
  std::set<Key> out;
  const rd_kafka_metadata_t* raw = nullptr;
  const rd_kafka_resp_err_t error = rd_kafka_metadata(consumer, 1, nullptr, &raw, timeout_ms);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return again("the topics' partitions are not known", error);
  const Owned<const rd_kafka_metadata_t> metadata(raw);
  for (int t = 0; t < metadata->topic_cnt; ++t) {
    const rd_kafka_metadata_topic_t& topic = metadata->topics[t];
    if (!topics.contains(topic.topic)) continue;
    for (int p = 0; p < topic.partition_cnt; ++p) out.insert({topic.topic, topic.partitions[p].id});
  }
  return out;
}

}  // namespace

void set_epoch(rd_kafka_topic_partition_t* element, int32_t epoch) {
  const std::string text = "e=" + std::to_string(epoch);
  std::free(element->metadata);
  element->metadata = std::malloc(text.size());  // the list frees it
  if (element->metadata == nullptr) return;
  std::memcpy(element->metadata, text.data(), text.size());
  element->metadata_size = text.size();
}

std::optional<int32_t> epoch_of(const rd_kafka_topic_partition_t& element) {
  std::string_view text(static_cast<const char*>(element.metadata),
                        element.metadata == nullptr ? 0 : element.metadata_size);
  while (text.ends_with('\0')) text.remove_suffix(1);
  if (!text.starts_with("e=")) return std::nullopt;
  int32_t epoch = 0;
  const auto [end, error] = std::from_chars(text.data() + 2, text.data() + text.size(), epoch);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return epoch;
}

Status commit_and_wait(rd_kafka_t* consumer, const rd_kafka_topic_partition_list_t* offsets, int timeout_ms) {
  const Owned<rd_kafka_queue_t> queue(rd_kafka_queue_new(consumer));
  rd_kafka_resp_err_t error = rd_kafka_commit_queue(consumer, offsets, queue.get(), nullptr, nullptr);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return again("offsets were not committed", error);
  const Owned<rd_kafka_event_t> event(rd_kafka_queue_poll(queue.get(), timeout_ms));
  if (event == nullptr) return again("offsets were not committed", RD_KAFKA_RESP_ERR__TIMED_OUT);
  error = rd_kafka_event_error(event.get());
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return again("offsets were not committed", error);
  return {};
}

Result<std::vector<Placed>> place(rd_kafka_t* consumer, const KafkaSourceConfig& config, const StoredOffset& stored,
                                  const std::string& cluster, const std::vector<Asked>& asked, int timeout_ms) {
  std::set<Key> keys;
  std::set<Key> new_keys;
  for (const Asked& a : asked) {
    keys.insert({a.topic, a.partition});
    if (!a.position) new_keys.insert({a.topic, a.partition});
  }
  FB_TRY(auto group, ask_group(consumer, new_keys, config.epoch, timeout_ms));
  std::map<Key, std::optional<int64_t>> record;
  std::set<std::string> fresh_topics;
  for (const Asked& a : asked) {
    const Key key{a.topic, a.partition};
    if (a.position) {
      record[key] = a.position;
      continue;
    }
    FB_TRY(record[key], stored(cluster, a.topic, config.epoch, a.partition));
    if (!record[key] && !group[key].offset && config.start == StartPolicy::latest) fresh_topics.insert(a.topic);
  }

  // Only `latest` cares whether a partition is the first of its topic that we meet or was added later.
  std::set<std::string> known_topics;
  std::set<Key> unread;  // partitions of wholly unread topics, whoever has them assigned
  if (!fresh_topics.empty()) {
    FB_TRY(const std::set<Key> all, all_partitions(consumer, fresh_topics, timeout_ms));
    FB_TRY(const auto all_group, ask_group(consumer, all, config.epoch, timeout_ms));
    for (const Key& key : all) {
      FB_TRY(const std::optional<int64_t> next, stored(cluster, key.first, config.epoch, key.second));
      const GroupOffset& g = all_group.at(key);
      if (next || g.offset || g.other_epoch) known_topics.insert(key.first);
    }
    for (const Key& key : all) {
      if (!known_topics.contains(key.first)) unread.insert(key);
    }
    keys.insert(unread.begin(), unread.end());
  }

  FB_TRY(auto low, ask_log(consumer, keys, RD_KAFKA_OFFSET_BEGINNING, timeout_ms));
  FB_TRY(auto high, ask_log(consumer, keys, RD_KAFKA_OFFSET_END, timeout_ms));
  if (!unread.empty()) {
    const Partitions list = list_of(unread, 0);
    for (int i = 0; i < list->cnt; ++i) {
      list->elems[i].offset = high.at({list->elems[i].topic, list->elems[i].partition});
      set_epoch(&list->elems[i], config.epoch);
    }
    FB_TRY_VOID(commit_and_wait(consumer, list.get(), timeout_ms));
  }

  std::vector<Placed> out;
  for (const Asked& a : asked) {
    const Key key{a.topic, a.partition};
    const GroupOffset& g = group[key];
    StartFacts facts;
    facts.stored = record[key];
    facts.committed = g.offset;
    facts.topic_known = g.other_epoch || known_topics.contains(a.topic);
    facts.low = low.at(key);
    facts.high = high.at(key);
    facts.start = config.start;
    facts.gap = config.gap;
    facts.from_record = config.from_record;
    out.push_back({a.topic, a.partition, decide_start(facts)});
  }
  return out;
}

}  // namespace fb::kafka
