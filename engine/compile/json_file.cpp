#include <unordered_set>

#include "engine/base/text.h"
#include "engine/compile/diagnostic_codes.h"
#include "engine/compile/file_readers.h"

namespace fb::compile {
namespace {

struct Stop {
  Diagnostic problem;
};

// A strict JSON reader that knows where every value stands; nlohmann's and simdjson's trees do not.
class Reader {
 public:
  Reader(const SourceText& source, uint32_t max_depth) : source_(source), text_(source.text()), max_depth_(max_depth) {}

  ReadFile run() {
    ReadFile out;
    while (true) {
      skip_blanks();
      if (at_ >= text_.size()) return out;
      const size_t start = at_;
      const size_t before = out.values.size();
      try {
        read_one(out);
      } catch (const Stop& stop) {
        out.problems.push_back(stop.problem);
        if (broken_line(start)) {
          // One object a line: an object that its own line does not close must not swallow the next ones, and the
          // problem stands on its line.
          out.values.resize(before);
          reread_line(start, out);
        }
        // The next line that begins with a value may be whole again.
        const size_t next = text_.find("\n{", start);
        if (next == std::string_view::npos || out.problems.size() >= kMaxProblems) return out;
        at_ = next + 1;
      }
    }
  }

 private:
  static constexpr size_t kMaxProblems = 100;

  void read_one(ReadFile& out) {
    out.values.push_back(value(0));
    check_end();
  }

  // Is what begins at `start` a line of NDJSON: an object, with another one or nothing on the line after it?
  bool broken_line(size_t start) const {
    if (text_[start] != '{') return false;
    const size_t end = text_.find('\n', start);
    if (end == std::string_view::npos) return false;
    const size_t next = text_.find_first_not_of(" \t\r\n", end);
    return next == std::string_view::npos || (text_[next] == '{' && text_[next - 1] == '\n');
  }

  void reread_line(size_t start, ReadFile& out) {
    const std::string_view whole = text_;
    size_t end = text_.find('\n', start);
    if (end > start && text_[end - 1] == '\r') --end;
    text_ = text_.substr(0, end);
    at_ = start;
    try {
      read_one(out);
    } catch (const Stop& stop) {
      out.problems.back() = stop.problem;
    }
    text_ = whole;
  }

  [[noreturn]] void stop(size_t begin, size_t end, std::string message, std::string_view code = code::kJsonSyntax) {
    throw Stop{source_.error(code, begin, end, std::move(message))};
  }

  void skip_blanks() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\r' || text_[at_] == '\n')) {
      ++at_;
    }
  }

  // After a whole value only the end of its line may follow.
  void check_end() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\r')) ++at_;
    if (at_ < text_.size() && text_[at_] != '\n') stop(at_, at_ + 1, "something follows the JSON value on its line");
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  FileNode value(uint32_t depth) {
    FileNode node;
    node.begin = static_cast<uint32_t>(at_);
    const char c = peek();
    if (c == '{' || c == '[') {
      if (depth >= max_depth_) {
        stop(at_, at_ + 1, "lists and maps lie deeper within each other than " + std::to_string(max_depth_),
             code::kTooDeep);
      }
      c == '{' ? object(node, depth) : array(node, depth);
      node.end = node.begin + 1;
      return node;
    }
    if (c == '"') {
      node.kind = FileNode::Kind::string;
      node.writing = Writing::json;
      node.text = string();
    } else {
      literal(node);
    }
    node.end = static_cast<uint32_t>(at_);
    return node;
  }

  void literal(FileNode& node) {
    const size_t begin = at_;
    while (at_ < text_.size() && std::string_view(" \t\r\n,]}:").find(text_[at_]) == std::string_view::npos) ++at_;
    const std::string_view word = text_.substr(begin, at_ - begin);
    if (word == "true" || word == "false") {
      node.kind = FileNode::Kind::boolean;
      node.truth = word == "true";
    } else if (is_json_number(word)) {
      node.kind = FileNode::Kind::number;
      node.text = word;
    } else if (word != "null") {
      stop(begin, at_, word.empty() ? "a JSON value is missing here" : "this is not a JSON value");
    }
  }

  void object(FileNode& node, uint32_t depth) {
    node.kind = FileNode::Kind::object;
    std::unordered_set<std::string> keys;
    ++at_;
    skip_blanks();
    if (peek() == '}') {
      ++at_;
      return;
    }
    while (true) {
      skip_blanks();
      if (peek() != '"') stop(at_, at_ + 1, "a key in double quotes is missing here");
      FileMember member;
      member.key_begin = static_cast<uint32_t>(at_);
      member.key = string();
      member.key_end = static_cast<uint32_t>(at_);
      if (!keys.insert(member.key).second) {
        stop(member.key_begin, member.key_end, "the key '" + member.key.substr(0, 100) + "' stands here twice",
             code::kDuplicateKey);
      }
      skip_blanks();
      if (peek() != ':') stop(at_, at_ + 1, "a ':' is missing here");
      ++at_;
      skip_blanks();
      member.value = value(depth + 1);
      node.members.push_back(std::move(member));
      skip_blanks();
      const char c = peek();
      if (c != ',' && c != '}') stop(at_, at_ + 1, "a ',' or '}' is missing here");
      ++at_;
      if (c == '}') return;
    }
  }

  void array(FileNode& node, uint32_t depth) {
    node.kind = FileNode::Kind::array;
    ++at_;
    skip_blanks();
    if (peek() == ']') {
      ++at_;
      return;
    }
    while (true) {
      skip_blanks();
      node.items.push_back(value(depth + 1));
      skip_blanks();
      const char c = peek();
      if (c != ',' && c != ']') stop(at_, at_ + 1, "a ',' or ']' is missing here");
      ++at_;
      if (c == ']') return;
    }
  }

  uint32_t four_digits(size_t from) {
    uint32_t cp = 0;
    for (size_t i = from; i < from + 4; ++i) {
      const char c = i < text_.size() ? text_[i] : '\0';
      uint32_t digit = 0;
      if (c >= '0' && c <= '9') {
        digit = static_cast<uint32_t>(c - '0');
      } else if (c >= 'a' && c <= 'f') {
        digit = static_cast<uint32_t>(c - 'a') + 10;
      } else if (c >= 'A' && c <= 'F') {
        digit = static_cast<uint32_t>(c - 'A') + 10;
      } else {
        stop(from - 2, from, "\\u needs four hexadecimal digits");
      }
      cp = cp << 4 | digit;
    }
    return cp;
  }

  std::string string() {
    const size_t begin = at_++;
    std::string out;
    while (true) {
      if (at_ >= text_.size() || text_[at_] == '\n') stop(begin, begin + 1, "a quote is not closed on its line");
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        return out;
      }
      if (static_cast<uint8_t>(c) < 0x20) stop(at_, at_ + 1, "a control character must be escaped in JSON");
      if (c != '\\') {
        out += c;
        ++at_;
        continue;
      }
      escape(out);
    }
  }

  void escape(std::string& out) {
    const size_t begin = at_;
    const char c = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    static constexpr std::string_view kLetters = "\"\\/bfnrt";
    static constexpr std::string_view kMeans = "\"\\/\b\f\n\r\t";
    const size_t simple = c == '\0' ? std::string_view::npos : kLetters.find(c);
    if (simple != std::string_view::npos) {
      out += kMeans[simple];
      at_ += 2;
      return;
    }
    if (c != 'u') stop(begin, begin + 2, "JSON has no such escape");
    uint32_t cp = four_digits(at_ + 2);
    at_ += 6;
    if (cp >= 0xD800 && cp < 0xDC00 && text_.substr(at_, 2) == "\\u") {
      const uint32_t low = four_digits(at_ + 2);
      if (low >= 0xDC00 && low < 0xE000) {
        cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
        at_ += 6;
      }
    }
    if (cp >= 0xD800 && cp < 0xE000) stop(begin, at_, "half of a surrogate pair stands alone");
    append_utf8(out, cp);
  }

  const SourceText& source_;
  std::string_view text_;
  uint32_t max_depth_;
  size_t at_ = 0;
};

}  // namespace

ReadFile read_json(const SourceText& source, uint32_t max_depth) {
  return Reader(source, max_depth).run();
}

}  // namespace fb::compile
