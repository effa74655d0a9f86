#include "apps/enforcer/enforcer_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "apps/enforcer/durable_file.h"
#include "apps/enforcer/enforcer.h"
#include "apps/enforcer/local_release_json.h"
#include "engine/base/digest.h"
#include "engine/base/failpoint.h"
#include "engine/base/json.h"

namespace fb::agent {
namespace {

constexpr size_t kMaxSmallFile = 256u << 10;
constexpr size_t kMaxStoredOrders = 64;
constexpr size_t kMaxKeys = 16;
constexpr off_t kHeldBytes = 1 << 20;

tl::unexpected<Error> io_failed(const std::string& doing, const std::string& path) {
  const int error = errno;
  return fail(error == ENOSPC ? ErrorCode::no_space : ErrorCode::io, doing + ": " + std::strerror(error), path);
}

Status make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return io_failed("cannot make the folder", path);
  struct stat facts {};
  if (::lstat(path.c_str(), &facts) != 0) return io_failed("cannot look at the folder", path);
  if (!S_ISDIR(facts.st_mode)) return fail(ErrorCode::io, "is not a folder", path);
  // Whoever can write here decides whether this host is cut off.
  if (facts.st_uid == ::geteuid() && (facts.st_mode & 0077) != 0 && ::chmod(path.c_str(), 0700) != 0) {
    return io_failed("cannot close the folder to others", path);
  }
  return {};
}

Result<nlohmann::json> read_object(const std::string& path) {
  FB_TRY(const std::string text, read_file(path, kMaxSmallFile));
  auto json = parse_json(text);
  if (json.is_discarded() || !json.is_object()) return fail(ErrorCode::corrupt, "is not a JSON object", path);
  return json;
}

// Reads fields and remembers whether one was missing or of another kind.
struct Fields {
  const nlohmann::json& json;
  bool ok = true;

  int64_t number(const char* key) {
    const auto at = json.find(key);
    if (at != json.end() && at->is_number_integer() && *at >= 0) return at->get<int64_t>();
    ok = false;
    return 0;
  }
  std::string text(const char* key) {
    const auto at = json.find(key);
    if (at != json.end() && at->is_string()) return at->get<std::string>();
    ok = false;
    return {};
  }
};

nlohmann::ordered_json write_keys(const endpoint::KeySet& keys) {
  auto json = nlohmann::ordered_json::object();
  for (const auto& [kid, key] : keys) {
    json[kid] = base64({reinterpret_cast<const char*>(key.data()), key.size()});
  }
  return json;
}

// Nothing when one is broken: a host must not go on with half of its keys.
std::optional<endpoint::KeySet> read_keys(const nlohmann::json& json) {
  if (!json.is_object() || json.size() > kMaxKeys) return std::nullopt;
  endpoint::KeySet keys;
  for (const auto& [kid, value] : json.items()) {
    const auto bytes = value.is_string() ? unbase64(value.get<std::string>()) : std::nullopt;
    endpoint::PublicKey key{};
    if (!bytes || bytes->size() != key.size()) return std::nullopt;
    std::memcpy(key.data(), bytes->data(), key.size());
    if (endpoint::key_id(key) != kid) return std::nullopt;
    keys.emplace(kid, key);
  }
  return keys;
}

std::string order_name(int64_t epoch, int64_t revision) {
  return std::to_string(epoch) + "-" + std::to_string(revision) + ".order";
}

}  // namespace

Status keep_identity(const std::string& folder, const Identity& identity) {
  FB_TRY_VOID(make_folder(folder));
  nlohmann::ordered_json json;
  json["agent_id"] = identity.agent_id;
  json["server"] = identity.server;
  json["trusted"] = write_keys(identity.trusted);
  return replace_file(folder + "/identity.json", json.dump(2) + "\n");
}

Result<Identity> read_identity(const std::string& folder) {
  const std::string path = folder + "/identity.json";
  FB_TRY(const nlohmann::json json, read_object(path));
  Fields fields{json};
  Identity identity;
  identity.agent_id = fields.text("agent_id");
  identity.server = fields.text("server");
  const auto keys = json.contains("trusted") ? read_keys(json["trusted"]) : std::nullopt;
  if (!fields.ok || identity.agent_id.empty() || !keys) {
    return fail(ErrorCode::corrupt, "this host's identity can't be read", path);
  }
  identity.trusted = *keys;
  return identity;
}

Result<EnforcerFiles> EnforcerFiles::open(const std::string& folder) {
  FB_TRY_VOID(make_folder(folder));
  FB_TRY_VOID(make_folder(folder + "/orders"));
  FB_TRY_VOID(sync_folder(folder));
  return EnforcerFiles(folder);
}

Result<LastingState> EnforcerFiles::state() const {
  const std::string path = folder_ + "/state.json";
  FB_TRY(const nlohmann::json json, read_object(path));
  Fields fields{json};
  LastingState state;
  state.epoch = fields.number("epoch");
  state.revision = fields.number("revision");
  state.service_ms = fields.number("service_ms");
  state.lease_epoch = fields.number("lease_epoch");
  state.lease_revision = fields.number("lease_revision");
  state.lease_left_ms = fields.number("lease_left_ms");
  state.sequence = fields.number("sequence");
  state.failed_codes = fields.number("failed_codes");
  const auto release = local_release_in(json);
  if (!release) return fail(ErrorCode::corrupt, "the local release in the state can't be read", path);
  state.local_release = *release;
  if (!fields.ok) return fail(ErrorCode::corrupt, "the state lacks a field", path);
  return state;
}

Status EnforcerFiles::keep_state(const LastingState& state) {
  nlohmann::ordered_json json;
  json["epoch"] = state.epoch;
  json["revision"] = state.revision;
  json["service_ms"] = state.service_ms;
  json["lease_epoch"] = state.lease_epoch;
  json["lease_revision"] = state.lease_revision;
  json["lease_left_ms"] = state.lease_left_ms;
  json["sequence"] = state.sequence;
  json["failed_codes"] = state.failed_codes;
  put_local_release(json, state.local_release);
  return replace_file(folder_ + "/state.json",
                      json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

namespace {

Result<std::vector<std::string>> names_in(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder.c_str()), ::closedir);
  if (dir == nullptr) return io_failed("cannot list the folder", folder);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

Result<std::vector<StoredOrder>> EnforcerFiles::orders() const {
  const std::string folder = folder_ + "/orders";
  FB_TRY(const std::vector<std::string> names, names_in(folder));
  std::vector<StoredOrder> orders;
  for (const std::string& name : names) {
    if (!name.ends_with(".order") || orders.size() >= kMaxStoredOrders) continue;
    // One that can't be read is kept as an empty text: it does not verify, and that is said.
    orders.push_back({name, read_file(folder + "/" + name, endpoint::kMaxEnvelopeText).value_or(std::string())});
  }
  return orders;
}

Status EnforcerFiles::keep_order(const endpoint::Envelope& envelope, const std::string& text) {
  FB_TRY_VOID(failpoint("enforcer_order_room"));
  return replace_file(folder_ + "/orders/" + order_name(envelope.epoch, envelope.revision), text);
}

Status EnforcerFiles::keep_only(const std::vector<Number>& numbers) {
  const std::string folder = folder_ + "/orders";
  std::vector<std::string> keep;
  for (const Number& number : numbers) keep.push_back(order_name(number.epoch, number.revision));
  FB_TRY(const std::vector<std::string> names, names_in(folder));
  bool removed = false;
  for (const std::string& name : names) {
    if (std::find(keep.begin(), keep.end(), name) != keep.end()) continue;
    const std::string path = folder + "/" + name;
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return io_failed("cannot remove a stored order", path);
    removed = true;
  }
  return removed ? sync_folder(folder) : Status{};
}

Result<endpoint::KeySet> EnforcerFiles::retired_keys() const {
  const std::string path = folder_ + "/retired_keys.json";
  auto json = read_object(path);
  if (!json && json.error().code == ErrorCode::not_found) return endpoint::KeySet{};
  if (!json) return tl::unexpected<Error>(json.error());
  const auto keys = read_keys(*json);
  if (!keys) return fail(ErrorCode::corrupt, "the retired keys can't be read", path);
  return *keys;
}

Status EnforcerFiles::keep_retired_keys(const endpoint::KeySet& keys) {
  const std::string path = folder_ + "/retired_keys.json";
  if (!keys.empty()) return replace_file(path, write_keys(keys).dump(2) + "\n");
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return io_failed("cannot remove", path);
  return {};
}

void EnforcerFiles::hold_space() {
  const std::string path = folder_ + "/held_space";
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return;  // held already, or no space now
  const bool held = ::posix_fallocate(fd, 0, kHeldBytes) == 0;
  ::close(fd);
  if (!held) ::unlink(path.c_str());
}

void EnforcerFiles::free_space() {
  ::unlink((folder_ + "/held_space").c_str());
}

}  // namespace fb::agent
