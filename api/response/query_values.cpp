#include "api/response/query_values.h"

#include <algorithm>
#include <charconv>

#include "engine/base/json.h"
#include "engine/base/text.h"
#include "engine/ir/typed.h"
#include "engine/net/uri.h"

namespace fb::api {
namespace {

tl::unexpected<Error> wrong(const std::string& name, const std::string& why) {
  return fail(ErrorCode::invalid_argument, "[request query." + printable(name) + "]: " + why);
}

}  // namespace

Result<QueryValues> QueryValues::read(std::string_view target, std::initializer_list<std::string_view> known) {
  QueryValues query;
  const size_t mark = target.find('?');
  std::string_view rest = mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    const auto name = net::percent_decode(pair.substr(0, equals), true);
    const auto value = net::percent_decode(pair.substr(std::min(equals + 1, pair.size())), true);
    if (!name || !value) return fail(ErrorCode::invalid_argument, "the query has a broken % escape");
    std::string plain = *name;
    if (plain.ends_with("[]")) plain.resize(plain.size() - 2);  // as some clients write a list
    if (std::find(known.begin(), known.end(), plain) == known.end()) {
      return wrong(plain, "definition for this key is missing");
    }
    query.values_[plain].push_back(*value);
  }
  return query;
}

std::string QueryValues::text(const std::string& name) const {
  const auto it = values_.find(name);
  return it == values_.end() ? std::string() : it->second.back();
}

std::vector<std::string> QueryValues::list(const std::string& name) const {
  std::vector<std::string> out;
  const auto it = values_.find(name);
  if (it == values_.end()) return out;
  for (const std::string& value : it->second) {
    if (value.starts_with('[')) {
      if (const auto json = parse_json(value); json.is_array()) {
        for (const auto& item : json) {
          if (item.is_string() && !item.get_ref<const std::string&>().empty()) out.push_back(item.get<std::string>());
        }
        continue;
      }
    }
    for (size_t at = 0; at <= value.size();) {
      const size_t end = std::min(value.find(',', at), value.size());
      if (end > at) out.push_back(value.substr(at, end - at));
      at = end + 1;
    }
  }
  return out;
}

Result<std::vector<std::string>> QueryValues::words(const std::string& name) const {
  std::vector<std::string> out = list(name);
  if (out.empty() && has(name)) return wrong(name, "value has length [0] but it must have a minimum length of [1].");
  return out;
}

Result<std::vector<std::string>> QueryValues::list_of(const std::string& name,
                                                      const std::vector<std::string_view>& words) const {
  FB_TRY(std::vector<std::string> out, this->words(name));
  for (const std::string& value : out) {
    if (std::find(words.begin(), words.end(), value) != words.end()) continue;
    std::string all;
    for (const std::string_view word : words) all += (all.empty() ? "" : ", ") + std::string(word);
    return wrong(name, "expected value to equal one of [" + all + "] but got [" + printable(value) + "]");
  }
  return out;
}

Result<int64_t> QueryValues::number(const std::string& name, int64_t otherwise, int64_t least, int64_t most) const {
  if (!has(name)) return otherwise;
  const std::string value = text(name);
  int64_t v = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), v);
  if (error == std::errc::result_out_of_range) return wrong(name, "Value is out of range.");
  if (error != std::errc() || end != value.data() + value.size()) {
    return wrong(name, "expected value of type [number] but got [string]");
  }
  if (v < least) return wrong(name, "Value must be equal to or greater than [" + std::to_string(least) + "].");
  if (v > most) return wrong(name, "Value must be equal to or lower than [" + std::to_string(most) + "].");
  return v;
}

Result<std::optional<int64_t>> QueryValues::date(const std::string& name, Edge edge, int64_t now_ms) const {
  const std::string value = text(name);
  if (value.empty()) return std::optional<int64_t>();
  const auto literal = ir::parse_date_literal(value);
  if (!literal) return wrong(name, "Invalid date: an ISO 8601 time, or date math such as now-24h/h");
  const ir::DateLiteral::Bounds bounds = literal->resolve(now_ms);
  return std::optional<int64_t>(edge == Edge::first ? bounds.first_ms : bounds.last_ms);
}

}  // namespace fb::api
