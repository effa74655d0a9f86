// The HTTP API of the service: who may call, which route answers, errors in one shape. The handler runs on the server's
// threads; everything in Parts outlives the server.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "api/authenticator.h"
#include "api/router.h"
#include "engine/base/clock.h"
#include "engine/base/metrics.h"
#include "engine/net/http.h"
#include "engine/ports/past_events.h"
#include "engine/record/store.h"

namespace fb {
struct OpenAddress;
}

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

// What the exception routes ask of what isolated hosts are told.
struct IsolationControl {
  // Whether hosts would take these addresses, each alone and beside all that they are told and those before it that
  // fit; with `emptied`, what items open so far goes. In their places. invalid_argument: it is no address; refused: it
  // would undo isolations, the error says why.
  std::function<std::vector<Status>(const std::vector<OpenAddress>& opens, bool emptied)> fit_in;
  // Whether what the host is to have holds this address: when all together are too much, the newest are left out.
  std::function<bool(const std::string& endpoint_id, const std::string& address)> leaves_open;
  // Whether hosts would take what an endpoint policy sets; the error names the entry.
  std::function<Status(const PolicySettings& settings)> policy_fits;
  std::function<std::string(const std::string& endpoint_id)> wanted_digest;  // of the policy that the host is to have
};

class RuleDesk;  // rules/desk.h

struct Parts {
  Store& store;
  const Clock& clock;
  Metrics& metrics;
  std::function<void()> wake_dispatcher;
  std::function<std::vector<PartHealth>()> health;
  std::function<void()> refresh_gauges;  // before /metrics answers
  std::string service_version;
  std::string ca_fingerprint;                                 // of the CA that agents are to trust
  std::function<std::string()> new_token;                     // a fresh enrolment token, in the form that agents take
  std::function<std::string(const std::string&)> token_hash;  // what of it is stored
  AgentControl agents = {};
  IsolationControl isolation = {};
  AccessSettings access = {};
  RuleDesk* rules = nullptr;                 // outlives the server; null: no rules are served
  PastEvents past_events = {};               // what previews run over; null: only what the record has
  std::vector<std::string> host_names = {};  // besides this host's own: what a Host header may say
};

// Serves /api, /metrics, /healthz and /readyz. Two servers (socket and TCP) may share one handler.
net::Handler make_api(Parts parts);

// How large the body of a request may be, by its head: `import_bytes` where the route takes imports and the request
// shows credentials (which are not looked at yet), else `otherwise`. For net::ServerOptions.
std::function<size_t(const net::Request& head)> body_limits(size_t otherwise, size_t import_bytes);

// Every route of every file, for tests that hold the table against the documents.
Router all_routes();

}  // namespace fb::api
