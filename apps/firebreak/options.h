// What the command line says, as plain data: cli.cpp fills it, the commands read it. One struct a command.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fb::cli {

// Exit codes, the same for every command.
constexpr int kDone = 0;
constexpr int kFound = 1;    // a check found a problem
constexpr int kCantRun = 2;  // usage, missing file, broken rule set

enum class Format : uint8_t { text, json };

struct QueryOptions {
  std::string language = "kuery";
  std::optional<std::string> query;
  std::string query_file;
  std::string fields = "ecs";
  Format format = Format::text;
  std::vector<std::string> events;
};

struct ReplayOptions {
  std::vector<std::string> rules;
  std::string fields = "ecs";
  Format format = Format::text;
  std::string stats_file;
  std::string endpoints_file;
  std::vector<std::string> exceptions;
  bool no_index = false;
  bool allow_broken = false;
  int threads = 1;
  std::vector<std::string> events;
};

struct RulesOptions {
  std::vector<std::string> paths;
  std::vector<std::string> exceptions;
  Format format = Format::text;
  std::string junit_file;
  bool with_tests = false;
};

struct ServiceOptions {
  std::string config;
  bool allow_broken = false;
  bool from_record = false;
};

struct DemoOptions {
  bool keep = false;
  std::string samples;  // folder; "" = the one that was installed or built with
  std::string rules;
};

// How operating commands reach the service.
struct ConnectOptions {
  std::string config;  // its data_dir tells the socket
  std::string socket;
  std::string url;
  std::string api_key;
  std::string ca_file;
};

struct ListOptions {
  ConnectOptions connect;
  Format format = Format::text;
  int limit = 50;
  std::string host;
  std::string rule;
  std::string since;
  std::string status;
  std::string command;
};

struct ActOptions {
  ConnectOptions connect;
  std::string host;
  std::string comment;
  bool override_protected = false;
  std::string wait;  // "30s"; "" = the default, which does not wait for an agent that is offline
  Format format = Format::text;
};

struct MaintenanceOptions {
  ConnectOptions connect;
  std::string host;
  std::string tag;
  std::string from;
  std::string to;
  bool suppress = false;
  bool include_critical = false;
  std::string comment;
};

struct RespondOptions {
  ConnectOptions connect;
  std::string host;
  std::optional<std::string> command;  // -e
  int wait_s = 60;
};

struct AuditOptions {
  ConnectOptions connect;
  std::string db;
  Format format = Format::text;
  // Of `list`.
  int limit = 50;
  std::string since;
  std::string actor;
  std::string host;
};

struct TokenOptions {
  ConnectOptions connect;
  std::string ttl = "1h";
};

// A `firebreak` command: returns the exit code; prints errors itself.
int run_query(const QueryOptions& options);
int run_replay(const ReplayOptions& options);
int run_rules_check(const RulesOptions& options);
int run_rules_list(const RulesOptions& options);
int run_rules_test(const RulesOptions& options);
int run_service(const ServiceOptions& options);
int run_setup(const std::string& config);
int run_demo(const DemoOptions& options);
int run_list(const std::string& what, const ListOptions& options);  // alerts, actions, endpoints, deadletters
int run_act(const std::string& verb, const ActOptions& options);    // isolate, release
int run_decide(bool approve, const std::string& action_id, const ActOptions& options);
int run_kill_switch(bool on, const ActOptions& options);
int run_decide_many(bool approve, const std::vector<std::string>& action_ids, const ActOptions& options);
int run_maintenance_add(const MaintenanceOptions& options);
int run_maintenance_list(const ConnectOptions& connect, Format format);
int run_maintenance_remove(const std::string& id, const ActOptions& options);
int run_tag(const std::string& op, const std::string& tag, const ActOptions& options);
int run_breaker_reset(const std::string& breaker, const ActOptions& options);
int run_token(const TokenOptions& options);
int run_enrollment_decision(bool approve, const ActOptions& options);  // of the agent in `host`
int run_agent_revoke(const ActOptions& options);
int run_agent_rotate(const ActOptions& options);
int run_rotate_signing_key(const ActOptions& options);
int run_break_glass(const ActOptions& options);
int run_respond(const RespondOptions& options);
int run_notify_test(const std::string& config);
int run_audit_verify(const AuditOptions& options);
int run_audit_list(const AuditOptions& options);
int run_config_check(const std::string& config);
int run_config_schema();

}  // namespace fb::cli
