// Reading a record: for people, the command line, the API and metrics. On its own read-only connection, also while the
// service runs or when it is down; sees the last commit. One Reader is used by one thread at a time. A read that takes
// longer than the limit ends with a timeout, so that no reader holds the log back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/model/model.h"

namespace fb::record {

// Times as the views tell them: "2026-11-21T20:14:34.123Z"; nothing where there is none.
struct AlertRow {
  int64_t seq = 0;  // rises with every alert; not a column of the view
  std::string alert_id;
  std::string rule_id;
  std::string rule_name;
  std::string severity;
  int64_t risk_score = 0;
  std::string endpoint_id;  // as the event calls it when no such endpoint is enrolled; "" when it is ambiguous
  std::optional<std::string> timestamp;  // the event's; nothing when it lies outside the years 0 to 9999
  std::string topic;
  int64_t partition = 0;
  int64_t offset = 0;
  std::string doc;  // JSON
};

struct ActionRow {
  int64_t seq = 0;
  std::string action_id;
  std::string request_id;
  std::optional<std::string> alert_id;
  std::optional<std::string> rule_id;
  std::string command;
  std::string endpoint_id;
  std::string comment;
  std::string status;
  std::string verdict;
  std::string guard;
  std::string requested_by;
  std::string created_at;
  std::optional<std::string> dispatched_at;
  std::optional<std::string> finished_at;
  // Beyond the view.
  std::string detail;
  int64_t generation = 0;
  int64_t attempts = 0;
  int64_t created_at_ms = 0;
  int64_t finished_at_ms = 0;
  int64_t expires_at_ms = 0;
  int64_t lease_ms = 0;
  std::string decided_by;
  std::vector<std::string> alert_ids;  // every alert behind it
};

struct EndpointRow {
  std::string endpoint_id;
  std::string host_id;
  std::string hostname;
  std::string os;
  std::string agent_status;
  std::string desired;
  std::string observed;
  int64_t generation = 0;
  std::optional<std::string> lease_until;
  std::optional<std::string> last_seen;
  // Not in its JSON, whose keys are those of the view:
  std::vector<std::string> problems;
  std::vector<std::string> tags;
};

struct DeadLetterRow {
  std::string reason;
  std::string topic;
  int64_t partition = 0;
  int64_t offset = 0;
  std::string raw_base64;
  std::string detail;
};

struct OutboxRow {
  int64_t seq = 0;
  std::string alert_id;
  std::string key;  // endpoint id, else what the event calls the host
  std::string doc;
};

struct AuditRow {
  int64_t seq = 0;
  std::string at;
  std::string actor;
  std::string what;
  std::string ref;
  std::string detail;
  std::string hash;
};

// One JSON object on one line, with exactly the view's keys (dead letters: reason, topic, partition, offset,
// raw_base64, detail). An alert's doc is an object, not text.
std::string json_line(const AlertRow& row);
std::string json_line(const ActionRow& row);
std::string json_line(const EndpointRow& row);
std::string json_line(const DeadLetterRow& row);
std::string json_line(const AuditRow& row);

// Empty lists and absent values do not filter.
struct AlertFilter {
  std::vector<std::string> alert_ids;
  std::string rule_id;
  std::string endpoint_id;
  int64_t after_seq = 0;  // only newer ones
  int64_t from_ms = 0;    // recorded at or after
  bool newest_first = true;
  int64_t limit = 100;
  int64_t skip = 0;
};

struct ActionFilter {
  std::vector<std::string> action_ids;
  std::vector<std::string> request_ids;  // those of a request that joined an action find that action
  std::vector<std::string> endpoint_ids;
  std::vector<std::string> commands;  // "isolate", "release"
  std::vector<std::string> statuses;
  std::vector<std::string> requested_by;
  std::string rule_id;
  std::string alert_id;  // behind the action, also by joining it
  int64_t from_ms = 0;   // created at or after
  int64_t to_ms = 0;     // created before; 0 = no end
  bool newest_first = true;
  int64_t limit = 100;
  int64_t skip = 0;
};

struct StoredOffsetRow {
  std::string cluster;
  std::string topic;
  int64_t epoch = 0;
  int64_t partition = 0;
  int64_t next_offset = 0;
};

// For gauges.
struct RecordCounts {
  int64_t alerts = 0;
  int64_t actions = 0;
  int64_t open_actions = 0;  // being carried out
  int64_t awaiting_approval = 0;
  int64_t endpoints = 0;
  int64_t isolated = 0;  // observed
  int64_t drifted = 0;
  int64_t dead_letters = 0;
  int64_t outbox = 0;
  int64_t audit_rows = 0;
};

struct AuditVerdict {
  bool ok = false;
  int64_t rows = 0;     // good ones, from the first on
  std::string head;     // hash of the last good row
  int64_t bad_seq = 0;  // the first bad one; 0 when ok
  std::string why;
};

class Reader {
 public:
  // not_found: no such file. corrupt: not a record. unsupported: another schema.
  static Result<std::unique_ptr<Reader>> open(const std::string& db_path, int64_t limit_ms = 30'000);
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  Result<std::vector<AlertRow>> alerts(const AlertFilter& filter = {});
  Result<std::optional<std::string>> alert_source(const std::string& alert_id);  // the event's exact bytes
  Result<std::vector<ActionRow>> actions(const ActionFilter& filter = {});
  Result<int64_t> count_actions(const ActionFilter& filter);  // without limit and skip
  Result<std::vector<EndpointRow>> endpoints();
  // A host as a person calls it: endpoint id, host id, or host name (without regard to case). Several may fit.
  Result<std::vector<EndpointRow>> find_endpoints(const std::string& host);
  Result<std::vector<DeadLetterRow>> dead_letters(int64_t limit = 100, int64_t skip = 0);
  Result<std::vector<OutboxRow>> outbox(int64_t limit, int64_t after_seq = 0);  // oldest first
  Result<std::vector<AuditRow>> audit(int64_t after_seq, int64_t limit);
  Result<std::vector<StoredOffsetRow>> offsets();
  Result<RecordCounts> counts();
  Result<std::vector<std::string>> tripped_rules();  // "" stands for the fleet breaker
  Result<AuditVerdict> verify_audit();               // not bound by the limit

 private:
  struct Impl;
  explicit Reader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// `firebreak audit verify --db FILE`.
Result<AuditVerdict> verify_audit(const std::string& db_path);

}  // namespace fb::record
