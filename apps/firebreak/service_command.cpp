// firebreak run: the service until a signal. SIGTERM and SIGINT drain and end with 0 (a second one ends at once),
// SIGHUP reloads the rules and what isolated hosts may talk to.
#include <csignal>
#include <cstdio>
#include <ctime>

#include "apps/firebreak/load_config.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/service.h"
#include "apps/firebreak/signals.h"
#include "apps/firebreak/terminal.h"
#include "engine/base/log.h"

namespace fb::cli {

int run_service(const ServiceOptions& options) {
  const Signals signals;  // before any thread starts, so that all of them leave signals to us
  auto config = load_config(options.config);
  if (!config) return config.error();
  ServiceStart start;
  start.config = std::move(*config);
  start.config_file = options.config;
  start.allow_broken = options.allow_broken;
  start.from_record = options.from_record;
  auto service = Service::start(std::move(start));
  if (!service) return complain(service.error(), kCantRun);
  while ((*service)->fatal_exit() == 0) {
    switch (signals.wait(200)) {
      case 0:
        continue;
      case SIGHUP:
        (*service)->reload_rules();
        (*service)->reload_policy();
        continue;
      default:
        break;
    }
    log(LogLevel::info, "stopping", "draining: finishing the batch, parking what is on its way");
    signals.end_at_once_on_the_next();
    (*service)->stop();
    service->reset();
    log(LogLevel::info, "stopped", "the record is closed");
    return kDone;
  }
  const int code = (*service)->fatal_exit();
  (*service)->stop();
  return code;
}

}  // namespace fb::cli
