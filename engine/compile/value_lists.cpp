#include "engine/compile/value_lists.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "engine/base/digest.h"
#include "engine/ir/value_set.h"

namespace fb::compile {
namespace {

constexpr std::array kExact = {"keyword", "text",       "boolean", "byte",   "short", "integer",
                               "long",    "half_float", "float",   "double", "date",  "date_nanos"};

bool is_of_addresses(const std::string& type) {
  return type == "ip" || type == "ip_range";
}

std::string digest_of(const ir::ValueSet& set) {
  std::string all = set.addresses ? "addresses" : "texts";
  for (const std::string& text : set.texts) all += "\n" + std::to_string(text.size()) + ":" + text;
  for (const ir::AddressRange& range : set.ranges) {
    all.append(range.low.begin(), range.low.end());
    all.append(range.high.begin(), range.high.end());
  }
  return hex(sha256(all));
}

// How the field's values are read, as the matcher reads them.
FieldType type_of(const std::string& field) {
  const ir::PathView path = ir::split_view(field);
  return path.view == ir::View::plain ? field_type(field) : ir::viewed_type(path.view, field_type(path.base));
}

}  // namespace

bool exceptions_can_use(const std::string& type) {
  return is_of_addresses(type) || std::find(kExact.begin(), kExact.end(), type) != kExact.end();
}

ValueList make_value_list(const std::string& type, std::vector<std::string> values) {
  if (!exceptions_can_use(type)) {
    return {nullptr, "exceptions can't look events up in a value list of the type " + type};
  }
  size_t bytes = 0;
  for (const std::string& value : values) bytes += value.size();
  if (bytes > kMaxValueListBytes) {
    return {nullptr,
            "exceptions can't use a value list of more than " + std::to_string(kMaxValueListBytes >> 20) + " MiB"};
  }
  auto set = std::make_shared<ir::ValueSet>();
  set->addresses = is_of_addresses(type);
  if (set->addresses) {
    for (const std::string& value : values) {
      if (const auto range = ir::parse_address_span(value)) set->ranges.push_back(*range);
    }
    set->ranges = ir::merged(std::move(set->ranges));
  } else {
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    set->texts = std::move(values);
  }
  set->digest = digest_of(*set);
  return {std::move(set), ""};
}

Result<ir::Node> in_value_list(const std::string& field, const ValueList& list) {
  if (list.values == nullptr) return fail(ErrorCode::invalid_argument, list.problem);
  if (list.values->addresses && !ir::holds_addresses(type_of(field))) {
    return fail(ErrorCode::invalid_argument, "the list holds addresses, the field '" + field + "' holds none");
  }
  if (list.values->empty()) return ir::never();
  ir::Test t;
  t.field.name = field;
  t.op = ir::Op::one_of;
  t.values = list.values;
  return ir::test(std::move(t));
}

}  // namespace fb::compile
