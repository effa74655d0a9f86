#include "apps/firebreak-agent/agent_config.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "apps/enforcer/durable_file.h"
#include "engine/base/text.h"

namespace fb::agent {
namespace {

constexpr size_t kMaxConfigBytes = 256u << 10;

// Throws Error: yaml-cpp throws anyway, and both are caught at one place below.
[[noreturn]] void refuse(const std::string& file, const YAML::Mark& at, const std::string& message) {
  throw Error{ErrorCode::invalid_argument, Retry::no, message,
              file + ":" + std::to_string(at.line + 1) + ":" + std::to_string(at.column + 1)};
}

template <size_t N>
void check_keys(const std::string& file, const YAML::Node& map, const std::array<std::string_view, N>& known) {
  if (!map.IsMap()) refuse(file, map.Mark(), "this must be a map of keys");
  for (auto it = map.begin(); it != map.end(); ++it) {
    const std::string key = it->first.IsScalar() ? it->first.Scalar() : std::string();
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      const std::string_view near = nearest_word(key, known);
      refuse(
          file, it->first.Mark(),
          "unknown key '" + printable(key) + "'" + (near.empty() ? "" : "; did you mean '" + std::string(near) + "'?"));
    }
    for (auto other = map.begin(); other != it; ++other) {
      if (other->first.Scalar() == key) refuse(file, it->first.Mark(), "key '" + key + "' stands twice");
    }
  }
}

std::string text_of(const std::string& file, const YAML::Node& map, const char* key) {
  const YAML::Node node = map[key];
  if (!node || node.IsNull()) return "";
  if (!node.IsScalar()) refuse(file, node.Mark(), std::string("'") + key + "' must be a text");
  return node.Scalar();
}

std::string path_of(const std::string& file, const YAML::Node& map, const char* key) {
  const std::string text = text_of(file, map, key);
  if (text.empty()) return text;
  return (std::filesystem::path(file).parent_path() / text).lexically_normal().string();
}

void read_simulated(const std::string& file, const YAML::Node& node, HostFacts& host) {
  check_keys(file, node, std::array<std::string_view, 4>{"host_id", "hostname", "os", "ips"});
  if (const std::string t = text_of(file, node, "host_id"); !t.empty()) host.host_id = t;
  if (const std::string t = text_of(file, node, "hostname"); !t.empty()) host.hostname = t;
  if (const std::string t = text_of(file, node, "os"); !t.empty()) {
    if (t != "linux" && t != "windows" && t != "macos") {
      refuse(file, node["os"].Mark(), "'os' is linux, windows or macos");
    }
    host.os = t;
  }
  if (const YAML::Node ips = node["ips"]) {
    if (!ips.IsSequence()) refuse(file, ips.Mark(), "'ips' must be a list");
    host.ips.clear();
    for (const auto& ip : ips) {
      if (!ip.IsScalar()) refuse(file, ip.Mark(), "an address must be a text");
      host.ips.push_back(ip.Scalar());
    }
  }
}

AgentOptions read(const std::string& file, const std::string& text) {
  const YAML::Node root = YAML::Load(text);
  check_keys(file, root,
             std::array<std::string_view, 10>{"server", "ca_file", "fingerprint", "token_file", "state_dir", "backend",
                                              "helper_socket", "helper_folder", "agent_id", "simulated"});
  AgentOptions options;
  options.server = text_of(file, root, "server");
  options.ca_file = path_of(file, root, "ca_file");
  options.fingerprint = text_of(file, root, "fingerprint");
  options.token_file = path_of(file, root, "token_file");
  options.state_dir = path_of(file, root, "state_dir");
  options.backend = text_of(file, root, "backend");
  options.agent_id = text_of(file, root, "agent_id");
  options.host = read_host_facts();
  for (const char* key : {"server", "state_dir", "backend"}) {
    if (text_of(file, root, key).empty()) refuse(file, root.Mark(), std::string("'") + key + "' is missing");
  }
  if (options.backend != kSimulated && options.backend != kNftables) {
    refuse(file, root["backend"].Mark(),
           "there is no backend '" + printable(options.backend) +
               "'; it is nftables, or simulated, which cuts nothing off");
  }
  if (const std::string socket = path_of(file, root, "helper_socket"); !socket.empty()) options.helper_socket = socket;
  if (const std::string folder = path_of(file, root, "helper_folder"); !folder.empty()) options.helper_folder = folder;
  for (const char* key : {"helper_socket", "helper_folder"}) {
    if (root[key] && options.backend != kNftables) {
      refuse(file, root[key].Mark(), std::string("'") + key + "' goes with backend: nftables only");
    }
  }
  if (!options.fingerprint.empty() &&
      (options.fingerprint.size() != 64 ||
       options.fingerprint.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos)) {
    refuse(file, root["fingerprint"].Mark(), "'fingerprint' is a SHA-256: 64 hexadecimal digits");
  }
  if (const YAML::Node simulated = root["simulated"]) {
    if (options.backend != "simulated") {
      refuse(file, simulated.Mark(),
             "'simulated' goes with backend: simulated only; a real agent tells the truth about its host");
    }
    read_simulated(file, simulated, options.host);
  }
  return options;
}

}  // namespace

Result<AgentOptions> load_agent_config(const std::string& file) {
  FB_TRY(const std::string text, read_file(file, kMaxConfigBytes));
  try {
    return read(file, text);
  } catch (const Error& e) {
    return tl::unexpected<Error>(e);
  } catch (const YAML::Exception& e) {
    return fail(ErrorCode::invalid_argument, "not readable as YAML: " + e.msg,
                file + ":" + std::to_string(e.mark.line + 1) + ":" + std::to_string(e.mark.column + 1));
  } catch (const std::exception& e) {
    return fail(ErrorCode::invalid_argument, std::string("not readable: ") + e.what(), file);
  }
}

}  // namespace fb::agent
