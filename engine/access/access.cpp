#include "engine/access/access.h"

#include <algorithm>
#include <array>

namespace fb {
namespace {

using enum Privilege;

struct PrivilegeRow {
  Privilege privilege;
  std::string_view word;
  std::string_view elastic;
};
constexpr std::array kPrivileges = {
    PrivilegeRow{endpoints_read, "endpoints_read", "Endpoint List"},
    PrivilegeRow{endpoints_write, "endpoints_write", "Endpoint List"},
    PrivilegeRow{actions_read, "actions_read", "Response Actions History"},
    PrivilegeRow{isolate, "isolate", "Host Isolation"},
    PrivilegeRow{release, "release", "Host Isolation"},
    PrivilegeRow{approve, "approve", ""},
    PrivilegeRow{exceptions_read, "exceptions_read", "Host Isolation Exceptions"},
    PrivilegeRow{exceptions_write, "exceptions_write", "Host Isolation Exceptions"},
    PrivilegeRow{exceptions_delete, "exceptions_delete", "Host Isolation Exceptions"},
    PrivilegeRow{alerts_read, "alerts_read", ""},
    PrivilegeRow{alerts_write, "alerts_write", ""},
    PrivilegeRow{rules_read, "rules_read", ""},
    PrivilegeRow{rules_write, "rules_write", ""},
    PrivilegeRow{guard_write, "guard_write", ""},
    PrivilegeRow{agents_manage, "agents_manage", ""},
    PrivilegeRow{audit_read, "audit_read", ""},
    PrivilegeRow{users_manage, "users_manage", ""},
};

constexpr auto kAllPrivileges = [] {
  std::array<Privilege, kPrivileges.size()> all{};
  for (size_t i = 0; i < all.size(); ++i) all[i] = kPrivileges[i].privilege;
  return all;
}();

constexpr uint32_t bit(Privilege p) {
  return 1u << static_cast<unsigned>(p);
}
constexpr uint32_t kViewer =
    bit(endpoints_read) | bit(actions_read) | bit(exceptions_read) | bit(alerts_read) | bit(rules_read);
constexpr uint32_t kAnalyst = kViewer | bit(alerts_write);
constexpr uint32_t kResponder = kAnalyst | bit(isolate) | bit(release) | bit(exceptions_write) | bit(exceptions_delete);
constexpr uint32_t kApprover = kViewer | bit(approve) | bit(guard_write) | bit(audit_read);
constexpr uint32_t kRuleAuthor = kViewer | bit(rules_write);
constexpr uint32_t kAdmin = ~0u;

struct RoleRow {
  Role role;
  std::string_view word;
  uint32_t gives;
};
constexpr std::array kRoles = {
    RoleRow{Role::viewer, "viewer", kViewer},
    RoleRow{Role::analyst, "analyst", kAnalyst},
    RoleRow{Role::responder, "responder", kResponder},
    RoleRow{Role::approver, "approver", kApprover},
    RoleRow{Role::rule_author, "rule_author", kRuleAuthor},
    RoleRow{Role::admin, "admin", kAdmin},
};
constexpr std::array kAllRoles = {Role::viewer,   Role::analyst,     Role::responder,
                                  Role::approver, Role::rule_author, Role::admin};

}  // namespace

std::string_view to_string(Privilege p) {
  return kPrivileges[static_cast<size_t>(p)].word;
}
std::span<const Privilege> all_privileges() {
  return kAllPrivileges;
}
std::optional<Privilege> privilege_from(std::string_view word) {
  for (const PrivilegeRow& row : kPrivileges) {
    if (row.word == word) return row.privilege;
  }
  return std::nullopt;
}
bool is_reading(Privilege p) {
  return to_string(p).ends_with("_read");
}
std::string_view elastic_name(Privilege p) {
  return kPrivileges[static_cast<size_t>(p)].elastic;
}

std::string_view to_string(Role r) {
  return kRoles[static_cast<size_t>(r)].word;
}
std::span<const Role> all_roles() {
  return kAllRoles;
}
std::optional<Role> role_from(std::string_view word) {
  for (const RoleRow& row : kRoles) {
    if (row.word == word) return row.role;
  }
  return std::nullopt;
}

bool has(Role role, Privilege privilege) {
  return (kRoles[static_cast<size_t>(role)].gives & bit(privilege)) != 0;
}

bool Principal::may(Privilege privilege) const {
  const bool by_role = std::any_of(roles.begin(), roles.end(), [&](Role r) { return has(r, privilege); });
  if (!by_role) return false;
  return scopes.empty() || std::find(scopes.begin(), scopes.end(), privilege) != scopes.end();
}

bool Principal::may_all_of(const std::vector<Role>& other_roles, const std::vector<Privilege>& other_scopes) const {
  Principal other;
  other.roles = other_roles;
  other.scopes = other_scopes;
  return std::all_of(kAllPrivileges.begin(), kAllPrivileges.end(),
                     [&](Privilege p) { return !other.may(p) || may(p); });
}

}  // namespace fb
