#include "engine/model/ids.h"

#include <utility>

#include "engine/base/digest.h"
#include "engine/model/rule_uuid.h"

namespace fb {
namespace {

// 32 hex digits as a UUID is written.
std::string uuid_text(std::string digits) {
  for (size_t at : {8u, 13u, 18u, 23u}) digits.insert(at, 1, '-');  // GCC 12 warns falsely about insert(at, "-") at -O2
  return digits;
}

}  // namespace

std::string alert_id(std::string_view rule_id, std::string_view group_key, const SourcePosition& p) {
  return hex(sha256_parts({"fb-alert-1", rule_id, group_key, p.cluster, p.topic, std::to_string(p.epoch),
                           std::to_string(p.partition), std::to_string(p.offset)}));
}

std::string action_id(Verb verb, std::string_view endpoint_id, std::string_view cause) {
  return hex(sha256_parts({"fb-act-1", to_string(verb), endpoint_id, cause}));
}

std::string new_uuid() {
  std::string bytes = random_bytes(16);
  bytes[6] = static_cast<char>((bytes[6] & 0x0F) | 0x40);
  bytes[8] = static_cast<char>((bytes[8] & 0x3F) | 0x80);
  return uuid_text(hex(bytes));
}

std::string file_rule_uuid(std::string_view rule_id) {
  std::string digits = hex(sha256_parts({"fb-file-rule-1", rule_id})).substr(0, 32);
  digits[12] = '8';  // version 8: the namer's own
  digits[16] = 'a';
  return uuid_text(std::move(digits));
}

}  // namespace fb
