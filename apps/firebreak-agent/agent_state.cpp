#include "apps/firebreak-agent/agent_state.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "apps/enforcer/durable_file.h"
#include "engine/model/ids.h"

namespace fb::agent {
namespace {

constexpr size_t kMaxStateFile = 256u << 10;

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  return text;
}

}  // namespace

Result<AgentState> AgentState::open(const std::string& folder) {
  if (folder.empty()) return fail(ErrorCode::invalid_argument, "state_dir is not given");
  std::error_code error;
  const bool made = std::filesystem::create_directories(folder, error);
  if (error) return fail(ErrorCode::io, "cannot make the state folder: " + error.message(), folder);
  if (made) std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  const std::string path = folder + "/lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return fail(ErrorCode::io, std::string("cannot make the lock: ") + std::strerror(errno), path);
  AgentState state(folder, fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) return fail(ErrorCode::busy, "another agent uses this state folder", folder);
  return state;
}

AgentState::AgentState(AgentState&& other) noexcept
    : folder_(std::move(other.folder_)), lock_(std::exchange(other.lock_, -1)) {}

AgentState::~AgentState() {
  if (lock_ >= 0) ::close(lock_);
}

Result<std::string> AgentState::agent_id(const std::string& configured) const {
  const std::string path = folder_ + "/agent_id";
  auto kept = read_file(path, 4096);
  if (!kept && kept.error().code != ErrorCode::not_found) return kept;
  const std::string known = kept ? trimmed(std::move(*kept)) : std::string();
  if (!configured.empty() && !known.empty() && configured != known) {
    return fail(ErrorCode::conflict, "this state folder belongs to agent " + known + ", not to " + configured, folder_);
  }
  if (!known.empty()) return known;
  const std::string id = configured.empty() ? new_uuid() : configured;
  FB_TRY_VOID(replace_file(path, id + "\n"));
  return id;
}

Result<Credential> AgentState::credential() const {
  const std::string path = folder_ + "/credential.json";
  auto text = read_file(path, kMaxStateFile);
  if (!text && text.error().code == ErrorCode::not_found) return Credential{};
  if (!text) return tl::unexpected<Error>(text.error());
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  const auto word = [&](const char* key) {
    if (!json.is_object()) return std::string();
    const auto at = json.find(key);
    return at != json.end() && at->is_string() ? at->get<std::string>() : std::string();
  };
  Credential credential;
  credential.agent_id = word("agent_id");
  credential.secret = word("credential");
  credential.server = word("server");
  credential.fingerprint = word("fingerprint");
  if (credential.agent_id.empty() || credential.secret.empty()) {
    return fail(ErrorCode::corrupt, "the credential cannot be read; remove the file and enrol again", path);
  }
  const auto heartbeat = json.find("heartbeat_ms");
  if (heartbeat != json.end() && heartbeat->is_number_integer()) {
    const auto ms = heartbeat->get<int64_t>();
    if (ms >= 10 && ms <= 3'600'000) credential.heartbeat_ms = static_cast<int>(ms);
  }
  return credential;
}

Status AgentState::keep(const Credential& credential, const std::string& ca_certificate) const {
  if (!ca_certificate.empty()) FB_TRY_VOID(replace_file(ca_file(), ca_certificate));
  nlohmann::ordered_json json;
  json["agent_id"] = credential.agent_id;
  json["credential"] = credential.secret;
  json["server"] = credential.server;
  json["fingerprint"] = credential.fingerprint;
  json["heartbeat_ms"] = credential.heartbeat_ms;
  return replace_file(folder_ + "/credential.json", json.dump(2) + "\n");
}

}  // namespace fb::agent
