// People, their API keys and browser sessions, as the record keeps them. Of secrets only hashes are here: a stolen copy
// of the record lets nobody in. Plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/access/access.h"

namespace fb {

struct UserRow {
  std::string name;  // as it was written first; compared without regard to case
  std::vector<Role> roles;
  bool disabled = false;
  std::string password_hash;  // as argon2 writes it; "" = no password gets this person in
  int64_t created_at_ms = 0;
  std::string created_by;
};

// What becomes of a person; what is not told stays.
struct UserChange {
  std::optional<std::vector<Role>> roles;
  std::optional<bool> disabled;  // true ends the person's sessions, too
  bool ends_sessions = false;
};

struct KeyRow {
  std::string id;
  std::string prefix;         // the first characters of what was shown, to tell keys apart
  std::string secret_sha256;  // hex; a secret has 256 bits, so a fast hash is enough
  std::string person;
  std::string name;  // what it is for
  std::vector<Privilege> scopes;
  int64_t created_at_ms = 0;
  std::string created_by;
  int64_t expires_at_ms = 0;  // 0 = never
  int64_t revoked_at_ms = 0;  // 0 = it holds
};

struct SessionRow {
  std::string person;
  int64_t created_at_ms = 0;
  int64_t last_seen_ms = 0;
  int64_t expires_at_ms = 0;  // however busy it is
};

}  // namespace fb
