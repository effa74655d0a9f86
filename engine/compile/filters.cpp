#include "engine/compile/filters.h"

#include <array>

#include "engine/compile/exceptions.h"
#include "engine/event/field_types.h"

namespace fb::compile {
namespace {

using Kind = FileNode::Kind;

class FilterReader {
 public:
  FilterReader(size_t max_pattern_bytes, Checks& checks) : max_pattern_bytes_(max_pattern_bytes), checks_(checks) {}

  ir::Node filter(const FileNode& node) {
    const FileMember* meta = node.find("meta");
    if (meta != nullptr && !checks_.is(meta->value, "meta", Kind::object)) return ir::never();
    if (meta != nullptr && checks_.boolean(meta->value, "disabled").value_or(false)) return ir::always();
    checks_.only_keys(node, "a filter",
                      {"meta", "query", "$state", "exists", "range", "match_all", "bool", "term", "terms", "match",
                       "match_phrase", "prefix", "wildcard"});
    ir::Node out = ir::never();
    const FileMember* query = node.find("query");
    const FileMember* own = nullptr;  // older exports and Terraform hold the clause itself, beside `meta` or alone
    for (const FileMember& m : node.members) {
      if (m.key == "meta" || m.key == "query" || m.key == "$state") continue;
      if (own != nullptr && query == nullptr) {
        unsupported(node, "a filter with several clauses");
        return ir::never();
      }
      own = &m;
    }
    if (query != nullptr) {
      out = clause_map(query->value);
    } else if (own != nullptr) {
      out = clause(*own);
    } else if (meta != nullptr) {
      out = by_meta(meta->value);
    } else {
      unsupported(node, "a filter without a query");
    }
    const bool negated = meta != nullptr && checks_.boolean(meta->value, "negate").value_or(false);
    return negated ? ir::negate(std::move(out)) : out;
  }

 private:
  void unsupported(const FileNode& at, const std::string& what) {
    checks_.error(code::kUnsupportedFilter, at, what + " can't be run in 'filters'", "write it into the query");
  }

  ir::Node field_test(const std::string& field, ir::Op op, std::string literal) {
    ir::Test t;
    t.field.name = field;
    t.op = op;
    t.literal = std::move(literal);
    return ir::test(std::move(t));
  }

  // An object with exactly one key names its clause.
  ir::Node clause_map(const FileNode& node) {
    if (!checks_.is(node, "query", Kind::object)) return ir::never();
    if (node.members.size() != 1) {
      unsupported(node, "a query with " + std::to_string(node.members.size()) + " clauses");
      return ir::never();
    }
    return clause(node.members.front());
  }

  ir::Node clause(const FileMember& m) {
    if (m.key == "match_all") return ir::always();
    if (m.key == "exists") return exists(m.value);
    if (m.key == "range") return one_field(m.value, [&](auto& f, auto& v) { return range(f, v); });
    if (m.key == "match_phrase") return one_field(m.value, [&](auto& f, auto& v) { return phrase(f, v, "query"); });
    if (m.key == "match") return one_field(m.value, [&](auto& f, auto& v) { return match(f, v); });
    if (m.key == "term") return one_field(m.value, [&](auto& f, auto& v) { return term(f, v); });
    if (m.key == "terms") return one_field(m.value, [&](auto& f, auto& v) { return terms(f, v); });
    if (m.key == "prefix") return one_field(m.value, [&](auto& f, auto& v) { return prefix(f, v); });
    if (m.key == "wildcard") return one_field(m.value, [&](auto& f, auto& v) { return wildcard(f, v); });
    if (m.key == "bool") return boolean(m.value);
    unsupported(m.value, "the clause '" + m.key.substr(0, 60) + "'");
    return ir::never();
  }

  template <class Then>
  ir::Node one_field(const FileNode& node, Then&& then) {
    if (!checks_.is(node, "clause", Kind::object)) return ir::never();
    if (node.members.size() != 1) {
      unsupported(node, "a clause over several fields");
      return ir::never();
    }
    return then(node.members.front().key, node.members.front().value);
  }

  ir::Node exists(const FileNode& node) {
    if (!checks_.is(node, "exists", Kind::object)) return ir::never();
    checks_.only_keys(node, "exists", {"field"});
    const std::string* field = checks_.filled_string(node, "field", Checks::Need::required);
    return field == nullptr ? ir::never() : field_test(*field, ir::Op::exists, "");
  }

  ir::Node phrase(const std::string& field, const FileNode& value, std::string_view value_key) {
    const FileNode* text = &value;
    if (value.is(Kind::object)) {
      checks_.only_keys(value, "match_phrase", {value_key, "type"});
      const FileMember* inner = value.find(value_key);
      if (inner == nullptr) {
        checks_.error(code::kMissingKey, value, "'" + std::string(value_key) + "' is missing");
        return ir::never();
      }
      text = &inner->value;
    }
    const std::optional<std::string> literal = scalar_text(*text);
    if (!literal) {
      unsupported(*text, "a value that is not a string, number or boolean");
      return ir::never();
    }
    return field_test(field, ir::Op::phrase, *literal);
  }

  ir::Node match(const std::string& field, const FileNode& value) {
    const FileMember* type = value.is(Kind::object) ? value.find("type") : nullptr;
    const bool is_phrase = type != nullptr && type->value.text == "phrase";
    // Off analysed text a match is the same as a phrase.
    if (!is_phrase && field_type(field) == FieldType::text) {
      unsupported(value, "match over the analysed text '" + field + "'");
      return ir::never();
    }
    return phrase(field, value, "query");
  }

  bool refuse_text(const std::string& field, const FileNode& at, std::string_view what) {
    if (field_type(field) != FieldType::text) return false;
    unsupported(at, std::string(what) + " over the analysed text '" + field + "'");
    return true;
  }

  ir::Node term(const std::string& field, const FileNode& value) {
    return refuse_text(field, value, "term") ? ir::never() : phrase(field, value, "value");
  }

  ir::Node terms(const std::string& field, const FileNode& values) {
    if (refuse_text(field, values, "terms") || !checks_.is(values, "terms", Kind::array)) return ir::never();
    std::vector<ir::Node> any;
    for (const FileNode& v : values.items) any.push_back(phrase(field, v, "value"));
    return any.empty() ? ir::never() : ir::any_of(std::move(any));
  }

  ir::Node wildcard(const std::string& field, const FileNode& value) {
    const FileNode* pattern = &value;
    bool caseless = false;
    if (value.is(Kind::object)) {
      checks_.only_keys(value, "wildcard", {"value", "wildcard", "case_insensitive"});
      caseless = checks_.boolean(value, "case_insensitive").value_or(false);
      const FileMember* inner = value.find("value");
      if (inner == nullptr) inner = value.find("wildcard");
      if (inner == nullptr) {
        checks_.error(code::kMissingKey, value, "'value' is missing");
        return ir::never();
      }
      pattern = &inner->value;
    }
    if (refuse_text(field, value, "wildcard") || !checks_.is(*pattern, "value", Kind::string)) return ir::never();
    return glob(field, *pattern, pattern->text, caseless);
  }

  ir::Node glob(const std::string& field, const FileNode& at, const std::string& pattern, bool caseless) {
    if (pattern.size() > max_pattern_bytes_) {
      checks_.error(
          code::kBadValue, at,
          "the pattern is longer than " + std::to_string(max_pattern_bytes_) + " bytes (limits.max_pattern_bytes)");
      return ir::never();
    }
    ir::Test t;
    t.field.name = caseless ? field + ".caseless" : field;
    t.op = ir::Op::glob;
    t.glob = parse_wildcard(pattern);
    return ir::test(std::move(t));
  }

  ir::Node prefix(const std::string& field, const FileNode& value) {
    const FileNode* start = &value;
    bool caseless = false;
    if (value.is(Kind::object)) {
      checks_.only_keys(value, "prefix", {"value", "case_insensitive"});
      caseless = checks_.boolean(value, "case_insensitive").value_or(false);
      const FileMember* inner = value.find("value");
      if (inner == nullptr) {
        checks_.error(code::kMissingKey, value, "'value' is missing");
        return ir::never();
      }
      start = &inner->value;
    }
    if (refuse_text(field, value, "prefix") || !checks_.is(*start, "value", Kind::string)) return ir::never();
    std::string pattern;
    for (const char c : start->text) {
      if (c == '*' || c == '?' || c == '\\') pattern += '\\';
      pattern += c;
    }
    return glob(field, *start, pattern + '*', caseless);
  }

  ir::Node range(const std::string& field, const FileNode& value) {
    if (!checks_.is(value, "range", Kind::object)) return ir::never();
    static constexpr std::array<std::pair<std::string_view, ir::Op>, 4> kBounds = {
        {{"gt", ir::Op::greater}, {"gte", ir::Op::greater_equal}, {"lt", ir::Op::less}, {"lte", ir::Op::less_equal}}};
    std::vector<ir::Node> all;
    for (const FileMember& m : value.members) {
      bool known = false;
      for (const auto& [key, op] : kBounds) {
        if (m.key != key) continue;
        known = true;
        if (m.value.is(Kind::null)) continue;
        const std::optional<std::string> literal = scalar_text(m.value);
        if (!literal) {
          unsupported(m.value, "a bound that is not a string or number");
          return ir::never();
        }
        all.push_back(field_test(field, op, *literal));
      }
      if (!known) {
        unsupported(m.value, "the key '" + m.key.substr(0, 60) + "' of a range");
        return ir::never();
      }
    }
    if (all.empty()) all.push_back(field_test(field, ir::Op::exists, ""));
    return all.size() == 1 ? std::move(all.front()) : ir::all_of(std::move(all));
  }

  std::vector<ir::Node> clauses(const FileNode& node) {
    std::vector<ir::Node> out;
    if (node.is(Kind::array)) {
      for (const FileNode& item : node.items) out.push_back(clause_map(item));
    } else {
      out.push_back(clause_map(node));
    }
    return out;
  }

  ir::Node boolean(const FileNode& node) {
    if (!checks_.is(node, "bool", Kind::object)) return ir::never();
    checks_.only_keys(node, "bool", {"must", "filter", "should", "must_not", "minimum_should_match"});
    std::vector<ir::Node> all;
    bool required = false;
    for (const std::string_view key : {"must", "filter"}) {
      if (const FileMember* m = node.find(key)) {
        for (ir::Node& n : clauses(m->value)) {
          required = true;
          all.push_back(std::move(n));
        }
      }
    }
    if (const FileMember* m = node.find("must_not")) {
      for (ir::Node& n : clauses(m->value)) all.push_back(ir::negate(std::move(n)));
    }
    if (const FileMember* should = node.find("should")) {
      std::vector<ir::Node> any = clauses(should->value);
      int64_t least = required ? 0 : 1;
      if (const FileMember* m = node.find("minimum_should_match")) {
        const std::optional<std::string> text = scalar_text(m->value);
        if (!text || (*text != "0" && *text != "1")) {
          unsupported(m->value, "minimum_should_match other than 0 or 1");
          return ir::never();
        }
        least = *text == "1" ? 1 : 0;
      }
      if (least > 0 && !any.empty()) all.push_back(ir::any_of(std::move(any)));
    }
    if (all.empty()) return ir::always();
    return all.size() == 1 ? std::move(all.front()) : ir::all_of(std::move(all));
  }

  // Filters made by hand or by tools may have only `meta`.
  ir::Node by_meta(const FileNode& meta) {
    const std::string* type = checks_.string(meta, "type", Checks::Need::required);
    const std::string* key = checks_.filled_string(meta, "key", Checks::Need::required);
    if (type == nullptr || key == nullptr) return ir::never();
    if (*type == "exists") return field_test(*key, ir::Op::exists, "");
    const FileMember* params = meta.find("params");
    if (params == nullptr) {
      checks_.error(code::kMissingKey, meta, "'params' is missing");
      return ir::never();
    }
    if (*type == "phrase") return phrase(*key, params->value, "query");
    if (*type == "range") return range(*key, params->value);
    if (*type == "phrases" && checks_.is(params->value, "params", Kind::array)) {
      std::vector<ir::Node> any;
      for (const FileNode& v : params->value.items) any.push_back(phrase(*key, v, "query"));
      return any.empty() ? ir::never() : ir::any_of(std::move(any));
    }
    unsupported(meta, "a filter of type '" + type->substr(0, 60) + "'");
    return ir::never();
  }

  size_t max_pattern_bytes_;
  Checks& checks_;
};

}  // namespace

ir::Node read_filters(const FileNode& filters, size_t max_pattern_bytes, Checks& checks) {
  FilterReader reader(max_pattern_bytes, checks);
  std::vector<ir::Node> all;
  for (const FileNode& node : filters.items) {
    if (!checks.is(node, "filters[]", Kind::object)) continue;
    ir::Node n = reader.filter(node);
    if (n.kind != ir::Node::Kind::always) all.push_back(std::move(n));
  }
  if (all.empty()) return ir::always();
  return all.size() == 1 ? std::move(all.front()) : ir::all_of(std::move(all));
}

}  // namespace fb::compile
