#include "tests/unit/enforcer/order_fuzz.h"

#include <cstdlib>

#include "actions/endpoint/envelope.h"
#include "engine/base/digest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fb::endpoint;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto read = read_canonical(bytes);
  if (read && canonical_bytes(*read) != bytes) std::abort();
  // A key that nobody has the other half of: whatever opens with it was forged.
  PublicKey key{};
  key[0] = 1;
  const KeySet trusted = {{key_id(key), key}};
  if (open_envelope(bytes, trusted)) std::abort();
  // As the payload of an envelope, so that its reader is reached with every shape of bytes.
  const std::string text = "fbe1." + key_id(key) + "." + fb::base64(bytes) + "." + fb::base64(std::string(64, 'x'));
  if (open_envelope(text, trusted)) std::abort();
  return 0;
}

namespace fb::agent::test {

void mutate(std::string& bytes, std::mt19937& random, size_t spared) {
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % (n == 0 ? 1 : n)); };
  for (size_t change = 1 + below(4); change > 0; --change) {
    const size_t from = below(16) == 0 || bytes.size() <= spared ? 0 : spared;
    if (bytes.size() <= from) return;
    const size_t at = from + below(bytes.size() - from);
    switch (below(6)) {
      case 0:
      case 1:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 2: {
        constexpr char kEdges[] = {'\0', '\1', '\x7f', '\x80', '\xff', '.', '=', 'A'};
        bytes[at] = kEdges[below(sizeof kEdges)];
        break;
      }
      case 3:
        bytes.erase(at, 1 + below(16));
        break;
      case 4:
        bytes.insert(at, bytes.substr(at, 1 + below(16)));
        break;
      default:
        bytes.insert(at, 1, static_cast<char>(random()));
    }
  }
}

}  // namespace fb::agent::test
