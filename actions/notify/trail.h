// What the notifier needs of the record, as a port: the audit as a stream of events, the facts behind a row, and a
// cursor per reader. One Trail is used by one thread; the service gives each its own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/result.h"

namespace fb::notify {

struct TrailRow {
  int64_t seq = 0;
  std::string at;  // ISO 8601
  std::string actor;
  std::string what;
  std::string ref;
  std::string detail;
};

struct ActionFacts {
  std::string endpoint_id;
  std::string command;
  std::string rule_id;  // "" = asked for by a person
  std::string comment;
  std::string requested_by;
  std::string verdict;
  std::string guard;
  std::string detail;
};

struct EndpointFacts {
  std::string endpoint_id;
  std::string hostname;
  std::string desired;
  std::string observed;
};

struct Standing {
  std::string endpoint_id;
  std::string hostname;
  int64_t isolated_at_ms = 0;
};

class Trail {
 public:
  virtual ~Trail() = default;
  virtual Result<std::vector<TrailRow>> rows(int64_t after_seq, int64_t limit) = 0;  // oldest first
  virtual Result<int64_t> head() = 0;                                                // seq of the newest row
  virtual Result<std::optional<ActionFacts>> action(const std::string& action_id) = 0;
  virtual Result<std::optional<EndpointFacts>> endpoint(const std::string& endpoint_id) = 0;
  virtual Result<std::vector<Standing>> standing() = 0;  // endpoints that are isolated and are meant to be
  virtual Result<std::optional<int64_t>> cursor(const std::string& name) = 0;
  virtual Status set_cursor(const std::string& name, int64_t value) = 0;
  virtual Status note(const std::string& what, const std::string& ref, const std::string& detail) = 0;
};

}  // namespace fb::notify
