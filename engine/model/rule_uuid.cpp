#include "engine/model/rule_uuid.h"

#include "engine/base/digest.h"

namespace fb {

std::string file_rule_uuid(std::string_view rule_id) {
  std::string text = hex(sha256_parts({"fb-file-rule-1", rule_id})).substr(0, 32);
  text[12] = '8';  // version 8: the namer's own
  text[16] = 'a';
  for (const size_t at : {8u, 13u, 18u, 23u}) text.insert(at, 1, '-');
  return text;
}

}  // namespace fb
