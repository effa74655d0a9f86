// How long the calling thread has computed. What else the machine does is not counted, so that a bound on it tells of
// the code alone.
#pragma once

#include <ctime>

namespace fb::test {

inline double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// What a bound allows besides: with a sanitizer the same code computes many times as long.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr double kSanitizerFactor = 10;
#else
inline constexpr double kSanitizerFactor = 1;
#endif

}  // namespace fb::test
