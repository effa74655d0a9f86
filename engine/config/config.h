// The service's config file: YAML, read strictly by the table in keys.h. Every problem names file, line and column; an
// unknown key is refused with the nearest known one. Immutable once loaded.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "engine/base/limits.h"
#include "engine/base/result.h"
#include "engine/compile/rules.h"

namespace fb {

class Config {
 public:
  // All problems at once, as pictures (render); empty when the config is good.
  struct Loaded;
  static Loaded load(const std::string& path);
  static Loaded parse(const std::string& text, const std::string& file);

  // By path as in keys.h; asking for a path that is not there or of another type ends the process (a programming
  // error).
  const std::string& text(std::string_view path) const;  // text and choice
  const std::vector<std::string>& list(std::string_view path) const;
  const std::map<std::string, std::string>& map(std::string_view path) const;
  bool flag(std::string_view path) const;
  int64_t integer(std::string_view path) const;
  double percent(std::string_view path) const;
  std::optional<int64_t> duration_ms(std::string_view path) const;  // nothing where it may be empty and is

  Limits limits() const;

  // The keys whose values are not the same here and there, in the table's order.
  std::vector<std::string> differing_keys(const Config& other) const;

 private:
  using Value = std::variant<std::monostate, std::string, std::vector<std::string>, std::map<std::string, std::string>,
                             bool, int64_t, double>;
  template <class T>
  const T& get(std::string_view path) const;
  std::map<std::string, Value, std::less<>> values_;
};

struct Config::Loaded {
  Config config;
  std::vector<Diagnostic> problems;
  bool ok() const { return problems.empty(); }

  // A picture of what is wrong with an entry of a list that the file has (or with the list as a whole: index past its
  // end), for checks that only others can make.
  Diagnostic wrong_entry(std::string_view path, size_t index, std::string message) const;

  std::string file;
  std::string text;
  std::map<std::string, std::vector<std::pair<size_t, size_t>>, std::less<>> places;  // where each entry stands
};

// The JSON schema (draft 2020-12) of the config file, made from the table; config/firebreak.schema.json is this text.
std::string config_schema();

}  // namespace fb
