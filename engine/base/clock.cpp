#include "engine/base/clock.h"

#include <chrono>
#include <cstdio>
#include <ctime>

namespace fb {
namespace {

int64_t read_ms(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

class SystemClock final : public Clock {
 public:
  int64_t wall_ms() const override { return read_ms(CLOCK_REALTIME); }
  int64_t mono_ms() const override { return read_ms(CLOCK_BOOTTIME); }
};

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

namespace {

// Of years with more than four digits, or before 0.
std::string iso8601_far(int64_t unix_ms) {
  int64_t seconds = unix_ms / 1000;
  int64_t ms = unix_ms % 1000;
  if (ms < 0) {
    ms += 1000;
    --seconds;
  }
  const time_t t = static_cast<time_t>(seconds);
  tm parts{};
  gmtime_r(&t, &parts);
  char text[64];
  const int n =
      std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900, parts.tm_mon + 1,
                    parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, static_cast<int>(ms));
  return std::string(text, n > 0 ? static_cast<size_t>(n) : 0);
}

// The last `count` digits of `value`.
void put_digits(char* at, int count, int64_t value) {
  for (int i = count - 1; i >= 0; --i, value /= 10) at[i] = static_cast<char>('0' + value % 10);
}

}  // namespace

// Pages of rows have many times, and the C library's way takes longer than to read the row.
std::string iso8601(int64_t unix_ms) {
  constexpr int64_t kYear0Ms = -62'167'219'200'000;
  constexpr int64_t kYear10000Ms = 253'402'300'800'000;
  if (unix_ms < kYear0Ms || unix_ms >= kYear10000Ms) return iso8601_far(unix_ms);
  using namespace std::chrono;
  const sys_time<milliseconds> time{milliseconds(unix_ms)};
  const sys_days day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss<milliseconds> of_day(time - day);
  std::string text = "0000-00-00T00:00:00.000Z";
  put_digits(&text[0], 4, static_cast<int>(date.year()));
  put_digits(&text[5], 2, static_cast<unsigned>(date.month()));
  put_digits(&text[8], 2, static_cast<unsigned>(date.day()));
  put_digits(&text[11], 2, of_day.hours().count());
  put_digits(&text[14], 2, of_day.minutes().count());
  put_digits(&text[17], 2, of_day.seconds().count());
  put_digits(&text[20], 3, of_day.subseconds().count());
  return text;
}

}  // namespace fb
