// Passwords of people, hashed with argon2id. Slow and hungry on purpose (19 MiB, some 30 ms): never call these on a
// thread that serves connections. Thread-safe, pure but for random salts.
#pragma once

#include <string>
#include <string_view>

#include "engine/base/result.h"

namespace fb {

constexpr size_t kMinPasswordBytes = 12;
constexpr size_t kMaxPasswordBytes = 1024;

// "$argon2id$v=19$m=...". invalid_argument: too short or too long.
Result<std::string> hash_password(std::string_view password);
// False for whatever is no hash, too. Takes as long for "" (somebody without a password, or nobody) as for a wrong one.
bool check_password(std::string_view encoded, std::string_view password);

}  // namespace fb
