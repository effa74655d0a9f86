// The service's API keys: a file of its data directory (mode 0600) with ids, names and SHA-256 of the secrets. A key is
// shown once, when it is made. Pure functions over the file; the loaded list is immutable.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"

namespace fb::api {

struct ApiKey {
  std::string id;
  std::string name;
  std::string secret_sha256;  // hex
};

class ApiKeys {
 public:
  // No file: no keys, and only the unix socket is let in.
  static Result<ApiKeys> load(const std::string& file);
  // Adds a key to the file and returns what goes into `Authorization: ApiKey ...` (base64 of id:secret).
  static Result<std::string> create(const std::string& file, const std::string& name);

  // The id of the key in an Authorization header's value; "" when it is none of ours. Compares in constant time.
  std::string check(std::string_view authorization) const;

 private:
  std::vector<ApiKey> keys_;
};

}  // namespace fb::api
