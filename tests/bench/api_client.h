// The side of bench_api that asks: one kept connection for set-up and whole answers, and a load of many connections
// that one thread drives on a schedule. Neither is thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"

namespace fb::bench {

// A request out, its whole answer in. The peer's silence ends in a timeout after 30 s.
class Connection {
 public:
  ~Connection();
  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Status open(uint16_t port);  // again: a fresh one
  struct Answer {
    int status = 0;
    std::string body;
  };
  Result<Answer> ask(std::string_view request);
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

// "GET /path" or "POST /path {...}" as it goes over the wire.
std::string wire(const std::string& what, const std::string& authorization);

// One answer of the load.
struct Sample {
  uint32_t which = 0;    // of the requests, in turn
  float latency_ms = 0;  // from when it was due
};

struct LoadPlan {
  uint16_t port = 0;
  size_t connections = 100;
  size_t per_second = 2000;
  size_t count = 0;
  std::vector<std::string> requests;  // in their wire form; asked in turn, on each connection as well
};

// Request k is due k / per_second seconds after the start, on connection k modulo connections; it waits its turn there.
// Its latency counts from when it was due, so a server (or a client) that falls behind can't hide it. Each answer must
// be a 200 with as many bytes as it names, of JSON by its first and last one. `samples` has room for `count`.
Status run_load(const LoadPlan& plan, Sample* samples);

}  // namespace fb::bench
