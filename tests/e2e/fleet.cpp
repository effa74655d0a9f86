// e2e_fleet URL CA_FILE FLEET_FILE STATE_DIR
// Runs one simulated endpoint a line of FLEET_FILE ({"agent_id","host_id","hostname","token"}) until SIGTERM, each with
// its own state below STATE_DIR/<agent_id>.
#include <signal.h>
#include <sys/stat.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "apps/firebreak-agent/agent.h"
#include "engine/base/json.h"

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: e2e_fleet URL CA_FILE FLEET_FILE STATE_DIR\n");
    return 2;
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);

  std::ifstream in(argv[3]);
  std::vector<std::jthread> agents;
  std::string line;
  while (std::getline(in, line)) {
    const auto json = nlohmann::json::parse(line);
    fb::agent::AgentOptions options;
    options.server = argv[1];
    options.ca_file = argv[2];
    options.agent_id = json["agent_id"];
    options.state_dir = std::string(argv[4]) + "/" + options.agent_id;
    options.token_file = options.state_dir + "/token";
    options.backend = "simulated";
    options.host = {json["host_id"], json["hostname"], "windows", {"192.0.2.1"}};
    options.wait_s = 20;
    options.backoff_max_ms = 500;
    std::filesystem::create_directories(options.state_dir);
    std::ofstream(options.token_file) << json["token"].get<std::string>() << '\n';
    chmod(options.token_file.c_str(), 0600);
    agents.emplace_back([options](std::stop_token stop) {
      const fb::Status ended = fb::agent::run_agent(options, stop);
      if (!ended) std::fprintf(stderr, "%s: %s\n", options.agent_id.c_str(), ended.error().describe().c_str());
    });
  }
  std::printf("%zu agents run\n", agents.size());
  std::fflush(stdout);
  int got = 0;
  sigwait(&signals, &got);
  for (std::jthread& agent : agents) agent.request_stop();
  return 0;
}
