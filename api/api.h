// The HTTP API of the service: who may call, which route answers, errors in one shape. The handler runs on the server's
// threads; everything in Parts outlives the server.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "api/api_keys.h"
#include "engine/base/clock.h"
#include "engine/base/metrics.h"
#include "engine/net/http.h"
#include "engine/record/store.h"

namespace fb::api {

// One line of /readyz: a part of the service and whether it does its work.
struct PartHealth {
  std::string name;  // kafka, record, rules, agents
  bool ready = false;
  std::string detail;
};

// What the routes ask of the agent gateway.
struct AgentControl {
  std::function<void(const std::string& endpoint_id)> forget;       // its certificate was revoked
  std::function<void(const std::string& endpoint_id)> ask_renewal;  // of its certificate
  std::function<Result<std::string>()> rotate_signing_key;          // the new key's id
  std::function<std::string(const std::string& endpoint_id, int64_t generation)> break_glass_code;
};

struct Parts {
  Store& store;
  const Clock& clock;
  Metrics& metrics;
  ApiKeys keys;
  std::function<void()> wake_dispatcher;
  std::function<std::vector<PartHealth>()> health;
  std::function<void()> refresh_gauges;  // before /metrics answers
  std::string service_version;
  std::string ca_fingerprint;                                 // of the CA that agents are to trust
  std::function<std::string()> new_token;                     // a fresh enrolment token, in the form that agents take
  std::function<std::string(const std::string&)> token_hash;  // what of it is stored
  AgentControl agents = {};
};

net::Handler make_api(Parts parts);

}  // namespace fb::api
