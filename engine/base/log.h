// Structured logs: one JSON object a line on standard error. Thread-safe; never blocks a caller for more than a write,
// and a reader that stopped reading costs lines (counted), never progress. Not for the hot path.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace fb {

enum class LogLevel : uint8_t { debug, info, warn, error };

using LogFields = std::initializer_list<std::pair<std::string_view, std::string>>;

// {"ts":"...","level":"info","event":"rules_loaded","message":"...","field":"..."}; event is a fixed snake_case word.
void log(LogLevel level, std::string_view event, std::string_view message, LogFields fields = {});

void set_log_level(LogLevel lowest);
// How many lines could not be written so far.
uint64_t log_lines_lost();

}  // namespace fb
