#include "engine/match/judge.h"

#include <algorithm>
#include <bit>

namespace fb::match {

namespace {

bool is_bound(ir::Op op) {
  return op == ir::Op::less || op == ir::Op::less_equal || op == ir::Op::greater || op == ir::Op::greater_equal;
}

// Does a value that compares to the literal as `order` (negative: below it) lie within the bound?
bool within(ir::Op op, int order) {
  switch (op) {
    case ir::Op::less:
      return order < 0;
    case ir::Op::less_equal:
      return order <= 0;
    case ir::Op::greater:
      return order > 0;
    case ir::Op::greater_equal:
      return order >= 0;
    default:
      return false;
  }
}

// Rough nanoseconds to try a pattern: one with a fixed end mostly fails at its first byte.
uint32_t glob_cost(const GlobMatcher& glob) {
  return glob.segments().size() < 2 && glob.open_start() != glob.open_end() ? 3 : 25;
}

// How often a search by halves compares.
uint32_t halvings(size_t count) {
  return static_cast<uint32_t>(std::bit_width(count));
}

std::string folded(std::string_view text) {
  std::string out;
  ir::fold_case(text, out);
  return out;
}

}  // namespace

void Judge::add(const ir::Test& test) {
  if (test.op == ir::Op::one_of) {
    add_set(*test.values);
    return;
  }
  switch (type_) {
    case FieldType::text:
      add_text_test(test);
      break;
    case FieldType::keyword:
      add_bytes_test(test);
      break;
    case FieldType::dynamic:
      add_bytes_test(test);
      add_number_test(test);
      add_truth_test(test);
      break;
    case FieldType::integer:
    case FieldType::real:
      add_number_test(test);
      break;
    case FieldType::boolean:
      add_truth_test(test);
      break;
    case FieldType::ip:
      add_address_test(test);
      break;
    case FieldType::date:
      add_date_test(test);
      break;
    case FieldType::object:
      break;
  }
}

void Judge::add_set(const ir::ValueSet& set) {
  of_set_ = true;
  if (set.addresses) {
    if (ir::holds_addresses(type_)) addresses_.insert(addresses_.end(), set.ranges.begin(), set.ranges.end());
    return;
  }
  ir::Test one;
  one.op = ir::Op::phrase;
  for (const std::string& text : set.texts) {
    one.literal = text;
    add(one);
  }
}

void Judge::add_bytes_test(const ir::Test& test) {
  if (test.op == ir::Op::glob) {
    globs_.emplace_back(fold_ ? ir::fold_glob(test.glob) : test.glob);
  } else if (is_bound(test.op)) {
    text_bounds_.push_back({test.op, fold_ ? folded(test.literal) : test.literal});
  } else {
    exact_.add(fold_ ? folded(test.literal) : test.literal);
  }
}

void Judge::add_number_test(const ir::Test& test) {
  if (test.op == ir::Op::glob) return;
  const auto number = parse_number_text(test.literal);
  if (!number) return;
  if (is_bound(test.op)) {
    number_bounds_.push_back({test.op, *number});
  } else {
    numbers_.push_back(*number);
  }
}

void Judge::add_truth_test(const ir::Test& test) {
  if (test.op == ir::Op::glob || (test.literal != "true" && test.literal != "false")) return;
  const int literal = test.literal == "true" ? 1 : 0;
  const auto held = [&](int truth) { return is_bound(test.op) ? within(test.op, truth - literal) : truth == literal; };
  on_true_ = on_true_ || held(1);
  on_false_ = on_false_ || held(0);
}

void Judge::add_address_test(const ir::Test& test) {
  if (test.op == ir::Op::glob) return;
  if (is_bound(test.op)) {
    if (const auto address = ir::parse_address(test.literal)) address_bounds_.push_back({test.op, *address});
  } else if (const auto range = ir::parse_address_range(test.literal)) {
    addresses_.push_back(*range);
  }
}

void Judge::add_date_test(const ir::Test& test) {
  if (test.op == ir::Op::glob) return;
  auto date = ir::parse_date_literal(test.literal);
  if (!date) return;
  DateTest out{test.op, std::move(*date), {}};
  if (!out.literal.relative) out.fixed = out.literal.resolve(0);
  if (!out.literal.relative && !is_bound(test.op)) {
    days_.push_back(out.fixed);
  } else {
    dates_.push_back(std::move(out));
  }
}

void Judge::add_text_test(const ir::Test& test) {
  if (test.op == ir::Op::equal) {
    for (auto& word : ir::words(test.literal)) words_.add(std::move(word));
  } else if (test.op == ir::Op::phrase) {
    auto words = ir::words(test.literal);
    if (words.size() == 1) {
      words_.add(std::move(words[0]));
    } else if (!words.empty()) {
      phrases_.push_back(std::move(words));
    }
  } else if (test.op == ir::Op::glob) {
    for (auto& clause : ir::text_clauses(test.glob)) {
      if (clause.glob.empty()) {
        for (auto& word : clause.words) words_.add(std::move(word));
      } else {
        word_globs_.emplace_back(clause.glob);
      }
    }
  } else if (is_bound(test.op)) {
    text_bounds_.push_back({test.op, folded(test.literal)});  // compared with single words
  }
}

void Judge::freeze() {
  exact_.freeze();
  freeze_globs();
  words_.freeze();
  std::sort(numbers_.begin(), numbers_.end(), [](const Number& a, const Number& b) { return compare(a, b) < 0; });
  addresses_ = ir::merged(std::move(addresses_));
  freeze_dates();
  std::sort(phrases_.begin(), phrases_.end());
  phrases_.erase(std::unique(phrases_.begin(), phrases_.end()), phrases_.end());
}

void Judge::freeze_dates() {
  // Of a date that ends before it begins no moment is one.
  std::erase_if(days_, [](const DateBounds& day) { return day.last_ms < day.first_ms; });
  std::sort(days_.begin(), days_.end(),
            [](const DateBounds& a, const DateBounds& b) { return a.first_ms < b.first_ms; });
  size_t kept = 0;
  for (const DateBounds& day : days_) {
    if (kept > 0 && day.first_ms <= days_[kept - 1].last_ms) {
      days_[kept - 1].last_ms = std::max(days_[kept - 1].last_ms, day.last_ms);
    } else {
      days_[kept++] = day;
    }
  }
  days_.resize(kept);
}

// A few patterns are tried one after the other. Of many, one pass over the value finds those that are worth it.
void Judge::freeze_globs() {
  constexpr uint32_t kPassCost = 80;  // nanoseconds of one pass over a value
  const auto longest = [](const GlobMatcher& glob) {
    const std::string* best = nullptr;
    for (const auto& segment : glob.segments()) {
      for (const auto& part : segment.parts) {
        if (!part.any_one && (best == nullptr || part.text.size() > best->size())) best = &part.text;
      }
    }
    return best != nullptr && best->size() >= PartFinder::kLeastLength ? best : nullptr;
  };
  const auto middle = std::stable_partition(globs_.begin(), globs_.end(),
                                            [&](const GlobMatcher& glob) { return longest(glob) == nullptr; });
  uint32_t cost = 0;
  for (auto glob = middle; glob != globs_.end(); ++glob) cost += glob_cost(*glob);
  found_ = globs_.size();
  if (cost <= kPassCost) return;
  found_ = static_cast<size_t>(middle - globs_.begin());
  for (size_t i = found_; i < globs_.size(); ++i) finder_.add(*longest(globs_[i]), static_cast<uint32_t>(i));
  finder_.freeze();
}

bool Judge::never() const {
  return exact_.empty() && globs_.empty() && text_bounds_.empty() && numbers_.empty() && number_bounds_.empty() &&
         addresses_.empty() && address_bounds_.empty() && days_.empty() && dates_.empty() && words_.empty() &&
         phrases_.empty() && word_globs_.empty() && !on_true_ && !on_false_;
}

bool Judge::has_unindexed() const {
  return of_set_ || !text_bounds_.empty() || !number_bounds_.empty() || !address_bounds_.empty() || !days_.empty() ||
         !dates_.empty() || !word_globs_.empty();
}

uint32_t Judge::cost() const {
  uint32_t cost = 3;
  if (fold_) cost += 20;
  // A large table is not in the caches.
  const size_t exact = exact_.strings().size();
  if (exact > 0) cost += exact > 4096 ? 40 : exact > 4 ? 8 : 2;
  for (size_t i = 0; i < found_; ++i) cost += glob_cost(globs_[i]);
  if (!finder_.empty()) cost += 80;
  cost += static_cast<uint32_t>(text_bounds_.size() + number_bounds_.size() + address_bounds_.size()) * 3;
  cost += (halvings(numbers_.size()) + halvings(addresses_.size()) + halvings(days_.size())) * 3;
  if (!addresses_.empty() || !address_bounds_.empty()) cost += 60;  // the value becomes an address
  if (!days_.empty()) cost += 60;                                   // the value becomes a time
  cost += static_cast<uint32_t>(dates_.size()) * 60;
  if (!words_.empty() || !phrases_.empty() || !word_globs_.empty()) cost += 500;
  return cost;
}

size_t Judge::bytes() const {
  size_t out = sizeof(Judge) + finder_.bytes();
  for (const StringSet* set : {&exact_, &words_}) {
    for (const auto& s : set->strings()) out += sizeof(s) + s.capacity() + 2 * sizeof(uint32_t);
  }
  for (const auto& phrase : phrases_) out += phrase.size() * sizeof(std::string) * 2;
  for (const auto& glob : globs_) out += sizeof(glob) + glob.segments().size() * 2 * sizeof(GlobMatcher::Segment);
  out += word_globs_.size() * 2 * sizeof(GlobMatcher) + numbers_.size() * sizeof(Number);
  out += addresses_.size() * sizeof(ir::AddressRange) + dates_.size() * sizeof(DateTest) +
         days_.size() * sizeof(DateBounds);
  return out;
}

bool Judge::holds(const Value& value, int64_t now_ms, JudgeScratch& scratch) const {
  switch (type_) {
    case FieldType::keyword:
      return holds_bytes(value.text, scratch) ||
             (!addresses_.empty() && value.kind == Value::Kind::string && holds_address(value.text));
    case FieldType::dynamic:
      switch (value.kind) {
        case Value::Kind::string:
          return holds_bytes(value.text, scratch) || (!addresses_.empty() && holds_address(value.text));
        case Value::Kind::number:
          return holds_number(value.number);
        case Value::Kind::boolean:
          return value.truth ? on_true_ : on_false_;
      }
      return false;
    case FieldType::text:
      return holds_text(value.text, scratch);
    case FieldType::integer:
    case FieldType::real:
      if (value.kind == Value::Kind::number) return holds_number(value.number);
      if (value.kind == Value::Kind::string) {
        const auto number = parse_number_text(value.text);
        return number && holds_number(*number);
      }
      return false;
    case FieldType::boolean:
      if (value.kind == Value::Kind::boolean) return value.truth ? on_true_ : on_false_;
      if (value.kind == Value::Kind::string) {
        return (on_true_ && value.text == "true") || (on_false_ && value.text == "false");
      }
      return false;
    case FieldType::ip:
      return value.kind == Value::Kind::string && holds_address(value.text);
    case FieldType::date:
      return holds_date(value, now_ms);
    case FieldType::object:
      return false;
  }
  return false;
}

bool Judge::holds_bytes(std::string_view text, JudgeScratch& scratch) const {
  if (fold_) {
    ir::fold_case(text, scratch.folded);
    text = scratch.folded;
  }
  if (exact_.contains(text)) return true;
  for (size_t i = 0; i < found_; ++i) {
    if (globs_[i].matches(text)) return true;
  }
  if (finder_.find(text, [&](uint32_t glob) { return globs_[glob].matches(text); })) return true;
  for (const auto& bound : text_bounds_) {
    if (within(bound.op, text.compare(bound.literal))) return true;
  }
  return false;
}

bool Judge::holds_number(const Number& number) const {
  if (!numbers_.empty()) {
    const auto at = std::lower_bound(numbers_.begin(), numbers_.end(), number,
                                     [](const Number& a, const Number& b) { return compare(a, b) < 0; });
    if (at != numbers_.end() && compare(*at, number) == 0) return true;
  }
  for (const auto& bound : number_bounds_) {
    if (within(bound.op, compare(number, bound.literal))) return true;
  }
  return false;
}

bool Judge::holds_address(std::string_view text) const {
  if (addresses_.empty() && address_bounds_.empty()) return false;
  const auto address = ir::parse_address(text);
  if (!address) return false;
  if (ir::in_ranges(addresses_, *address)) return true;
  for (const auto& bound : address_bounds_) {
    const int order = *address < bound.literal ? -1 : bound.literal < *address ? 1 : 0;
    if (within(bound.op, order)) return true;
  }
  return false;
}

bool Judge::holds_date(const Value& value, int64_t now_ms) const {
  if ((days_.empty() && dates_.empty()) || value.kind == Value::Kind::boolean) return false;
  const auto time = ir::parse_date_value(value.text);
  if (!time) return false;
  const auto after = std::upper_bound(days_.begin(), days_.end(), *time,
                                      [](int64_t at, const DateBounds& day) { return at < day.first_ms; });
  if (after != days_.begin() && *time <= std::prev(after)->last_ms) return true;
  for (const auto& date : dates_) {
    const auto bounds = date.literal.relative ? date.literal.resolve(now_ms) : date.fixed;
    bool held = false;
    switch (date.op) {
      case ir::Op::less:
        held = *time < bounds.first_ms;
        break;
      case ir::Op::less_equal:
        held = *time <= bounds.last_ms;
        break;
      case ir::Op::greater:
        held = *time > bounds.last_ms;
        break;
      case ir::Op::greater_equal:
        held = *time >= bounds.first_ms;
        break;
      default:
        held = bounds.first_ms <= *time && *time <= bounds.last_ms;
        break;
    }
    if (held) return true;
  }
  return false;
}

bool Judge::holds_text(std::string_view text, JudgeScratch& scratch) const {
  size_t at = 0;
  size_t begin = 0;
  size_t end = 0;
  while (ir::next_word(text, &at, &begin, &end)) {
    ir::fold_case(text.substr(begin, end - begin), scratch.word);
    if (words_.contains(scratch.word)) return true;
    for (const auto& glob : word_globs_) {
      if (glob.matches(scratch.word)) return true;
    }
    for (const auto& bound : text_bounds_) {
      if (within(bound.op, scratch.word.compare(bound.literal))) return true;
    }
    if (!phrases_.empty() && holds_phrase(text, at, scratch)) return true;
  }
  return false;
}

// The phrases that begin with the words so far are neighbours: each further word halves its way to fewer of them.
// scratch.word is the first word, `at` where the text goes on.
bool Judge::holds_phrase(std::string_view text, size_t at, JudgeScratch& scratch) const {
  auto first = phrases_.begin();
  auto last = phrases_.end();
  const std::string* word = &scratch.word;
  for (size_t n = 0;; ++n) {
    first = std::lower_bound(first, last, *word, [n](const auto& phrase, const auto& w) { return phrase[n] < w; });
    last = std::upper_bound(first, last, *word, [n](const auto& w, const auto& phrase) { return w < phrase[n]; });
    if (first == last) return false;
    if (first->size() == n + 1) return true;  // the shortest comes first
    size_t begin = 0;
    size_t end = 0;
    if (!ir::next_word(text, &at, &begin, &end)) return false;
    ir::fold_case(text.substr(begin, end - begin), scratch.folded);
    word = &scratch.folded;
  }
}

}  // namespace fb::match
