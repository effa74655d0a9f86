#include "apps/firebreak-agent/agent_state.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "apps/enforcer/durable_file.h"
#include "engine/base/json.h"
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

Result<Credential> AgentState::read_credential(const std::string& folder) {
  const std::string path = folder + "/agent.json";
  auto text = read_file(path, kMaxStateFile);
  if (!text && text.error().code == ErrorCode::not_found) return Credential{};
  if (!text) return tl::unexpected<Error>(text.error());
  const auto json = parse_json(*text);
  const auto at = [&](const char* key) {
    return json.is_object() ? json.value(key, nlohmann::json()) : nlohmann::json();
  };
  Credential credential;
  if (at("agent_id").is_string()) credential.agent_id = at("agent_id");
  if (at("server").is_string()) credential.server = at("server");
  if (credential.agent_id.empty()) {
    return fail(ErrorCode::corrupt, "the agent's identity cannot be read; remove the file and enrol again", path);
  }
  if (at("heartbeat_ms").is_number_integer()) {
    const int64_t ms = at("heartbeat_ms");
    if (ms >= 10 && ms <= 3'600'000) credential.heartbeat_ms = static_cast<int>(ms);
  }
  if (at("renew_at_ms").is_number_integer()) credential.renew_at_ms = at("renew_at_ms");
  return credential;
}

Status AgentState::keep(const Credential& credential, const std::string& certificate,
                        const std::string& ca_certificate) const {
  if (!ca_certificate.empty()) FB_TRY_VOID(replace_file(ca_file(), ca_certificate));
  FB_TRY(const std::string key, read_file(next_key_file(), kMaxStateFile));
  FB_TRY_VOID(replace_file(identity_file(), certificate + key));
  nlohmann::ordered_json json;
  json["agent_id"] = credential.agent_id;
  json["server"] = credential.server;
  json["heartbeat_ms"] = credential.heartbeat_ms;
  json["renew_at_ms"] = credential.renew_at_ms;
  FB_TRY_VOID(replace_file(folder_ + "/agent.json", json.dump(2) + "\n"));
  ::unlink(next_key_file().c_str());  // left behind, it would only be asked for again
  return {};
}

Status AgentState::hand_over() const {
  struct stat owner {};
  if (::geteuid() != 0 || ::stat(folder_.c_str(), &owner) != 0 || owner.st_uid == 0) return {};
  for (const char* name : {"lock", "agent_id", "agent.json", "identity.pem", "ca.pem"}) {
    const std::string path = folder_ + "/" + name;
    if (::lchown(path.c_str(), owner.st_uid, owner.st_gid) != 0 && errno != ENOENT) {
      return fail(ErrorCode::io, std::string("cannot be given to the agent's user: ") + std::strerror(errno), path);
    }
  }
  return {};
}

}  // namespace fb::agent
