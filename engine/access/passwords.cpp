#include "engine/access/passwords.h"

#include <argon2.h>

#include <array>

#include "engine/base/digest.h"

namespace fb {
namespace {

// What OWASP's cheat sheet on storing passwords names as its first choice.
constexpr uint32_t kPasses = 2;
constexpr uint32_t kMemoryKib = 19 * 1024;
constexpr uint32_t kLanes = 1;
constexpr size_t kSaltBytes = 16;
constexpr size_t kHashBytes = 32;

std::string encode(std::string_view password) {
  const std::string salt = random_bytes(kSaltBytes);
  std::string encoded(argon2_encodedlen(kPasses, kMemoryKib, kLanes, kSaltBytes, kHashBytes, Argon2_id), '\0');
  const int code = argon2id_hash_encoded(kPasses, kMemoryKib, kLanes, password.data(), password.size(), salt.data(),
                                         salt.size(), kHashBytes, encoded.data(), encoded.size());
  if (code != ARGON2_OK) return {};
  encoded.resize(encoded.find('\0'));
  return encoded;
}

// Of a password that nobody knows: what is compared where there is nothing to compare.
const std::string& decoy() {
  static const std::string hash = encode(random_bytes(kHashBytes));
  return hash;
}

}  // namespace

Result<std::string> hash_password(std::string_view password) {
  if (password.size() < kMinPasswordBytes || password.size() > kMaxPasswordBytes) {
    return fail(ErrorCode::invalid_argument, "a password has 12 to 1024 bytes");
  }
  std::string encoded = encode(password);
  if (encoded.empty()) return fail(ErrorCode::unavailable, "no memory to hash a password", "", Retry::yes);
  return encoded;
}

bool check_password(std::string_view encoded, std::string_view password) {
  if (password.size() > kMaxPasswordBytes) return false;
  const bool real = encoded.starts_with("$argon2id$");
  const std::string hash = real ? std::string(encoded) : decoy();
  const bool same = argon2id_verify(hash.c_str(), password.data(), password.size()) == ARGON2_OK;
  return real && same;
}

}  // namespace fb
