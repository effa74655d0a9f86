// Who may do what: people and keys as principals, roles, and the privileges that routes ask for. Deny by default: a
// principal has what its roles give it and nothing else. Pure data and functions, thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fb {

// What a route may ask for, one word each; the words stand in scopes of API keys, in 403 answers and in the docs.
enum class Privilege : uint8_t {
  endpoints_read,
  endpoints_write,  // tags, policies
  actions_read,     // the history of response actions
  isolate,
  release,
  approve,  // decide on actions that wait, and on enrolments
  exceptions_read,
  exceptions_write,
  exceptions_delete,
  alerts_read,
  alerts_write,  // status, assignees, tags, notes
  rules_read,
  rules_write,
  guard_write,    // kill switch, breakers, maintenance windows
  agents_manage,  // tokens, revoking, rotation, break-glass codes
  audit_read,
  users_manage,  // people, roles, keys
};
std::string_view to_string(Privilege);
std::span<const Privilege> all_privileges();
std::optional<Privilege> privilege_from(std::string_view word);
// Only looks: a request for it changes nothing.
bool is_reading(Privilege);

enum class Role : uint8_t { viewer, analyst, responder, approver, rule_author, admin };
std::string_view to_string(Role);
std::span<const Role> all_roles();
std::optional<Role> role_from(std::string_view word);

bool has(Role role, Privilege privilege);
// The name that Elastic gives the privilege ("Host Isolation", "Host Isolation Exceptions", ...); "" when it has none.
std::string_view elastic_name(Privilege);

// Who makes a request. `person` is one human over all their keys and sessions (approver is not requester).
struct Principal {
  std::string person;  // user name; "local" on the unix socket
  std::vector<Role> roles;
  std::vector<Privilege> scopes;  // of the key; empty: all that the roles give
  std::string key_id;             // "" = a session or the socket
  std::string address;            // the other side's, for the audit

  bool may(Privilege privilege) const;
  // May this principal do all that one with these roles and scopes may? Who gives rights away must have them.
  bool may_all_of(const std::vector<Role>& other_roles, const std::vector<Privilege>& other_scopes) const;
};

}  // namespace fb
