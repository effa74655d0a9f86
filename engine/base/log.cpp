#include "engine/base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <mutex>

#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"

namespace fb {
namespace {

std::atomic<LogLevel> lowest_level{LogLevel::info};
std::atomic<uint64_t> lines_lost{0};
std::mutex write_mutex;

constexpr std::string_view kLevels[] = {"debug", "info", "warn", "error"};
constexpr int kPatienceMs = 50;  // how long one line may wait for a full pipe

bool write_all(std::string_view line) {
  while (!line.empty()) {
    pollfd p{STDERR_FILENO, POLLOUT, 0};
    if (poll(&p, 1, kPatienceMs) <= 0) return false;
    const ssize_t n = write(STDERR_FILENO, line.data(), line.size() > 4096 ? 4096 : line.size());
    if (n < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return false;
    }
    line.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

void log(LogLevel level, std::string_view event, std::string_view message, LogFields fields) {
  if (level < lowest_level.load(std::memory_order_relaxed)) return;
  nlohmann::ordered_json line;
  line["ts"] = iso8601(system_clock().wall_ms());
  line["level"] = kLevels[static_cast<size_t>(level)];
  line["event"] = event;
  line["message"] = message;
  for (const auto& [key, value] : fields) line[std::string(key)] = value;
  std::string text = dumped(line);
  text += '\n';
  const std::lock_guard lock(write_mutex);
  if (!write_all(text)) lines_lost.fetch_add(1, std::memory_order_relaxed);
}

void set_log_level(LogLevel lowest) {
  lowest_level.store(lowest, std::memory_order_relaxed);
}

uint64_t log_lines_lost() {
  return lines_lost.load(std::memory_order_relaxed);
}

}  // namespace fb
