// What must be in an event before a rule can match: a set of atoms of which at least one is there whenever the rule
// matches. The cheapest such set is chosen per rule; the index (index.h) finds the rules whose set was touched. An atom
// may be touched without need (the rule's program decides), but never missed. Build time only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/match/predicate.h"

namespace fb::match {

struct Atom {
  enum class Kind : uint8_t {
    present,  // a leaf at or below the field
    nested,   // an object at a nested path; `field` is the path's index
    exact,    // a value's whole text is `bytes`
    number,   // a value is the number whose number_key() is `bytes`
    address,  // a value is the address `bytes`
    word,     // a value has the word `bytes`
    prefix,   // a value's text begins with `bytes`
    suffix,   // ... ends with
    part,     // ... contains
  };
  Kind kind = Kind::present;
  bool fold = false;  // looked for in the lower-cased value (exact, prefix, suffix, part)
  uint32_t field = 0;
  std::string bytes;

  bool operator==(const Atom&) const = default;
};

// Equal numbers, equal keys, whatever their kind.
std::string number_key(const Number& number);
// The bytes of a key made without allocation, into a buffer of 9 bytes.
void number_key(const Number& number, char (&key)[9]);

// The chosen set; nothing when the rule must always be looked at. An empty set: the rule can never match.
using GuardSet = std::vector<Atom>;

// Chooses for all rules together, since how often a literal occurs over the rules tells how common it is.
std::vector<std::optional<GuardSet>> choose_guards(const std::vector<Form>& forms, const PredicateTable& predicates,
                                                   const FieldTable& fields);

}  // namespace fb::match
