// What the source needs from librdkafka's statistics: is a broker there, and when was each partition's leader last
// heard.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace fb::kafka {

struct ClientStats {
  bool any_broker_up = false;
  // (topic, partition) -> how long ago its leader last sent anything, ms; absent when the leader is unknown or away.
  std::map<std::pair<std::string, int32_t>, int64_t> leader_silence_ms;
};

// Bad JSON gives empty statistics: no broker up.
ClientStats parse_client_stats(std::string_view json);

}  // namespace fb::kafka
