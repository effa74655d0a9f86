#include "engine/base/address_group.h"

#include <arpa/inet.h>

namespace fb {

std::string address_group(std::string_view address) {
  const std::string text(address);
  in6_addr six{};
  if (inet_pton(AF_INET6, text.c_str(), &six) != 1) return text;
  for (int i = 8; i < 16; ++i) six.s6_addr[i] = 0;
  char out[INET6_ADDRSTRLEN] = {};
  inet_ntop(AF_INET6, &six, out, sizeof out);
  return std::string(out) + "/64";
}

}  // namespace fb
