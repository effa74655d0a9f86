// Endpoint policies: kept, changed, given to endpoints.
#include "engine/record/policies.h"

#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"
#include "engine/model/ids.h"
#include "engine/record/exception_policies.h"
#include "engine/record/impl.h"

namespace fb {

using record::Rows;
using record::Sqlite;
using record::Txn;
using record::Writer;

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxIdBytes = 256;
constexpr size_t kMaxNameBytes = 256;
constexpr size_t kMaxDescriptionBytes = 4096;

std::string settings_text(const PolicySettings& s) {
  Json json = Json::object();
  if (s.services) json["services"] = *s.services;
  if (s.dns) json["dns"] = *s.dns;
  if (s.dhcp) json["dhcp"] = *s.dhcp;
  if (s.on_lockout) json["on_lockout"] = *s.on_lockout;
  if (s.message) json["message"] = *s.message;
  return dumped(json);
}

Result<PolicySettings> settings_of(std::string_view text, const std::string& id) {
  const Json json = parse_ordered_json(text);
  if (!json.is_object()) return fail(ErrorCode::corrupt, "the settings of a policy are not JSON", id);
  PolicySettings s;
  try {
    if (json.contains("services")) s.services = json["services"].get<std::vector<std::string>>();
    if (json.contains("dns")) s.dns = json["dns"].get<std::vector<std::string>>();
    if (json.contains("dhcp")) s.dhcp = json["dhcp"].get<bool>();
    if (json.contains("on_lockout")) s.on_lockout = json["on_lockout"].get<std::string>();
    if (json.contains("message")) s.message = json["message"].get<std::string>();
  } catch (const nlohmann::json::exception&) {
    return fail(ErrorCode::corrupt, "a setting of a policy has the wrong type", id);
  }
  return s;
}

#define FB_POLICY                                                                                              \
  "SELECT p.id, p.name, p.description, p.settings, p.version, p.created_at, p.created_by, p.updated_at, "      \
  "p.updated_by, iif(p.id = 'default', (SELECT count(*) FROM endpoints e WHERE NOT EXISTS (SELECT 1 FROM "     \
  "endpoint_policies x WHERE x.endpoint_id = e.endpoint_id)), 0) + (SELECT count(*) FROM endpoint_policies x " \
  "WHERE x.policy_id = p.id) FROM policies p "

Result<EndpointPolicy> read_policy(const Rows& row) {
  EndpointPolicy p;
  p.id = row.string(0);
  p.name = row.string(1);
  p.description = row.string(2);
  FB_TRY(p.settings, settings_of(row.text(3), p.id));
  p.version = row.integer(4);
  p.created_at_ms = row.integer(5);
  p.created_by = row.string(6);
  p.updated_at_ms = row.integer(7);
  p.updated_by = row.string(8);
  p.endpoints = row.integer(9);
  return p;
}

Result<std::optional<EndpointPolicy>> find_policy(Sqlite& db, const std::string& id) {
  FB_TRY(Rows row, db.query(FB_POLICY "WHERE p.id = ?", id));
  FB_TRY(const bool any, row.next());
  if (!any) return std::optional<EndpointPolicy>();
  FB_TRY(EndpointPolicy policy, read_policy(row));
  return std::optional<EndpointPolicy>(std::move(policy));
}

Status check(const EndpointPolicy& p, const std::string& who) {
  if (who.empty()) return fail(ErrorCode::invalid_argument, "a change of policies names who made it");
  if (p.name.empty() || p.name.size() > kMaxNameBytes || !is_utf8(p.name)) {
    return fail(ErrorCode::invalid_argument, "a policy has a name of 1 to 256 bytes");
  }
  if (p.description.size() > kMaxDescriptionBytes) {
    return fail(ErrorCode::invalid_argument, "a description has at most 4096 bytes");
  }
  // It stands in tags ("policy:<id>") and in paths.
  const bool plain =
      p.id.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == std::string::npos;
  if (!plain || p.id.size() > kMaxIdBytes || p.id == "all") {
    return fail(ErrorCode::invalid_argument, "a policy's id is letters, digits, '-', '_' and '.', and not 'all'");
  }
  return {};
}

// Isolated hosts are to hear of it.
void tell(Txn& txn, const StoreOptions& options) {
  if (options.open_addresses_changed) txn.after_commit.push_back(options.open_addresses_changed);
}

Status refuse_taken_name(Sqlite& db, const EndpointPolicy& p) {
  FB_TRY(const auto taken, db.text("SELECT id FROM policies WHERE name = ? AND id <> ?", p.name, p.id));
  if (taken) return fail(ErrorCode::already_exists, "another policy has the name '" + printable(p.name) + "'", *taken);
  return {};
}

}  // namespace

Result<bool> Store::policy_exists(const std::string& id) {
  return impl_->readers->with<bool>([&](Sqlite& db) -> Result<bool> {
    FB_TRY(const auto found, db.integer("SELECT 1 FROM policies WHERE id = ?", id));
    return found.has_value();
  });
}

Result<std::vector<EndpointPolicy>> Store::policies() {
  using List = std::vector<EndpointPolicy>;
  return impl_->readers->with<List>([](Sqlite& db) -> Result<List> {
    List list;
    FB_TRY(Rows rows, db.query(FB_POLICY "ORDER BY p.name, p.id"));
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) return list;
      FB_TRY(EndpointPolicy policy, read_policy(rows));
      list.push_back(std::move(policy));
    }
  });
}

Result<std::optional<EndpointPolicy>> Store::policy(const std::string& id) {
  return impl_->readers->with<std::optional<EndpointPolicy>>([&](Sqlite& db) { return find_policy(db, id); });
}

Result<EndpointPolicy> Store::policy_of(const std::string& endpoint_id) {
  return impl_->readers->with<EndpointPolicy>([&](Sqlite& db) -> Result<EndpointPolicy> {
    // Without the count of its endpoints: this is asked with every heartbeat of an isolated host.
    FB_TRY(Rows row,
           db.query("SELECT id, name, description, settings, version, created_at, created_by, updated_at, updated_by, "
                    "0 FROM policies WHERE id = coalesce((SELECT policy_id FROM endpoint_policies WHERE endpoint_id = "
                    "?), 'default')",
                    endpoint_id));
    FB_TRY(const bool any, row.next());
    if (!any) return fail(ErrorCode::corrupt, "the record has no default policy", endpoint_id);
    return read_policy(row);
  });
}

Result<std::vector<std::string>> Store::endpoints_of_policy(const std::string& id) {
  using List = std::vector<std::string>;
  return impl_->readers->with<List>([&](Sqlite& db) -> Result<List> {
    List list;
    FB_TRY(Rows rows, db.query("SELECT e.endpoint_id FROM endpoints e LEFT JOIN endpoint_policies x USING(endpoint_id) "
                               "WHERE coalesce(x.policy_id, 'default') = ? ORDER BY e.endpoint_id",
                               id));
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) return list;
      list.push_back(rows.string(0));
    }
  });
}

Result<EndpointPolicy> Store::add_policy(const EndpointPolicy& asked, const std::string& who) {
  EndpointPolicy p = asked;
  if (p.id.empty()) p.id = new_uuid();
  FB_TRY_VOID(check(p, who));
  EndpointPolicy kept;
  FB_TRY_VOID(impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const auto known, txn.db.integer("SELECT 1 FROM policies WHERE id = ?", p.id));
    if (known) return fail(ErrorCode::already_exists, "a policy has this id", p.id);
    FB_TRY_VOID(refuse_taken_name(txn.db, p));
    const std::string settings = settings_text(p.settings);
    FB_TRY_VOID(
        txn.db.run("INSERT INTO policies(id, name, description, settings, version, created_at, created_by, updated_at, "
                   "updated_by) VALUES(?1,?2,?3,?4,1,?5,?6,?5,?6)",
                   p.id, p.name, to_utf8(p.description), settings, txn.now_ms, who));
    FB_TRY_VOID(txn.audit(who, "policy_added", p.id, p.name + " " + settings));
    FB_TRY(auto found, find_policy(txn.db, p.id));
    if (found) kept = std::move(*found);
    return {};
  }));
  return kept;
}

Result<EndpointPolicy> Store::change_policy(const EndpointPolicy& p, int64_t version, const std::string& who) {
  FB_TRY_VOID(check(p, who));
  EndpointPolicy kept;
  FB_TRY_VOID(impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    FB_TRY(const auto now, txn.db.integer("SELECT version FROM policies WHERE id = ?", p.id));
    if (!now) return fail(ErrorCode::not_found, "no policy has this id", p.id);
    if (version != 0 && version != *now) {
      return fail(ErrorCode::conflict, "the policy has version " + std::to_string(*now) + " by now", p.id);
    }
    FB_TRY_VOID(refuse_taken_name(txn.db, p));
    const std::string settings = settings_text(p.settings);
    FB_TRY_VOID(
        txn.db.run("UPDATE policies SET name = ?2, description = ?3, settings = ?4, version = version + 1, "
                   "updated_at = ?5, updated_by = ?6 WHERE id = ?1",
                   p.id, p.name, to_utf8(p.description), settings, txn.now_ms, who));
    FB_TRY_VOID(txn.audit(who, "policy_changed", p.id, p.name + " " + settings));
    tell(txn, impl_->options);
    FB_TRY(auto found, find_policy(txn.db, p.id));
    if (found) kept = std::move(*found);
    return {};
  }));
  return kept;
}

Result<bool> Store::remove_policy(const std::string& id, const std::string& who, const std::string& why) {
  if (id == kDefaultPolicy) return fail(ErrorCode::conflict, "the default policy stays", id);
  bool removed = false;
  FB_TRY_VOID(impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    removed = false;
    FB_TRY(const auto used, txn.db.integer("SELECT count(*) FROM endpoint_policies WHERE policy_id = ?", id));
    if (used.value_or(0) > 0) {
      return fail(ErrorCode::conflict, std::to_string(*used) + " endpoints have this policy; give them another first",
                  id);
    }
    FB_TRY(const int64_t gone, txn.db.change("DELETE FROM policies WHERE id = ?", id));
    removed = gone > 0;
    if (!removed) return {};
    FB_TRY_VOID(record::forget_policy(txn, *impl_, id, who));
    return txn.audit(who, "policy_removed", id, to_utf8(why));
  }));
  return removed;
}

Result<int64_t> Store::assign_policy(const std::vector<std::string>& endpoint_ids, const std::string& policy_id,
                                     const std::string& who) {
  if (who.empty()) return fail(ErrorCode::invalid_argument, "a change of policies names who made it");
  int64_t changed = 0;
  FB_TRY_VOID(impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    changed = 0;
    FB_TRY(const auto known, txn.db.integer("SELECT 1 FROM policies WHERE id = ?", policy_id));
    if (!known) return fail(ErrorCode::not_found, "no policy has this id", policy_id);
    for (const std::string& endpoint : endpoint_ids) {
      FB_TRY(const auto enrolled, txn.db.integer("SELECT 1 FROM endpoints WHERE endpoint_id = ?", endpoint));
      if (!enrolled) return fail(ErrorCode::not_found, "no endpoint has this id", endpoint);
      FB_TRY(const auto before, txn.db.text("SELECT policy_id FROM endpoint_policies WHERE endpoint_id = ?", endpoint));
      if (before.value_or(kDefaultPolicy) == policy_id) continue;
      ++changed;
      if (policy_id == kDefaultPolicy) {
        FB_TRY_VOID(txn.db.run("DELETE FROM endpoint_policies WHERE endpoint_id = ?", endpoint));
      } else {
        FB_TRY_VOID(
            txn.db.run("INSERT INTO endpoint_policies(endpoint_id, policy_id, assigned_at, assigned_by) "
                       "VALUES(?1,?2,?3,?4) ON CONFLICT DO UPDATE SET policy_id = ?2, assigned_at = ?3, "
                       "assigned_by = ?4",
                       endpoint, policy_id, txn.now_ms, who));
      }
      FB_TRY_VOID(txn.audit(who, "policy_assigned", endpoint, before.value_or(kDefaultPolicy) + " -> " + policy_id));
    }
    if (changed > 0) tell(txn, impl_->options);
    return {};
  }));
  return changed;
}

}  // namespace fb
