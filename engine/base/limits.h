// Every limit of Firebreak that concerns untrusted input: its name (as in the config file under `limits:`), its default
// and its unit. Each has a test; docs/limits.md is checked against this file.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fb {

struct EventLimits {
  size_t max_event_bytes = 1u << 20;         // limits.max_event_bytes: a larger record is a dead letter
  uint32_t max_event_depth = 64;             // limits.max_event_depth: objects and arrays within each other
  uint32_t max_event_keys = 20'000;          // limits.max_event_keys: keys in one event, all objects together
  uint32_t max_array_length = 100'000;       // limits.max_array_length: elements of one array
  uint32_t max_key_bytes = 4096;             // limits.max_key_bytes: one key's length
  size_t dead_letter_raw_bytes = 64u << 10;  // limits.dead_letter_raw_bytes: how much of a refused record is kept
};

struct RuleLimits {
  size_t max_rule_file_bytes = 256u << 10;   // limits.max_rule_file_bytes
  size_t max_rule_import_bytes = 64u << 20;  // limits.max_rule_import_bytes: NDJSON exports
  uint32_t max_yaml_depth = 64;              // limits.max_yaml_depth
  size_t max_query_bytes = 64u << 10;        // limits.max_query_bytes
  uint32_t max_query_depth = 200;            // limits.max_query_depth: parentheses within each other
  uint32_t max_query_nodes = 20'000;         // limits.max_query_nodes
  size_t max_pattern_bytes = 4096;           // limits.max_pattern_bytes: one wildcard pattern
  size_t max_rule_name_bytes = 512;          // limits.max_rule_name_bytes: rule_id and name
  uint32_t max_rules = 50'000;               // limits.max_rules
};

struct Limits {
  EventLimits event;
  RuleLimits rule;
};

}  // namespace fb
