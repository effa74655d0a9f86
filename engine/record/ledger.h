// Ledger over the writer's connection: what a guard asks inside the transaction that would record the intent. Lives for
// one job of the writer thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/ports/record.h"
#include "engine/record/sqlite.h"

namespace fb::record {

// Who is protected by configuration: endpoint ids, host ids or host names (names without regard to case), and tags.
struct Protection {
  std::vector<std::string> hosts;
  std::vector<std::string> tags{"protected", "dc", "dns", "dhcp", "kafka", "firebreak", "hypervisor", "backup"};

  bool covers(std::string_view endpoint_id, std::string_view host_id, std::string_view hostname,
              const std::vector<std::string>& endpoint_tags) const;
};

class DbLedger final : public Ledger {
 public:
  DbLedger(Sqlite& db, const Protection& protection, int64_t now_ms)
      : db_(db), protection_(protection), now_ms_(now_ms) {}

  Result<EndpointFacts> endpoint(const std::string& endpoint_id) override;
  Result<int64_t> enrolled() override;
  Result<int64_t> rule_intents_since(const std::string& rule_id, int64_t since_ms) override;
  Result<int64_t> auto_intents_since(int64_t since_ms) override;
  Result<int64_t> standing_auto_isolations() override;
  Result<bool> rule_tripped(const std::string& rule_id) override;
  Result<bool> fleet_tripped() override;
  Status trip_rule(const std::string& rule_id, const std::string& why) override;
  Status trip_fleet(const std::string& why) override;
  Result<std::vector<Group>> groups_of(const std::string& endpoint_id) override;
  Result<int64_t> rule_first_seen(const std::string& rule_id, const std::string& rule_hash) override;
  Result<int64_t> rules_alerting_since(const std::string& endpoint_id, int64_t since_ms) override;
  Result<bool> issued(const std::string& action_id, const std::string& endpoint_id, int64_t since_ms) override;
  Result<std::vector<Maintenance>> maintenance_of(const std::string& endpoint_id, int64_t now_ms) override;

 private:
  Result<std::vector<std::string>> tags_of(const std::string& endpoint_id);
  Status trip(std::string_view scope, const std::string& rule_id, const std::string& why);

  Sqlite& db_;
  const Protection& protection_;
  int64_t now_ms_;
};

// A JSON array of strings, as tags and addresses are kept.
std::vector<std::string> string_list(std::string_view json);
std::string string_list_json(const std::vector<std::string>& list);

}  // namespace fb::record
