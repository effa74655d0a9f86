// The whole service, wired: source, rules, pipeline, record, guard, dispatcher, agent gateway, API. `firebreak run` and
// `firebreak demo` both run this. Only here (and in the commands) concrete classes meet.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "engine/base/metrics.h"
#include "engine/base/result.h"
#include "engine/config/config.h"
#include "engine/pipeline/rule_book.h"
#include "engine/record/store.h"

namespace fb::cli {

struct ServiceStart {
  Config config;
  std::string config_file;  // read again by reload_policy(); "" = never
  bool allow_broken = false;
  bool from_record = false;
  bool embedded_broker = false;  // the brokers are librdkafka's mock: fetch often
};

class Service {
 public:
  // Opens the record, loads the rules, starts every thread. Does not wait for Kafka or agents. The error says what to
  // do.
  static Result<std::unique_ptr<Service>> start(ServiceStart start);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // Reloads the rules now (SIGHUP); the outcome is logged.
  void reload_rules();
  // Reads what isolated hosts may talk to from the config file again (SIGHUP) and tells the hosts; a file with a
  // problem changes nothing. The outcome is logged.
  void reload_policy();
  // Finishes the batch at hand, parks what is on its way, hands the partitions back. Idempotent. The destructor closes
  // the record; it has what stop() left of their common time.
  void stop();
  // Set when the service can't go on (the record failed): the process must end with this exit code; 0 = all is well.
  int fatal_exit() const;

  Store& store();
  RuleSetPtr rules() const;
  uint16_t http_port() const;
  uint16_t agents_port() const;
  // Records taken so far.
  uint64_t events() const;

 private:
  struct Impl;
  explicit Service(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace fb::cli
