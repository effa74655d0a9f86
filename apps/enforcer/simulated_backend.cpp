#include <nlohmann/json.hpp>

#include "apps/enforcer/backend.h"
#include "apps/enforcer/durable_file.h"

namespace fb::agent {
namespace {

class SimulatedBackend final : public IsolationBackend {
 public:
  explicit SimulatedBackend(const std::string& state_dir) : file_(state_dir + "/simulated_isolation.json") {}

  std::string_view name() const override { return "simulated"; }
  bool simulated() const override { return true; }

  Status apply(const Command& command) override {
    nlohmann::ordered_json json;
    json["simulated"] = true;
    json["state"] = to_string(command.verb == Verb::isolate ? Isolation::isolated : Isolation::released);
    json["generation"] = command.generation;
    json["action_id"] = command.action_id;
    return replace_file(file_, json.dump() + "\n");
  }

  Result<Isolation> observe() override {
    auto text = read_file(file_, 64u << 10);
    if (!text && text.error().code == ErrorCode::not_found) return Isolation::released;
    if (!text) return tl::unexpected<Error>(text.error());
    const auto json = nlohmann::json::parse(*text, nullptr, false);
    if (!json.is_object() || !json.contains("state") || !json["state"].is_string()) {
      return fail(ErrorCode::corrupt, "the simulated state cannot be read", file_);
    }
    const auto state = from_string<Isolation>(json["state"].get<std::string>());
    if (!state) return fail(ErrorCode::corrupt, "the simulated state has no known word", file_);
    return *state;
  }

 private:
  const std::string file_;
};

}  // namespace

std::unique_ptr<IsolationBackend> make_simulated_backend(const std::string& state_dir) {
  return std::make_unique<SimulatedBackend>(state_dir);
}

std::string backend_names() {
  return "simulated";
}

Result<std::unique_ptr<IsolationBackend>> make_backend(const std::string& name, const std::string& state_dir) {
  if (name == "simulated") return make_simulated_backend(state_dir);
  return fail(ErrorCode::invalid_argument, "backend '" + name + "' is not in this build; it has: " + backend_names());
}

}  // namespace fb::agent
