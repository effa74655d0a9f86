#include "api/api_keys.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/base/digest.h"

namespace fb::api {

Result<ApiKeys> ApiKeys::load(const std::string& file) {
  ApiKeys keys;
  std::ifstream in(file, std::ios::binary);
  if (!in) return keys;
  struct stat info {};
  if (stat(file.c_str(), &info) == 0 && (info.st_mode & 0077) != 0) {
    return fail(ErrorCode::refused, "others may read the API keys; make it mode 0600", file);
  }
  std::string line;
  for (size_t number = 1; std::getline(in, line); ++number) {
    if (line.empty()) continue;
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("id") || !json.contains("sha256") || !json["id"].is_string() ||
        !json["sha256"].is_string()) {
      return fail(ErrorCode::corrupt, "not an API key", file + ":" + std::to_string(number));
    }
    keys.keys_.push_back({json["id"], json.value("name", ""), json["sha256"]});
  }
  return keys;
}

Result<std::string> ApiKeys::create(const std::string& file, const std::string& name) {
  const std::string id = hex(random_bytes(8));
  const std::string secret = hex(random_bytes(32));
  const nlohmann::ordered_json line{{"id", id}, {"name", name}, {"sha256", hex(sha256(secret))}};
  const std::string text = line.dump() + "\n";
  const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return fail(ErrorCode::io, "can't write the API keys", file);
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  close(fd);
  if (!written) return fail(ErrorCode::io, "can't write the API keys", file);
  return base64(id + ":" + secret);
}

std::string ApiKeys::check(std::string_view authorization) const {
  constexpr std::string_view kScheme = "ApiKey ";
  if (authorization.substr(0, kScheme.size()) != kScheme) return {};
  const auto plain = unbase64(authorization.substr(kScheme.size()));
  if (!plain) return {};
  const size_t colon = plain->find(':');
  if (colon == std::string::npos) return {};
  const std::string digest = hex(sha256(std::string_view(*plain).substr(colon + 1)));
  std::string found;
  for (const ApiKey& key : keys_) {
    // Every key is compared, whether or not one fitted already.
    const bool same_secret = equal_secret(key.secret_sha256, digest);
    if (key.id == plain->substr(0, colon) && same_secret) found = key.id;
  }
  return found;
}

}  // namespace fb::api
