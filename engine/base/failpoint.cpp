#include "engine/base/failpoint.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>

namespace fb {
namespace {

enum class Kind : uint8_t { kill, err, full, sleep };

struct Armed {
  std::mutex mutex;
  std::string name;
  uint64_t nth = 0;
  uint64_t hits = 0;
  Kind kind = Kind::err;
};

Armed& state() {
  static Armed armed;
  return armed;
}

}  // namespace

Status arm_failpoint(std::string_view text) {
  Armed& a = state();
  const std::lock_guard lock(a.mutex);
  if (text.empty()) {
    failpoint_detail::armed = false;
    a.hits = 0;
    return {};
  }
  const auto bad = [&](const char* why) {
    return fail(ErrorCode::invalid_argument, std::string(why) + " (name:n:kill|err|full|sleep)",
                "failpoint \"" + std::string(text) + "\"");
  };
  const size_t last = text.rfind(':');
  if (last == std::string_view::npos || last == 0) return bad("it has no kind");
  const size_t middle = text.rfind(':', last - 1);
  if (middle == std::string_view::npos || middle == 0) return bad("it has no count");
  const std::string_view count = text.substr(middle + 1, last - middle - 1);
  const std::string_view kind = text.substr(last + 1);
  uint64_t nth = 0;
  if (count.empty() || count.size() > 9) return bad("the count is not a number");
  for (const char c : count) {
    if (c < '0' || c > '9') return bad("the count is not a number");
    nth = nth * 10 + static_cast<uint64_t>(c - '0');
  }
  if (nth == 0) return bad("the count starts at 1");
  if (kind == "kill") {
    a.kind = Kind::kill;
  } else if (kind == "err") {
    a.kind = Kind::err;
  } else if (kind == "full") {
    a.kind = Kind::full;
  } else if (kind == "sleep") {
    a.kind = Kind::sleep;
  } else {
    return bad("the kind is unknown");
  }
  a.name = text.substr(0, middle);
  a.nth = nth;
  a.hits = 0;
  failpoint_detail::armed = true;
  return {};
}

uint64_t failpoint_hits() {
  Armed& a = state();
  const std::lock_guard lock(a.mutex);
  return a.hits;
}

namespace failpoint_detail {

// Armed from the environment before main; a specification that is wrong must not pass for a test that ran.
std::atomic<bool> armed = [] {
  const char* text = std::getenv("FB_FAILPOINT");
  if (text == nullptr || *text == '\0') return false;
  if (!arm_failpoint(text)) std::abort();
  return true;
}();

Status hit(std::string_view name) {
  Armed& a = state();
  Kind kind;
  {
    const std::lock_guard lock(a.mutex);
    if (a.name != "*" && a.name != name) return {};
    if (++a.hits != a.nth) return {};
    kind = a.kind;
  }
  switch (kind) {
    case Kind::kill:
      std::raise(SIGKILL);
      break;
    case Kind::err:
      return fail(ErrorCode::io, "injected by a failpoint", std::string(name));
    case Kind::full:
      return fail(ErrorCode::no_space, "injected by a failpoint", std::string(name), Retry::yes);
    case Kind::sleep:
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
      break;
  }
  return {};
}

}  // namespace failpoint_detail
}  // namespace fb
