#include "engine/event/event.h"

#include <algorithm>

namespace fb {

FieldTable::FieldTable() {
  for (const char* name : {"@timestamp", "agent.id", "host.id", "host.name"}) add(name);
}

FieldIx FieldTable::add(std::string_view name) {
  const auto [it, fresh] = by_name_.try_emplace(std::string(name), size());
  if (fresh) {
    names_.emplace_back(name);
    types_.push_back(field_type(name));
  }
  return FieldIx{it->second};
}

void FieldTable::want_nested(std::string_view path) {
  if (std::find(nested_.begin(), nested_.end(), path) == nested_.end()) nested_.emplace_back(path);
}

void FieldTable::want_all_leaves() {
  all_leaves_ = true;
}

void FieldTable::rename(std::string_view from, std::string_view to) {
  std::pair<std::string, std::string> renaming(from, to);
  if (from == to || std::find(renames_.begin(), renames_.end(), renaming) != renames_.end()) return;
  renames_.push_back(std::move(renaming));
}

}  // namespace fb
