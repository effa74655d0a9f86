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

// How operating commands reach the service.
struct ConnectOptions {
  std::string config;  // its data_dir tells the socket
  std::string socket;
  std::string url;
  std::string api_key;
  std::string api_key_file;
  std::string ca_file;
  std::string profile;
};

// Rule files and the rules of a service.
struct RulesSyncOptions {
  ConnectOptions connect;
  Format format = Format::text;
  std::vector<std::string> paths;
  std::string rule;    // rule_id or id
  std::string folder;  // pull: where the files go
  int64_t from = 0;    // versions; 0 = the one before the newest
  int64_t to = 0;      // 0 = the newest
  int64_t version = 0;
  bool dry_run = false;
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
  Format format = Format::text;
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
  Format format = Format::text;
  std::string ttl = "1h";
};

struct ExceptionsOptions {
  ConnectOptions connect;
  Format format = Format::text;
  std::string address;
  std::string item_id;
  std::string name;
  std::string description;
  std::string comment;
  std::string expires;                // ISO time; "" = never
  std::vector<std::string> policies;  // none: all
  std::string file;                   // "" and "-" are standard output
  bool overwrite = false;
};

struct PoliciesOptions {
  ConnectOptions connect;
  Format format = Format::text;
  std::string id;
  std::string name;
  std::optional<std::string> description;
  std::vector<std::string> services;  // host:port
  std::vector<std::string> dns;
  std::string dhcp;        // yes, no; "" = as it is
  std::string on_lockout;  // stay, rollback; "" = as it is
  std::optional<std::string> message;
  std::vector<std::string> unset;  // settings that the config decides again
  std::vector<std::string> hosts;
  std::string comment;
};

struct WatchOptions {
  ConnectOptions connect;
  Format format = Format::text;
  std::vector<std::string> kinds;  // alert, action, endpoint; none: all
  std::string after;               // the id to go on from; "" = only what is new
  int64_t limit = 0;               // end after so many; 0 = never
};

struct UsersOptions {
  ConnectOptions connect;
  Format format = Format::text;
  std::string name;
  std::vector<std::string> roles;
  std::string comment;
  bool no_password = false;
};

struct KeysOptions {
  ConnectOptions connect;
  Format format = Format::text;
  std::string id;
  std::string user;  // "" = whoever asks; of a list: everybody
  std::string name;
  std::vector<std::string> scopes;  // none: all that the roles give
  std::string expires_in;           // "" = never
  std::string comment;
};

struct ProfileOptions {
  ConnectOptions connect;  // of login
  Format format = Format::text;
  std::string name;
  bool names_only = false;
};

// A `firebreak` command: returns the exit code; prints errors itself.
int run_query(const QueryOptions& options);
int run_replay(const ReplayOptions& options);
int run_rules_check(const RulesOptions& options);
int run_rules_list(const RulesOptions& options);
int run_rules_test(const RulesOptions& options);
int run_rules_push(const RulesSyncOptions& options);
int run_rules_pull(const RulesSyncOptions& options);
int run_rules_diff(const RulesSyncOptions& options);
int run_rules_versions(const RulesSyncOptions& options);
int run_rules_restore(const RulesSyncOptions& options);
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
int run_exceptions_add(const ExceptionsOptions& options);
int run_exceptions_list(const ExceptionsOptions& options);
int run_exceptions_remove(const ExceptionsOptions& options);
int run_exceptions_export(const ExceptionsOptions& options);
int run_exceptions_import(const ExceptionsOptions& options);
int run_policies_list(const PoliciesOptions& options);
int run_policies_show(const PoliciesOptions& options);
int run_policies_add(const PoliciesOptions& options);
int run_policies_set(const PoliciesOptions& options);
int run_policies_remove(const PoliciesOptions& options);
int run_policies_assign(const PoliciesOptions& options);
int run_watch(const WatchOptions& options);
int run_users_add(const UsersOptions& options);
int run_users_list(const UsersOptions& options);
int run_users_set_roles(const UsersOptions& options);
int run_users_disable(bool disable, const UsersOptions& options);
int run_users_passwd(const UsersOptions& options);
int run_keys_create(const KeysOptions& options);
int run_keys_list(const KeysOptions& options);
int run_keys_revoke(const KeysOptions& options);
int run_login(const ProfileOptions& options);
int run_logout(const ProfileOptions& options);
int run_profiles_list(const ProfileOptions& options);
int run_profiles_use(const ProfileOptions& options);
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
