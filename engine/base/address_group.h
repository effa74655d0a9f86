// Which addresses count as one client where something is limited for each. Pure, thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace fb {

// An IPv6 address stands for its /64: whoever has one has all of them. Anything else stands for itself.
std::string address_group(std::string_view address);

}  // namespace fb
