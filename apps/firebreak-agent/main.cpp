// firebreak-agent: parses the command line, wires, runs.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "apps/enforcer/helper_client.h"
#include "apps/firebreak-agent/agent.h"
#include "apps/firebreak-agent/agent_config.h"
#include "engine/base/clock.h"
#include "engine/base/text.h"

namespace {

using fb::agent::AgentOptions;

constexpr int kDone = 0;
constexpr int kRefused = 1;
constexpr int kCannotRun = 2;

constexpr const char* kDefaultConfig = "/etc/firebreak/firebreak-agent.yml";
constexpr const char* kDefaultState = "/var/lib/firebreak-agent";

constexpr const char* kHelp =
    "firebreak-agent: isolates this host when its Firebreak service says so\n"
    "\n"
    "  firebreak-agent enroll --url URL --token-file FILE [--ca-file FILE | --fingerprint HEX] [-c FILE]\n"
    "      Trades a one-time token for this agent's certificate, which it keeps in its state_dir, and writes down "
    "whom\n"
    "      the root helper obeys: with backend nftables, run it as root.\n"
    "      --url URL           the service, for instance https://firebreak.example:8771\n"
    "      --token-file FILE   made with: firebreak agents token\n"
    "      --ca-file FILE      the service's CA certificate (PEM)\n"
    "      --fingerprint HEX   or the SHA-256 of it; a token made by `firebreak agents token` carries it\n"
    "      -c FILE             config file for everything that is not given here\n"
    "  firebreak-agent run -c FILE\n"
    "      Runs until SIGTERM. Enrols by itself when the config has a token_file, there is no certificate yet and it\n"
    "      may write whom the helper obeys.\n"
    "  firebreak-agent status [-c FILE]\n"
    "      Who this agent is, and whether this host is isolated.\n"
    "  firebreak-agent release --break-glass [CODE] [-c FILE]\n"
    "      Lets this host back in with a code of `firebreak break-glass HOST`. Without CODE it is read from standard\n"
    "      input, which keeps it out of the shell's history and the list of processes.\n"
    "  firebreak-agent --version\n"
    "\n"
    "Example:\n"
    "  firebreak-agent enroll --url https://firebreak.example:8771 --token-file /root/token\n"
    "  firebreak-agent run -c /etc/firebreak/firebreak-agent.yml\n"
    "\n"
    "Exit codes: 0 done, 1 the service refused or is not there, 2 it could not run.\n";

int usage(const std::string& problem) {
  std::fprintf(stderr, "firebreak-agent: %s; see firebreak-agent --help\n", fb::printable(problem).c_str());
  return kCannotRun;
}

int failed(const fb::Error& error) {
  std::fprintf(stderr, "firebreak-agent: %s\n", fb::printable(error.describe()).c_str());
  const bool other_side = error.code == fb::ErrorCode::refused || error.code == fb::ErrorCode::unavailable ||
                          error.code == fb::ErrorCode::timeout;
  return other_side ? kRefused : kCannotRun;
}

struct Arguments {
  std::string command, config, url, token_file, ca_file, fingerprint, code;
  bool break_glass = false;
};

// "" when all is well, else what is wrong.
std::string parse(const std::vector<std::string>& words, Arguments& out) {
  static const std::vector<std::string> known = {"-c",           "--config",  "--url",
                                                 "--token-file", "--ca-file", "--fingerprint"};
  out.command = words.front();
  static const std::vector<std::string> commands = {"run", "enroll", "status", "release"};
  if (std::find(commands.begin(), commands.end(), out.command) == commands.end()) {
    return "unknown command '" + out.command + "'";
  }
  for (size_t i = 1; i < words.size(); ++i) {
    std::string name = words[i];
    if (out.command == "release") {
      if (name == "--break-glass" && !out.break_glass) {
        out.break_glass = true;
        continue;
      }
      if (out.break_glass && out.code.empty() && !name.starts_with("-")) {
        out.code = name;
        continue;
      }
    }
    std::string value;
    const size_t equals = name.find('=');
    const bool joined = name.starts_with("--") && equals != std::string::npos;
    if (joined) {
      value = name.substr(equals + 1);
      name.resize(equals);
    }
    std::string* slot = name == "-c" || name == "--config" ? &out.config
                        : out.command != "enroll"          ? nullptr
                        : name == "--url"                  ? &out.url
                        : name == "--token-file"           ? &out.token_file
                        : name == "--ca-file"              ? &out.ca_file
                        : name == "--fingerprint"          ? &out.fingerprint
                                                           : nullptr;
    if (slot == nullptr) {
      const std::string_view near = fb::nearest_word(name, known);
      return "unknown option '" + name + "'" + (near.empty() ? "" : " (did you mean " + std::string(near) + "?)");
    }
    if (!joined) {
      if (i + 1 >= words.size()) return "option " + name + " needs a value";
      value = words[++i];
    }
    if (value.empty()) return "option " + name + " needs a value";
    *slot = value;
  }
  return "";
}

fb::Result<AgentOptions> options_of(const Arguments& arguments) {
  std::string config = arguments.config;
  if (config.empty() && ::access(kDefaultConfig, R_OK) == 0) config = kDefaultConfig;
  AgentOptions options;
  if (!config.empty()) {
    FB_TRY(options, fb::agent::load_agent_config(config));
  } else {
    options.host = fb::agent::read_host_facts();
    options.state_dir = kDefaultState;
    options.backend = "simulated";
  }
  if (!arguments.url.empty()) options.server = arguments.url;
  if (!arguments.token_file.empty()) options.token_file = arguments.token_file;
  if (!arguments.ca_file.empty()) options.ca_file = arguments.ca_file;
  if (!arguments.fingerprint.empty()) {
    options.fingerprint = arguments.fingerprint;
    if (arguments.ca_file.empty()) options.ca_file.clear();
  }
  return options;
}

std::string code_from_standard_input() {
  if (::isatty(STDIN_FILENO) == 1) std::fputs("break-glass code: ", stderr);
  std::string code;
  std::getline(std::cin, code);
  return code;
}

int release(const Arguments& arguments) {
  if (!arguments.break_glass) return usage("release needs --break-glass; else the service releases a host");
  const auto options = options_of(arguments);
  if (!options) return failed(options.error());
  if (options->backend != fb::agent::kNftables) {
    return usage("only backend nftables has a helper that takes a code; this one is " + options->backend);
  }
  const std::string code = arguments.code.empty() ? code_from_standard_input() : arguments.code;
  if (code.empty()) return usage("no code was given");
  const fb::Status released = fb::agent::break_glass_at_helper(options->helper_socket, code);
  if (!released) return failed(released.error());
  std::printf("this host is released; the service will be told\n");
  return kDone;
}

int status(const Arguments& arguments) {
  const auto options = options_of(arguments);
  if (!options) return failed(options.error());
  const auto agent = fb::agent::read_agent_facts(options->state_dir);
  if (!agent) return failed(agent.error());
  if (agent->agent_id.empty()) {
    std::printf("not enrolled (state in %s)\n", options->state_dir.c_str());
  } else {
    std::printf("agent %s of %s\ncertificate until %s\n", agent->agent_id.c_str(), agent->server.c_str(),
                fb::iso8601(agent->certificate_until_ms).c_str());
  }
  if (options->backend == fb::agent::kSimulated) {
    const auto seen = fb::agent::make_simulated_backend(options->state_dir)->observe();
    if (!seen) return failed(seen.error());
    std::printf("backend simulated: %s, which cuts nothing off\n", std::string(to_string(seen->state)).c_str());
    return kDone;
  }
  const auto now = fb::agent::open_enforcement(*options).and_then([](const auto& e) { return e->status(); });
  if (!now) return failed(now.error());
  std::printf("backend %s: %s, generation %lld, %lld packets dropped, rules mended %lld times\n", now->backend.c_str(),
              std::string(to_string(now->observed)).c_str(), static_cast<long long>(now->generation),
              static_cast<long long>(now->drops), static_cast<long long>(now->drift_events));
  if (now->lease_left_ms > 0) {
    std::printf("the lease ends in %lld s\n", static_cast<long long>(now->lease_left_ms / 1000));
  }
  for (const std::string& problem : now->problems) std::printf("problem: %s\n", fb::printable(problem).c_str());
  return now->problems.empty() ? kDone : kRefused;
}

int enroll(const Arguments& arguments) {
  if (!arguments.ca_file.empty() && !arguments.fingerprint.empty())
    return usage("give --ca-file or --fingerprint, not both");
  auto options = options_of(arguments);
  if (!options) return failed(options.error());
  if (options->server.empty()) return usage("enroll needs --url");
  if (options->token_file.empty()) return usage("enroll needs --token-file");
  const auto enrolled = fb::agent::enroll_agent(*options, {});
  if (!enrolled) return failed(enrolled.error());
  std::printf("%s as agent %s (state in %s, isolation backend: %s)\n",
              enrolled->was_enrolled ? "Enrolled before" : "Enrolled", enrolled->agent_id.c_str(),
              options->state_dir.c_str(), options->backend.c_str());
  return kDone;
}

// The signals are blocked in every thread and waited for here, so that no handler runs anywhere.
int run(const Arguments& arguments) {
  if (arguments.config.empty()) return usage("run needs -c FILE");
  const auto options = options_of(arguments);
  if (!options) return failed(options.error());
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::atomic<bool> ended{false};
  fb::Status result;
  std::jthread agent([&](const std::stop_token& stop) {
    result = fb::agent::run_agent(*options, stop);
    ended.store(true);
  });
  while (!ended.load()) {
    const timespec pause{0, 200'000'000};
    if (sigtimedwait(&ends, nullptr, &pause) > 0) agent.request_stop();
  }
  agent.join();
  return result ? kDone : failed(result.error());
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.empty()) return usage("give a command");
  for (const std::string& word : words) {
    if (word == "--help" || word == "-h" || word == "help") {
      std::fputs(kHelp, stdout);
      return kDone;
    }
  }
  if (words.front() == "--version") {
    std::printf("firebreak-agent %s (isolation backends: nftables, simulated; a simulated backend cuts nothing off)\n",
                fb::agent::agent_version().c_str());
    return kDone;
  }
  Arguments arguments;
  if (const std::string problem = parse(words, arguments); !problem.empty()) return usage(problem);
  if (arguments.command == "enroll") return enroll(arguments);
  if (arguments.command == "status") return status(arguments);
  return arguments.command == "release" ? release(arguments) : run(arguments);
}
