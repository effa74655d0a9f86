#include "engine/event/field_types.h"

#include <unordered_map>

namespace fb {
namespace {

struct EcsField {
  std::string_view name;
  FieldType type;
  bool text;
};

constexpr EcsField kEcsFields[] = {
#include "engine/event/ecs_types.inc"
};

const EcsField* find(std::string_view name) {
  static const auto by_name = [] {
    std::unordered_map<std::string_view, const EcsField*> map;
    map.reserve(std::size(kEcsFields));
    for (const EcsField& field : kEcsFields) map.emplace(field.name, &field);
    return map;
  }();
  const auto it = by_name.find(name);
  return it == by_name.end() ? nullptr : it->second;
}

}  // namespace

FieldType field_type(std::string_view name) {
  if (const EcsField* field = find(name)) return field->type;
  const size_t dot = name.rfind('.');
  const std::string_view last = dot == std::string_view::npos ? name : name.substr(dot + 1);
  if (last == "ip") return FieldType::ip;
  if (last == "text" && dot != std::string_view::npos && has_text_multi_field(name.substr(0, dot))) {
    return FieldType::text;
  }
  return FieldType::dynamic;
}

bool has_text_multi_field(std::string_view name) {
  const EcsField* field = find(name);
  return field != nullptr && field->text;
}

}  // namespace fb
