#include "connectors/kafka/client_stats.h"

#include "engine/base/json.h"

namespace fb::kafka {
namespace {

int64_t number(const nlohmann::json& object, const char* key, int64_t otherwise) {
  const auto it = object.find(key);
  return it != object.end() && it->is_number_integer() ? it->get<int64_t>() : otherwise;
}

}  // namespace

ClientStats parse_client_stats(std::string_view text) {
  ClientStats out;
  const nlohmann::json all = parse_json(text);
  if (!all.is_object()) return out;
  std::map<int64_t, int64_t> silence_of;  // broker id -> ms
  if (const auto brokers = all.find("brokers"); brokers != all.end() && brokers->is_object()) {
    for (const auto& [name, broker] : brokers->items()) {
      if (!broker.is_object()) continue;
      const auto state = broker.find("state");
      if (state == broker.end() || *state != "UP") continue;
      // The client's own internal brokers have no node id and are never up.
      out.any_broker_up = true;
      const int64_t idle_us = number(broker, "rxidle", -1);
      if (idle_us >= 0) silence_of[number(broker, "nodeid", -1)] = idle_us / 1000;
    }
  }
  if (const auto topics = all.find("topics"); topics != all.end() && topics->is_object()) {
    for (const auto& [name, topic] : topics->items()) {
      const auto partitions = topic.is_object() ? topic.find("partitions") : topic.end();
      if (partitions == topic.end() || !partitions->is_object()) continue;
      for (const auto& [id, partition] : partitions->items()) {
        if (!partition.is_object()) continue;
        const auto silence = silence_of.find(number(partition, "leader", -1));
        if (silence == silence_of.end()) continue;
        out.leader_silence_ms[{name, static_cast<int32_t>(number(partition, "partition", -1))}] = silence->second;
      }
    }
  }
  return out;
}

}  // namespace fb::kafka
