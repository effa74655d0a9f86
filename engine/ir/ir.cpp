#include "engine/ir/ir.h"

#include <utility>

#include "engine/ir/value_set.h"

namespace fb::ir {

namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

void append_escaped(std::string& out, unsigned char c) {
  out += "\\x";
  out += kHexDigits[c >> 4];
  out += kHexDigits[c & 15];
}

// A string between quotes. Control bytes are escaped; everything else stands as it is, so two texts are equal only when
// the strings are.
void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      append_escaped(out, static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

bool is_plain_name(std::string_view name) {
  if (name.empty()) return false;
  for (const char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                       c == '_' || c == '-' || c == '@';
    if (!plain) return false;
  }
  return true;
}

void append_name(std::string& out, std::string_view name) {
  if (is_plain_name(name)) {
    out += name;
  } else {
    append_quoted(out, name);
  }
}

// The pattern as it would be typed: `*` and `?` are wild, a backslash makes them plain.
void append_glob(std::string& out, const Glob& glob) {
  out += '"';
  for (const GlobPart& part : glob) {
    if (part.kind == GlobPart::Kind::any_run) {
      out += '*';
      continue;
    }
    if (part.kind == GlobPart::Kind::any_one) {
      out += '?';
      continue;
    }
    std::string quoted;
    append_quoted(quoted, part.text);
    for (size_t i = 1; i + 1 < quoted.size(); ++i) {
      if (quoted[i] == '*' || quoted[i] == '?') out += '\\';
      out += quoted[i];
    }
  }
  out += '"';
}

const char* word_of(Op op) {
  switch (op) {
    case Op::exists:
      return "exists";
    case Op::equal:
      return "eq";
    case Op::phrase:
      return "phrase";
    case Op::glob:
      return "glob";
    case Op::less:
      return "lt";
    case Op::less_equal:
      return "le";
    case Op::greater:
      return "gt";
    case Op::greater_equal:
      return "ge";
    case Op::one_of:
      return "one-of";
  }
  return "?";
}

void append_test(std::string& out, const Test& t) {
  out += '(';
  out += word_of(t.op);
  out += ' ';
  switch (t.field.scope) {
    case FieldRef::Scope::named:
      append_name(out, t.field.name);
      break;
    case FieldRef::Scope::pattern:
      out += "(fields ";
      append_glob(out, t.field.glob);
      out += ')';
      break;
    case FieldRef::Scope::any:
      out += "(any)";
      break;
  }
  if (t.op == Op::glob) {
    out += ' ';
    append_glob(out, t.glob);
  } else if (t.op == Op::one_of) {
    out += ' ' + t.values->digest;
  } else if (t.op != Op::exists) {
    out += ' ';
    append_quoted(out, t.literal);
  }
  out += ')';
}

// Depth is bounded by the query's own limit.
void append_node(std::string& out, const Node& node) {
  const char* word = "";
  switch (node.kind) {
    case Node::Kind::always:
      out += "always";
      return;
    case Node::Kind::never:
      out += "never";
      return;
    case Node::Kind::test:
      append_test(out, node.test);
      return;
    case Node::Kind::all_of:
      word = "(and";
      break;
    case Node::Kind::any_of:
      word = "(or";
      break;
    case Node::Kind::negate:
      word = "(not";
      break;
    case Node::Kind::nested:
      word = "(nested ";
      break;
  }
  out += word;
  if (node.kind == Node::Kind::nested) append_name(out, node.path);
  for (const Node& child : node.children) {
    out += ' ';
    append_node(out, child);
  }
  out += ')';
}

Node group(Node::Kind kind, Node::Kind when_empty, std::vector<Node> children) {
  if (children.size() == 1) return std::move(children.front());
  Node node;
  node.kind = children.empty() ? when_empty : kind;
  if (!children.empty()) node.span = {children.front().span.begin, children.back().span.end};
  node.children = std::move(children);
  return node;
}

}  // namespace

Node always() {
  return Node{};
}

Node never() {
  Node node;
  node.kind = Node::Kind::never;
  return node;
}

Node all_of(std::vector<Node> children) {
  return group(Node::Kind::all_of, Node::Kind::always, std::move(children));
}

Node any_of(std::vector<Node> children) {
  return group(Node::Kind::any_of, Node::Kind::never, std::move(children));
}

Node negate(Node child) {
  Node node;
  node.kind = Node::Kind::negate;
  node.span = child.span;
  node.children.push_back(std::move(child));
  return node;
}

Node nested(std::string path, Node child) {
  Node node;
  node.kind = Node::Kind::nested;
  node.path = std::move(path);
  node.span = child.span;
  node.children.push_back(std::move(child));
  return node;
}

Node test(Test t, Span span) {
  Node node;
  node.kind = Node::Kind::test;
  node.test = std::move(t);
  node.span = span;
  return node;
}

std::string print(const Node& node) {
  std::string out;
  append_node(out, node);
  return out;
}

std::string print(const Glob& glob) {
  std::string out;
  append_glob(out, glob);
  return out;
}

}  // namespace fb::ir
