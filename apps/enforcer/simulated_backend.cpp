
#include "apps/enforcer/backend.h"
#include "apps/enforcer/durable_file.h"
#include "engine/base/digest.h"
#include "engine/base/json.h"

namespace fb::agent {
namespace {

constexpr size_t kMaxStateBytes = 8u << 20;

nlohmann::ordered_json describe(const Cut& cut) {
  nlohmann::ordered_json json;
  json["exceptions"] = nlohmann::ordered_json::array();
  for (const auto& prefix : cut.exceptions) json["exceptions"].push_back(endpoint::to_string(prefix));
  json["services"] = nlohmann::ordered_json::array();
  for (const auto& service : cut.services) {
    json["services"].push_back(
        endpoint::to_string(endpoint::Service{endpoint::to_string(service.address), service.port}));
  }
  json["dns"] = nlohmann::ordered_json::array();
  for (const auto& prefix : cut.dns) json["dns"].push_back(endpoint::to_string(prefix));
  json["dhcp"] = cut.dhcp;
  return json;
}

// The file takes the place of the kernel: whoever changes it plays the one who changes the rules.
class SimulatedBackend final : public IsolationBackend {
 public:
  explicit SimulatedBackend(const std::string& state_dir) : file_(state_dir + "/simulated_isolation.json") {}

  std::string_view name() const override { return "simulated"; }
  bool simulated() const override { return true; }

  Status isolate(const Cut& cut) override {
    nlohmann::ordered_json rules = describe(cut);
    const std::string digest = hex(sha256(rules.dump()));
    FB_TRY_VOID(write(Isolation::isolated, std::move(rules)));
    applied_ = digest;
    return {};
  }

  Status release() override {
    FB_TRY_VOID(write(Isolation::released, nullptr));
    applied_.clear();
    return {};
  }

  Result<Observation> observe() override {
    Observation seen;
    seen.state = Isolation::released;
    auto text = read_file(file_, kMaxStateBytes);
    if (!text && text.error().code == ErrorCode::not_found) return seen;
    if (!text) return tl::unexpected<Error>(text.error());
    const auto json = parse_ordered_json(*text);
    if (!json.is_object() || !json.contains("state") || !json["state"].is_string()) {
      return fail(ErrorCode::corrupt, "the simulated state cannot be read", file_);
    }
    const auto state = from_string<Isolation>(json["state"].get<std::string>());
    if (!state) return fail(ErrorCode::corrupt, "the simulated state has no known word", file_);
    seen.state = *state;
    if (seen.state != Isolation::isolated) return seen;
    seen.rule_digest = hex(sha256(json.contains("rules") ? json["rules"].dump() : std::string()));
    seen.intact = seen.rule_digest == applied_;
    return seen;
  }

  Status watch(std::function<void()>) override { return {}; }  // nothing tells of a change; the enforcer looks anyway

 private:
  Status write(Isolation state, nlohmann::ordered_json rules) {
    nlohmann::ordered_json json;
    json["simulated"] = true;
    json["state"] = to_string(state);
    if (!rules.is_null()) json["rules"] = std::move(rules);
    return replace_file(file_, json.dump() + "\n");
  }

  const std::string file_;
  std::string applied_;  // the digest of the rules that this object set last
};

}  // namespace

std::unique_ptr<IsolationBackend> make_simulated_backend(const std::string& state_dir) {
  return std::make_unique<SimulatedBackend>(state_dir);
}

}  // namespace fb::agent
