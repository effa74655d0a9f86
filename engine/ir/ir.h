// The one meaning of a rule's query: a tree of tests over fields that every language lowers to. A tree is plain data;
// literals stay as written, since a field's type decides what they mean (typed.h), and for field wildcards that is
// known only per event. Immutable after lowering; share freely.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace fb::ir {

// A wildcard pattern over a whole value (or field name): literal runs, "any run" and "exactly one code point".
struct GlobPart {
  enum class Kind : uint8_t { literal, any_run, any_one };
  Kind kind = Kind::literal;
  std::string text;  // literal only; never empty there
  bool operator==(const GlobPart&) const = default;
};
using Glob = std::vector<GlobPart>;  // no two literals and no two any_run side by side

// Which leaves a test looks at.
struct FieldRef {
  enum class Scope : uint8_t {
    named,    // one path; may be a multi-field view, see typed.h
    pattern,  // every leaf whose path matches `glob`
    any,      // every leaf (a query without a field)
  };
  Scope scope = Scope::named;
  std::string name;  // named: the full path
  Glob glob;         // pattern

  bool operator==(const FieldRef&) const = default;
};

enum class Op : uint8_t {
  exists,  // some leaf at the path or below it has a value
  equal,   // the typed comparison: exact, number, address or CIDR, date with rounding, words of a text
  phrase,  // quoted `equal`: on text the words in order; elsewhere the same as equal
  glob,    // a pattern
  less,
  less_equal,
  greater,
  greater_equal,
  one_of,  // a value is one of many that are kept once however many tests ask for them
};

struct ValueSet;  // value_set.h

struct Test {
  FieldRef field;
  Op op = Op::exists;
  std::string literal;                          // unescaped; empty for exists, glob and one_of
  Glob glob;                                    // Op::glob
  std::shared_ptr<const ValueSet> values = {};  // Op::one_of; never null there
  bool operator==(const Test&) const = default;
};

// Byte range in the query text, for messages and explain.
struct Span {
  uint32_t begin = 0;
  uint32_t end = 0;
};

struct Node {
  enum class Kind : uint8_t {
    always,
    never,
    all_of,
    any_of,
    negate,  // exactly one child
    nested,  // exactly one child, judged against each object at `path` alone; its field names are full paths
    test,
  };
  Kind kind = Kind::always;
  std::vector<Node> children;
  std::string path;
  Test test;
  Span span;
};

// Building blocks for lowering and for tests.
Node always();
Node never();
Node all_of(std::vector<Node> children);
Node any_of(std::vector<Node> children);
Node negate(Node child);
Node nested(std::string path, Node child);
Node test(Test t, Span span = {});

// A canonical text of the tree ("(and (eq process.name \"cmd.exe\") (not (exists user.id)))"): equal trees, equal text.
// Used for golden tests, rule hashes and explain.
std::string print(const Node& node);
std::string print(const Glob& glob);

}  // namespace fb::ir
