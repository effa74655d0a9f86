// Random queries and events that meet each other, and the shrinking of a failing pair. Queries are kept as a small tree
// that prints as KQL, so that the parser is part of every trial; events as a tree that prints as JSON.
#pragma once

#include <functional>
#include <random>
#include <string>
#include <vector>

namespace fb::test {

using Random = std::mt19937_64;

struct Query {
  enum class Kind { test, range, value_only, all_of, any_of, negate, values, nested };
  Kind kind = Kind::test;
  std::string field;            // test, range, values, nested: the path
  std::string op;               // range
  std::string literal;          // test, range, value_only: as it stands in the query
  bool all_values = false;      // values: "and" instead of "or"
  std::vector<Query> children;  // all_of, any_of, negate, nested; values: tests without a field
};
std::string print(const Query& query);
Query random_query(Random& random, int depth);

struct Json {
  enum class Kind { plain, array, object };
  Kind kind = Kind::plain;
  std::string text = "null";  // plain: the token as it stands in the event
  std::vector<Json> items;
  std::vector<std::pair<std::string, Json>> members;  // keys unescaped
};
std::string print(const Json& json);
Json random_event(Random& random);
std::string json_string(const std::string& text);  // as a JSON string

struct Pair {
  Query query;
  Json event;
};
// The smallest pair reached by leaving parts out for which `fails` still holds.
Pair shrink(Pair pair, const std::function<bool(const Pair&)>& fails);

}  // namespace fb::test
