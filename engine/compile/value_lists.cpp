#include "engine/compile/value_lists.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "engine/ir/typed.h"

namespace fb::compile {
namespace {

using ir::Address;

constexpr std::array kExact = {"keyword", "text",       "ip",    "boolean", "byte", "short",     "integer",
                               "long",    "half_float", "float", "double",  "date", "date_nanos"};
constexpr size_t kBits = 128;
constexpr size_t kMappedBits = 96;  // ::ffff:0:0/96 is where IPv4 stands

bool is_v4(const Address& a) {
  for (size_t i = 0; i < 10; ++i) {
    if (a[i] != 0) return false;
  }
  return a[10] == 0xFF && a[11] == 0xFF;
}

std::string text_of(const Address& a, size_t prefix) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  if (is_v4(a)) {
    for (size_t i = 12; i < a.size(); ++i) out += (i == 12 ? "" : ".") + std::to_string(a[i]);
    return out + "/" + std::to_string(prefix - kMappedBits);
  }
  for (size_t i = 0; i < a.size(); ++i) {
    if (i > 0 && i % 2 == 0) out += ':';
    out += kHex[a[i] >> 4];
    out += kHex[a[i] & 15];
  }
  return out + "/" + std::to_string(prefix);
}

// The bits behind the prefix, all zero or all one.
Address filled(Address a, size_t prefix, bool ones) {
  for (size_t bit = prefix; bit < kBits; ++bit) {
    const auto mask = static_cast<uint8_t>(0x80U >> (bit % 8));
    a[bit / 8] = static_cast<uint8_t>(ones ? a[bit / 8] | mask : a[bit / 8] & ~mask);
  }
  return a;
}

// False: it was the last address.
bool advance(Address& a) {
  for (size_t i = a.size(); i-- > 0;) {
    if (++a[i] != 0) return true;
  }
  return false;
}

ir::Node equal(const std::string& field, const std::string& value) {
  ir::Test t;
  t.field.name = field;
  t.op = ir::Op::phrase;
  t.literal = value;
  return ir::test(std::move(t));
}

}  // namespace

std::vector<std::string> networks_of(const std::string& range) {
  const size_t dash = range.find('-');
  if (dash == std::string::npos) return {range};
  const auto low = ir::parse_address(std::string_view(range).substr(0, dash));
  const auto high = ir::parse_address(std::string_view(range).substr(dash + 1));
  if (!low || !high || *high < *low || is_v4(*low) != is_v4(*high)) return {};
  std::vector<std::string> all;
  Address at = *low;
  for (;;) {
    // The widest network that begins here and does not reach beyond the end.
    size_t prefix = kBits;
    const size_t least = is_v4(at) ? kMappedBits : 0;
    while (prefix > least && filled(at, prefix - 1, false) == at && filled(at, prefix - 1, true) <= *high) --prefix;
    all.push_back(text_of(at, prefix));
    at = filled(at, prefix, true);
    if (at == *high || !advance(at)) return all;
  }
}

Result<ir::Node> in_value_list(const std::string& field, const ValueList& list) {
  const bool ranges = list.type == "ip_range";
  if (!ranges && std::find(kExact.begin(), kExact.end(), list.type) == kExact.end()) {
    return fail(ErrorCode::invalid_argument,
                "exceptions can't look events up in a value list of the type " + list.type);
  }
  std::vector<ir::Node> any;
  for (const std::string& value : list.values) {
    if (!ranges) {
      any.push_back(equal(field, value));
      continue;
    }
    for (const std::string& network : networks_of(value)) any.push_back(equal(field, network));
  }
  if (any.empty()) return ir::never();
  return any.size() == 1 ? std::move(any.front()) : ir::any_of(std::move(any));
}

}  // namespace fb::compile
