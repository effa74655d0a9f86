// What clients follow: new alerts and what happens to actions and endpoints, as one sequence that a client can go on
// from. Plain data; the calls are the Store's (store.h).
#pragma once

#include <cstdint>
#include <string>

namespace fb {

struct StreamEvent {
  int64_t seq = 0;
  std::string kind;  // alert | action | endpoint
  // One line of JSON: the row as it is now, with the keys of its view; of actions and endpoints also `event`, what
  // happened, when, by whom.
  std::string data;
};

}  // namespace fb
