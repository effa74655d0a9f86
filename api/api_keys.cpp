#include "api/api_keys.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "engine/base/digest.h"
#include "engine/base/json.h"

namespace fb::api {
namespace {

constexpr size_t kPrefixLength = 8;

}  // namespace

NewKey new_key() {
  NewKey fresh;
  fresh.row.id = hex(random_bytes(8));
  const std::string secret = hex(random_bytes(32));
  fresh.row.secret_sha256 = hex(sha256(secret));
  fresh.shown_once = base64(fresh.row.id + ":" + secret);
  fresh.row.prefix = fresh.shown_once.substr(0, kPrefixLength);
  return fresh;
}

Result<std::string> create_key_in_file(const std::string& file, const std::string& person) {
  const NewKey fresh = new_key();
  const nlohmann::ordered_json line{
      {"id", fresh.row.id}, {"name", person}, {"person", person}, {"sha256", fresh.row.secret_sha256}};
  const std::string text = line.dump() + "\n";
  const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return fail(ErrorCode::io, "can't write the API keys", file);
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  close(fd);
  if (!written) return fail(ErrorCode::io, "can't write the API keys", file);
  return fresh.shown_once;
}

Result<std::vector<KeyRow>> keys_in_file(const std::string& file) {
  std::vector<KeyRow> keys;
  std::ifstream in(file, std::ios::binary);
  if (!in) return keys;
  struct stat info {};
  if (stat(file.c_str(), &info) == 0 && (info.st_mode & 0077) != 0) {
    return fail(ErrorCode::refused, "others may read the API keys; make it mode 0600", file);
  }
  std::string line;
  for (size_t number = 1; std::getline(in, line); ++number) {
    if (line.empty()) continue;
    const auto json = parse_json(line);
    const auto text = [&](const char* key) {
      const auto it = json.find(key);
      return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
    };
    if (!json.is_object() || text("id").empty() || text("sha256").size() != 64) {
      return fail(ErrorCode::corrupt, "not an API key", file + ":" + std::to_string(number));
    }
    KeyRow key;
    key.id = text("id");
    key.prefix = base64(key.id + ":").substr(0, kPrefixLength);
    key.secret_sha256 = text("sha256");
    key.name = text("name");
    key.person = text("person").empty() ? "key-" + key.id : text("person");
    keys.push_back(std::move(key));
  }
  return keys;
}

Status take_over_keys(const std::string& file, Store& store) {
  FB_TRY(const std::vector<KeyRow> keys, keys_in_file(file));
  for (const KeyRow& key : keys) FB_TRY_VOID(store.take_over_key(key));
  return {};
}

}  // namespace fb::api
