#include "engine/compile/checks.h"

#include <algorithm>
#include <charconv>

namespace fb::compile {
namespace {

// Foreign text in a message: short.
std::string shortened(std::string_view text) {
  constexpr size_t kMost = 80;
  if (text.size() <= kMost) return std::string(text);
  size_t end = kMost;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "...";
}

std::string did_you_mean(std::string_view word, std::span<const std::string_view> known) {
  if (word.size() > 64) return {};
  const std::string_view near = nearest_word(word, known);
  return near.empty() ? std::string() : "did you mean '" + std::string(near) + "'?";
}

}  // namespace

std::string join_words(std::span<const std::string_view> words) {
  std::string out;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " or " : ", ";
    out += words[i];
  }
  return out;
}

void Checks::add(Diagnostic d) {
  failed_ = failed_ || d.level == Diagnostic::Level::error;
  out_.push_back(std::move(d));
}

void Checks::error(std::string_view code, const FileNode& at, std::string message, std::string help) {
  add(source_.error(code, at.begin, at.end, std::move(message), std::move(help)));
}

void Checks::error(std::string_view code, const FileMember& at, std::string message, std::string help) {
  add(source_.error(code, at.key_begin, at.key_end, std::move(message), std::move(help)));
}

void Checks::warning(std::string_view code, const FileMember& at, std::string message, std::string help) {
  add(source_.warning(code, at.key_begin, at.key_end, std::move(message), std::move(help)));
}

void Checks::only_keys(const FileNode& object, std::string_view what, std::span<const std::string_view> known) {
  // A file that is something else altogether is not worth thousands of messages.
  constexpr size_t kMostReported = 20;
  size_t reported = 0;
  for (const FileMember& m : object.members) {
    if (std::find(known.begin(), known.end(), m.key) != known.end()) continue;
    if (++reported > kMostReported) {
      return error(code::kUnknownKey, m, "more unknown keys follow; they are not listed");
    }
    error(code::kUnknownKey, m, "'" + shortened(m.key) + "' is not a key of " + std::string(what),
          did_you_mean(m.key, known));
  }
}

bool Checks::is(const FileNode& node, std::string_view name, FileNode::Kind kind) {
  if (node.kind == kind) return true;
  std::string help;
  if (kind == FileNode::Kind::boolean && node.is(FileNode::Kind::string)) help = "write true or false, without quotes";
  if (kind == FileNode::Kind::string && (node.is(FileNode::Kind::number) || node.is(FileNode::Kind::boolean))) {
    help = "put it in quotes";
  }
  error(code::kWrongType, node,
        "'" + std::string(name) + "' must be " + std::string(kind_name(kind)) + ", not " +
            std::string(kind_name(node.kind)),
        std::move(help));
  return false;
}

const FileNode* Checks::get(const FileNode& object, std::string_view key, FileNode::Kind kind, Need need) {
  const FileMember* m = object.find(key);
  if (m == nullptr) {
    if (need == Need::required) {
      error(code::kMissingKey, object, "'" + std::string(key) + "' is missing");
    }
    return nullptr;
  }
  return is(m->value, key, kind) ? &m->value : nullptr;
}

const std::string* Checks::string(const FileNode& object, std::string_view key, Need need) {
  const FileNode* node = get(object, key, FileNode::Kind::string, need);
  return node == nullptr ? nullptr : &node->text;
}

const std::string* Checks::filled_string(const FileNode& object, std::string_view key, Need need) {
  const FileNode* node = get(object, key, FileNode::Kind::string, need);
  if (node == nullptr) return nullptr;
  if (node->text.find_first_not_of(" \t\r\n") == std::string::npos) {
    error(code::kBadValue, *node, "'" + std::string(key) + "' must not be empty");
    return nullptr;
  }
  return &node->text;
}

std::optional<bool> Checks::boolean(const FileNode& object, std::string_view key) {
  const FileNode* node = get(object, key, FileNode::Kind::boolean);
  return node == nullptr ? std::nullopt : std::optional<bool>(node->truth);
}

std::optional<int64_t> Checks::integer(const FileNode& object, std::string_view key, int64_t low, int64_t high,
                                       Need need) {
  const FileNode* node = get(object, key, FileNode::Kind::number, need);
  if (node == nullptr) return std::nullopt;
  int64_t value = 0;
  const char* end = node->text.data() + node->text.size();
  const auto [stop, failure] = std::from_chars(node->text.data(), end, value);
  if (failure != std::errc() || stop != end || value < low || value > high) {
    error(code::kBadValue, *node,
          "'" + std::string(key) + "' must be a whole number from " + std::to_string(low) + " to " +
              std::to_string(high));
    return std::nullopt;
  }
  return value;
}

std::vector<std::string> Checks::strings(const FileNode& object, std::string_view key) {
  std::vector<std::string> out;
  const FileNode* node = get(object, key, FileNode::Kind::array);
  if (node == nullptr) return out;
  for (const FileNode& item : node->items) {
    if (is(item, std::string(key) + "[]", FileNode::Kind::string)) out.push_back(item.text);
  }
  return out;
}

const std::string* Checks::word(const FileNode& object, std::string_view key,
                                std::initializer_list<std::string_view> words, Need need) {
  const FileNode* node = get(object, key, FileNode::Kind::string, need);
  if (node == nullptr) return nullptr;
  if (std::find(words.begin(), words.end(), node->text) != words.end()) return &node->text;
  const std::span<const std::string_view> known(words.begin(), words.size());
  error(code::kBadValue, *node,
        "'" + std::string(key) + "' is '" + shortened(node->text) + "'; it takes " + join_words(known),
        did_you_mean(node->text, known));
  return nullptr;
}

}  // namespace fb::compile
