// How this host is cut off and let back in. The agent calls a backend from one thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "engine/base/result.h"
#include "engine/model/names.h"
#include "engine/ports/action_plugin.h"

namespace fb::agent {

class IsolationBackend {
 public:
  virtual ~IsolationBackend() = default;
  virtual std::string_view name() const = 0;
  // True: it only writes down what it would do. Said in every heartbeat, in the log and by --version.
  virtual bool simulated() const = 0;
  // Idempotent: the state asked for may be there already.
  virtual Status apply(const Command& command) = 0;
  // The state as it is now, read back and not remembered.
  virtual Result<Isolation> observe() = 0;
};

using BackendFactory = std::function<Result<std::unique_ptr<IsolationBackend>>(const std::string& state_dir)>;

// The names of the backends in this build.
std::string backend_names();
Result<std::unique_ptr<IsolationBackend>> make_backend(const std::string& name, const std::string& state_dir);

// Keeps the state in <state_dir>/simulated_isolation.json and touches no network.
std::unique_ptr<IsolationBackend> make_simulated_backend(const std::string& state_dir);

}  // namespace fb::agent
