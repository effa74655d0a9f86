#include "generate.h"

#include <array>
#include <cstddef>

namespace fb::test {

namespace {

size_t below(Random& random, size_t n) {
  return static_cast<size_t>(random() % n);
}
bool chance(Random& random, unsigned percent) {
  return random() % 100 < percent;
}
template <class List>
const auto& pick(Random& random, const List& list) {
  return list[below(random, std::size(list))];
}

// Every type of the table, names outside of it, multi-field views, parents of others and lone segments.
constexpr std::array<const char*, 34> kFields = {
    "process.name",
    "process.name",
    "process.name.text",
    "process.name.caseless",
    "process.name.keyword",
    "process.command_line",
    "process.command_line.text",
    "process.pid",
    "source.ip",
    "source.ip",
    "foo.ip",
    "source.port",
    "@timestamp",
    "@timestamp",
    "event.code",
    "event.category",
    "event.risk_score",
    "message",
    "error.message",
    "process.code_signature.exists",
    "x",
    "x",
    "x.text",
    "x.caseless",
    "x.keyword",
    "a.b",
    "a.b.c",
    "a",
    "process",
    "event",
    "list.k",
    "list.v",
    "list.in.k",
    "source.ip.keyword",
};
constexpr std::array<const char*, 8> kFieldPatterns = {"process*",    "*",  "a.*",    "*.ip",
                                                       "proc*.name*", "x*", "list.*", "*e*"};
constexpr std::array<const char*, 3> kNestedPaths = {"list", "a", "a.b"};
constexpr std::array<const char*, 7> kNestedFields = {"k", "v", "in.k", "b", "c", "b.c", "k.text"};

const std::vector<std::string>& texts() {
  static const std::vector<std::string> all = {"cmd.exe",
                                               "CMD.EXE",
                                               "Cmd.exe",
                                               "powershell.exe",
                                               "443",
                                               "0443",
                                               "443.0",
                                               "+443",
                                               "4624",
                                               "-5",
                                               "1e3",
                                               "1000",
                                               "0",
                                               "-0",
                                               "9007199254740993",
                                               "9007199254740992",
                                               "18446744073709551615",
                                               "1e400",
                                               "true",
                                               "false",
                                               "True",
                                               "null",
                                               "10.0.0.1",
                                               "10.0.0.0/8",
                                               "10.0.0.0/31",
                                               "::1",
                                               "0:0:0:0:0:0:0:1",
                                               "::ffff:10.0.0.1",
                                               "FE80::1",
                                               "fe80::/10",
                                               "0.0.0.0/0",
                                               "::/0",
                                               "2024-01-01",
                                               "2024",
                                               "2024-01",
                                               "2024-01-01T12:34",
                                               "2024-01-01T12:34:56Z",
                                               "2024-01-01T12:34:56.789Z",
                                               "2024-01-01T14:34:56+02:00",
                                               "1704112496789",
                                               "1704112496",
                                               "now",
                                               "now-1d",
                                               "now/d",
                                               "now-5m/h",
                                               "2024-01-01||+1d",
                                               "foo",
                                               "Foo",
                                               "FOO",
                                               "bar",
                                               "foo bar",
                                               "foo-bar",
                                               "bar foo",
                                               "foo bar baz",
                                               "the quick brown fox",
                                               "Net.WebClient",
                                               "net.webclient",
                                               "foo_bar's",
                                               "C:\\Windows\\System32\\cmd.exe",
                                               "c:\\windows\\system32\\cmd.exe",
                                               "/usr/bin/curl",
                                               "curl -o /tmp/x http://10.0.0.1/a",
                                               "é",
                                               "É",
                                               "straße",
                                               "\xE6\x97\xA5\xE6\x9C\xAC",
                                               "\xE2\x84\xAA",
                                               "\xF0\x9F\x94\xA5 fire",
                                               "",
                                               " ",
                                               "a*b",
                                               "*",
                                               "**",
                                               "?",
                                               "\\",
                                               "\"",
                                               "a:b",
                                               "(x)",
                                               "{",
                                               "a",
                                               "b",
                                               "ab",
                                               "abc",
                                               "abcdefgh",
                                               "abcdefghijklmnopqrstuvwxyz",
                                               "x y",
                                               "1",
                                               "2",
                                               "1.5",
                                               "process"};
  return all;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (std::string("\\():<>\"*{}").find(c) != std::string::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string in_quotes(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

// A pattern that some text satisfies: pieces of it are replaced by stars.
std::string random_pattern(Random& random) {
  std::string text = pick(random, texts());
  std::string out;
  size_t at = 0;
  const auto on_boundary = [&](size_t i) {
    return i >= text.size() || (static_cast<unsigned char>(text[i]) & 0xC0) != 0x80;
  };
  for (size_t n = 1 + below(random, 3); n > 0; --n) {
    size_t from = at + below(random, text.size() - at + 1);
    while (!on_boundary(from)) ++from;
    size_t to = from + below(random, text.size() - from + 1);
    while (!on_boundary(to)) ++to;
    out += escaped(text.substr(at, from - at)) + '*';
    at = to;
  }
  return out + escaped(text.substr(at));
}

std::string random_literal(Random& random) {
  if (chance(random, 25)) return random_pattern(random);
  const std::string& text = pick(random, texts());
  return chance(random, 40) || text.empty() || text == " " ? in_quotes(text) : escaped(text);
}

std::string random_field(Random& random, bool nested) {
  if (nested) return pick(random, kNestedFields);
  if (chance(random, 6)) return pick(random, kFieldPatterns);
  return pick(random, kFields);
}

Query random_query(Random& random, int depth, bool nested) {
  Query out;
  const size_t dice = below(random, 100);
  if (depth > 0 && dice < 45) {
    out.kind = dice < 18 ? Query::Kind::all_of : dice < 34 ? Query::Kind::any_of : Query::Kind::negate;
    const size_t count = out.kind == Query::Kind::negate ? 1 : 2 + below(random, 3);
    for (size_t i = 0; i < count; ++i) out.children.push_back(random_query(random, depth - 1, nested));
    return out;
  }
  if (depth > 0 && dice < 53) {
    out.kind = Query::Kind::nested;
    out.field = nested ? "in" : pick(random, kNestedPaths);
    out.children.push_back(random_query(random, depth - 1, true));
    return out;
  }
  if (dice < 60) {
    out.kind = Query::Kind::value_only;
    out.literal = random_literal(random);
    return out;
  }
  out.field = random_field(random, nested);
  if (dice < 70) {
    static constexpr std::array<const char*, 4> kOps = {"<", "<=", ">", ">="};
    out.kind = Query::Kind::range;
    out.op = pick(random, kOps);
    out.literal = random_literal(random);
  } else if (dice < 83) {
    out.kind = Query::Kind::values;
    out.all_values = chance(random, 25);
    // Long lists are judged in another way than short ones.
    const size_t count = chance(random, 15) ? 20 + below(random, 40) : 2 + below(random, 7);
    for (size_t n = count; n > 0; --n) {
      Query value;
      value.kind = Query::Kind::value_only;
      value.literal = random_literal(random);
      if (chance(random, 10)) {
        Query no;
        no.kind = Query::Kind::negate;
        no.children.push_back(value);
        value = no;
      }
      out.children.push_back(value);
    }
  } else {
    out.literal = dice < 90 ? "*" : random_literal(random);
  }
  return out;
}

Json plain(std::string token) {
  Json out;
  out.text = std::move(token);
  return out;
}

Json random_value(Random& random, int depth) {
  const size_t dice = below(random, 100);
  if (dice < 60) return plain(json_string(pick(random, texts())));
  if (dice < 78) {
    static constexpr std::array<const char*, 16> kNumbers = {"443",
                                                             "443.0",
                                                             "0",
                                                             "-0",
                                                             "-5",
                                                             "1e3",
                                                             "1000",
                                                             "1.5",
                                                             "4624",
                                                             "9007199254740993",
                                                             "9007199254740992.0",
                                                             "18446744073709551615",
                                                             "1704112496789",
                                                             "1e400",
                                                             "123456789012345678901234567890",
                                                             "1"};
    return plain(pick(random, kNumbers));
  }
  if (dice < 84) return plain(chance(random, 50) ? "true" : "false");
  if (dice < 88) return plain("null");
  Json out;
  if (dice < 95 || depth == 0) {
    out.kind = Json::Kind::array;
    if (depth > 0) {
      for (size_t n = below(random, 4); n > 0; --n) out.items.push_back(random_value(random, depth - 1));
    }
    return out;
  }
  out.kind = Json::Kind::object;
  for (size_t n = below(random, 3); n > 0; --n) {
    out.members.emplace_back(pick(random, kNestedFields), random_value(random, depth - 1));
  }
  return out;
}

// Puts the value at the path in some spelling: dots kept in keys or not, an old object entered or a new one of the same
// key begun, arrays of objects on the way.
void place(Random& random, Json& object, std::string path, Json value) {
  size_t dot = path.find('.');
  while (dot != std::string::npos && chance(random, 50)) dot = path.find('.', dot + 1);
  if (dot == std::string::npos) {
    object.members.emplace_back(std::move(path), std::move(value));
    return;
  }
  const std::string head = path.substr(0, dot);
  Json* inner = nullptr;
  for (auto& [key, member] : object.members) {
    if (key == head && member.kind == Json::Kind::object && chance(random, 80)) inner = &member;
    if (key == head && member.kind == Json::Kind::array && !member.items.empty() &&
        member.items.back().kind == Json::Kind::object && chance(random, 70)) {
      if (chance(random, 40)) {
        member.items.emplace_back();
        member.items.back().kind = Json::Kind::object;
      }
      inner = &member.items.back();
    }
  }
  if (inner == nullptr) {
    Json fresh;
    fresh.kind = Json::Kind::object;
    if (chance(random, 20)) {
      Json array;
      array.kind = Json::Kind::array;
      array.items.push_back(std::move(fresh));
      fresh = std::move(array);
    }
    object.members.emplace_back(head, std::move(fresh));
    Json& added = object.members.back().second;
    inner = added.kind == Json::Kind::array ? &added.items.back() : &added;
  }
  place(random, *inner, path.substr(dot + 1), std::move(value));
}

// Calls `take` with every query that is one step smaller.
void smaller(const Query& query, const std::function<void(Query)>& take) {
  for (const auto& child : query.children) {
    if (query.kind != Query::Kind::values) take(child);
    if (query.kind == Query::Kind::values && child.kind == Query::Kind::value_only) {
      Query test;
      test.field = query.field;
      test.literal = child.literal;
      take(test);
    }
  }
  if (query.children.size() > 1) {
    for (size_t i = 0; i < query.children.size(); ++i) {
      Query less = query;
      less.children.erase(less.children.begin() + static_cast<ptrdiff_t>(i));
      take(less);
    }
  }
  for (size_t i = 0; i < query.children.size(); ++i) {
    smaller(query.children[i], [&](Query child) {
      Query less = query;
      less.children[i] = std::move(child);
      take(std::move(less));
    });
  }
}

void smaller(const Json& json, const std::function<void(Json)>& take) {
  for (size_t i = 0; i < json.members.size(); ++i) {
    Json less = json;
    less.members.erase(less.members.begin() + static_cast<ptrdiff_t>(i));
    take(std::move(less));
  }
  for (size_t i = 0; i < json.items.size(); ++i) {
    take(json.items[i]);
    Json less = json;
    less.items.erase(less.items.begin() + static_cast<ptrdiff_t>(i));
    take(std::move(less));
  }
  for (size_t i = 0; i < json.members.size(); ++i) {
    smaller(json.members[i].second, [&](Json inner) {
      Json less = json;
      less.members[i].second = std::move(inner);
      take(std::move(less));
    });
  }
  for (size_t i = 0; i < json.items.size(); ++i) {
    smaller(json.items[i], [&](Json inner) {
      Json less = json;
      less.items[i] = std::move(inner);
      take(std::move(less));
    });
  }
  if (json.kind == Json::Kind::plain && json.text != "\"a\"" && json.text != "1") {
    take(plain(json.text[0] == '"' ? "\"a\"" : "1"));
  }
}

std::string joined(const Query& query, const char* word) {
  std::string out = "(";
  for (size_t i = 0; i < query.children.size(); ++i) {
    if (i > 0) out += std::string(" ") + word + ' ';
    out += print(query.children[i]);
  }
  return out + ")";
}

}  // namespace

std::string print(const Query& query) {
  switch (query.kind) {
    case Query::Kind::test:
      return query.field + ":" + query.literal;
    case Query::Kind::range:
      return query.field + " " + query.op + " " + query.literal;
    case Query::Kind::value_only:
      return query.literal;
    case Query::Kind::all_of:
      return joined(query, "and");
    case Query::Kind::any_of:
      return joined(query, "or");
    case Query::Kind::negate:
      return "(not " + print(query.children.front()) + ")";
    case Query::Kind::values:
      return query.field + ":" + joined(query, query.all_values ? "and" : "or");
    case Query::Kind::nested:
      return query.field + ":{ " + print(query.children.front()) + " }";
  }
  return {};
}

Query random_query(Random& random, int depth) {
  return random_query(random, depth, false);
}

std::string json_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string print(const Json& json) {
  if (json.kind == Json::Kind::plain) return json.text;
  std::string out(1, json.kind == Json::Kind::array ? '[' : '{');
  for (const auto& item : json.items) out += (out.size() > 1 ? "," : "") + print(item);
  for (const auto& [key, value] : json.members)
    out += (out.size() > 1 ? "," : "") + json_string(key) + ":" + print(value);
  return out + (json.kind == Json::Kind::array ? ']' : '}');
}

Json random_event(Random& random) {
  Json out;
  out.kind = Json::Kind::object;
  for (size_t n = below(random, 9); n > 0; --n) place(random, out, pick(random, kFields), random_value(random, 2));
  return out;
}

Pair shrink(Pair pair, const std::function<bool(const Pair&)>& fails) {
  size_t trials = 0;
  constexpr size_t kMostTrials = 20'000;
  for (bool found = true; found && trials < kMostTrials;) {
    found = false;
    std::vector<Pair> options;
    smaller(pair.query, [&](Query query) { options.push_back({std::move(query), pair.event}); });
    smaller(pair.event, [&](Json event) {
      if (event.kind == Json::Kind::object) options.push_back({pair.query, std::move(event)});
    });
    for (auto& option : options) {
      if (++trials >= kMostTrials) break;
      if (!fails(option)) continue;
      pair = std::move(option);
      found = true;
      break;
    }
  }
  return pair;
}

}  // namespace fb::test
