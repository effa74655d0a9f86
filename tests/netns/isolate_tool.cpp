// The nftables backend behind a pipe, for tests in network namespaces: one command a line in, one JSON object a line
// out. isolate {"exceptions": [...], "services": [...], "dns": [...], "dhcp": true} | release | observe | watch |
// mend on | mend off. `watch` prints {"changed": <monotonic ms>} for every callback; with mending on, a change leads to
// observe and, when something is not intact, to isolate as last asked, as the enforcer does it.
#include <chrono>
#include <condition_variable>
#include <iostream>
#include <mutex>
#include <optional>
#include <thread>

#include "apps/enforcer/nftables/nftables_options.h"
#include "engine/base/json.h"

namespace {

using fb::agent::Cut;
using nlohmann::json;

double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

fb::Result<Cut> read_cut(const std::string& text) {
  const json j = json::parse(text, nullptr, false);
  if (!j.is_object()) return fb::fail(fb::ErrorCode::invalid_argument, "no JSON object");
  Cut cut;
  FB_TRY(cut.exceptions, fb::endpoint::read_exceptions(j.value("exceptions", std::vector<std::string>())));
  for (const auto& text_of_one : j.value("services", std::vector<std::string>())) {
    FB_TRY(const auto service, fb::endpoint::parse_service(text_of_one));
    FB_TRY(const auto address, fb::endpoint::parse_prefix(service.host));
    cut.services.push_back({address, service.port});
  }
  for (const auto& address : j.value("dns", std::vector<std::string>())) {
    FB_TRY(const auto prefix, fb::endpoint::parse_prefix(address));
    cut.dns.push_back(prefix);
  }
  cut.dhcp = j.value("dhcp", true);
  return cut;
}

class Tool {
 public:
  explicit Tool(std::unique_ptr<fb::agent::IsolationBackend> backend) : backend_(std::move(backend)) {
    mender_ = std::thread([this] { mend_on_change(); });
  }
  ~Tool() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    mender_.join();
    backend_.reset();  // ends the callbacks while the rest of this is still there
  }
  Tool(const Tool&) = delete;
  Tool& operator=(const Tool&) = delete;

  json carry_out(const std::string& line) {
    const std::string command = line.substr(0, line.find(' '));
    const std::string rest = line.size() > command.size() ? line.substr(command.size() + 1) : "";
    const std::lock_guard lock(backend_mutex_);
    const double began = now_ms();
    json reply;
    if (command == "isolate") {
      auto cut = read_cut(rest);
      if (!cut) return {{"error", cut.error().describe()}};
      cut_ = *cut;
      note(reply, backend_->isolate(*cut_));
    } else if (command == "release") {
      cut_.reset();
      note(reply, backend_->release());
    } else if (command == "observe") {
      observe(reply);
    } else if (command == "watch") {
      note(reply, backend_->watch([this] { on_change(); }));
    } else if (command == "mend") {
      const std::lock_guard state(mutex_);
      mending_ = rest == "on";
    } else {
      return {{"error", "unknown command"}};
    }
    reply["ms"] = now_ms() - began;
    return reply;
  }

  void print(const json& object) {
    const std::lock_guard lock(output_mutex_);
    std::cout << object.dump() << std::endl;
  }

 private:
  static void note(json& reply, const fb::Status& status) {
    if (!status) reply["error"] = status.error().describe();
  }

  void observe(json& reply) {
    const auto seen = backend_->observe();
    if (!seen) {
      reply["error"] = seen.error().describe();
      return;
    }
    reply["state"] = to_string(seen->state);
    reply["intact"] = seen->intact;
    reply["links_changed"] = seen->links_changed;
    reply["digest"] = seen->rule_digest;
    reply["drops"] = seen->drops;
    reply["problems"] = seen->problems;
  }

  void on_change() {
    print({{"changed", now_ms()}});
    {
      const std::lock_guard lock(mutex_);
      changed_ = true;
    }
    wake_.notify_all();
  }

  void mend_on_change() {
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return stopping_ || changed_; });
      if (stopping_) return;
      changed_ = false;
      if (!mending_) continue;
      lock.unlock();
      mend();
      lock.lock();
    }
  }

  void mend() {
    const std::lock_guard lock(backend_mutex_);
    if (!cut_) return;
    const auto seen = backend_->observe();
    if (seen && seen->state == fb::Isolation::isolated && seen->intact) return;
    json reply;
    note(reply, backend_->isolate(*cut_));
    reply["mended"] = now_ms();
    print(reply);
  }

  std::unique_ptr<fb::agent::IsolationBackend> backend_;
  std::mutex backend_mutex_;
  std::optional<Cut> cut_;
  std::mutex output_mutex_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  bool changed_ = false;
  bool mending_ = false;
  std::thread mender_;
};

}  // namespace

int main(int argc, char** argv) {
  fb::agent::NftablesOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--no-egress") options.use_egress = false;
    if (argument == "--blind") options.read_back = false;
    if (argument == "--patience" && i + 1 < argc) options.learn_for = std::chrono::milliseconds(std::stoi(argv[++i]));
    if (argument == "--reference" && i + 1 < argc) options.reference_file = argv[++i];
    if (argument == "--leases" && i + 1 < argc) options.lease_root = argv[++i];
  }
  auto backend = fb::agent::make_nftables_backend_with(options);
  if (!backend) {
    std::cout << json{{"error", backend.error().describe()}}.dump() << std::endl;
    return 1;
  }
  Tool tool(std::move(*backend));
  tool.print({{"ready", true}});
  for (std::string line; std::getline(std::cin, line);) tool.print(tool.carry_out(line));
  return 0;
}
