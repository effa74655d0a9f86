// One group of tests over one field, made ready for one field type: does this value make any of them true? Literals are
// parsed once, here; equal tests of many literals are one lookup, by hash or by halves. Immutable after freeze();
// judging allocates nothing once the scratch buffers have grown.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/event/event.h"
#include "engine/ir/ir.h"
#include "engine/ir/typed.h"
#include "engine/ir/value_set.h"
#include "engine/match/glob_matcher.h"
#include "engine/match/part_finder.h"
#include "engine/match/string_set.h"

namespace fb::match {

// A matcher's buffers for judging.
struct JudgeScratch {
  std::string word;
  std::string folded;
};

class Judge {
 public:
  // `fold`: values and literals are compared lower-cased (the `.caseless` view).
  explicit Judge(FieldType type = FieldType::dynamic, bool fold = false) : type_(type), fold_(fold) {}

  void add(const ir::Test& test);  // any Op but exists; before freeze()
  void freeze();

  FieldType type() const { return type_; }
  bool fold() const { return fold_; }
  bool never() const;  // no value can make a test true

  bool holds(const Value& value, int64_t now_ms, JudgeScratch& scratch) const;

  // What the index may look values up by.
  const StringSet& exact() const { return exact_; }
  const std::vector<GlobMatcher>& globs() const { return globs_; }
  const std::vector<Number>& numbers() const { return numbers_; }
  const std::vector<ir::AddressRange>& addresses() const { return addresses_; }
  const StringSet& words() const { return words_; }
  const std::vector<std::vector<std::string>>& phrases() const { return phrases_; }
  bool on_true() const { return on_true_; }
  bool on_false() const { return on_false_; }
  bool has_unindexed() const;  // some test only the value itself can answer: ranges, dates, patterns over words
  // Made of a shared set of values: too many to be looked up one by one in the index of every rule that names it.
  bool of_set() const { return of_set_; }

  // The cost of one judgement, in rough nanoseconds; orders the tests of a program.
  uint32_t cost() const;
  size_t bytes() const;  // of memory, roughly

 private:
  struct TextBound {
    ir::Op op;
    std::string literal;
  };
  struct NumberBound {
    ir::Op op;
    Number literal;
  };
  struct AddressBound {
    ir::Op op;
    ir::Address literal;
  };
  using DateBounds = ir::DateLiteral::Bounds;
  struct DateTest {
    ir::Op op;
    ir::DateLiteral literal;
    DateBounds fixed;  // unless relative
  };

  void add_set(const ir::ValueSet& set);
  void add_text_test(const ir::Test& test);
  void add_bytes_test(const ir::Test& test);
  void add_number_test(const ir::Test& test);
  void add_truth_test(const ir::Test& test);
  void add_address_test(const ir::Test& test);
  void add_date_test(const ir::Test& test);

  void freeze_globs();
  void freeze_dates();
  bool holds_bytes(std::string_view text, JudgeScratch& scratch) const;
  bool holds_number(const Number& number) const;
  bool holds_address(std::string_view text) const;
  bool holds_date(const Value& value, int64_t now_ms) const;
  bool holds_text(std::string_view text, JudgeScratch& scratch) const;
  bool holds_phrase(std::string_view text, size_t at, JudgeScratch& scratch) const;

  FieldType type_;
  bool fold_;
  bool of_set_ = false;
  bool on_true_ = false;
  bool on_false_ = false;
  StringSet exact_;
  std::vector<GlobMatcher> globs_;  // those from found_ on are tried only where the finder finds a part of them
  size_t found_ = 0;
  PartFinder finder_;  // a payload is an index into globs_
  std::vector<TextBound> text_bounds_;
  std::vector<Number> numbers_;  // sorted
  std::vector<NumberBound> number_bounds_;
  std::vector<ir::AddressRange> addresses_;  // sorted; no two share an address
  std::vector<AddressBound> address_bounds_;
  std::vector<DateBounds> days_;  // of equal dates: sorted, no two share a moment
  std::vector<DateTest> dates_;   // the others: bounds, and what is relative to now
  StringSet words_;
  std::vector<std::vector<std::string>> phrases_;  // two words or more; sorted
  std::vector<GlobMatcher> word_globs_;
};

}  // namespace fb::match
