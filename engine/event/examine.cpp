#include "engine/event/examine.h"

#include <algorithm>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/base/text.h"

namespace fb {
namespace {

constexpr bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  const char low = static_cast<char>(c | 0x20);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

// Where in an event a value stands, as far as the identity fields care.
enum class Place : uint8_t { other, top, in_agent, in_host, agent_id, host_id };

Place place_below(Place object, std::string_view key) {
  if (object == Place::top) {
    if (key == "agent.id") return Place::agent_id;
    if (key == "host.id") return Place::host_id;
    if (key == "agent") return Place::in_agent;
    if (key == "host") return Place::in_host;
  }
  if (object == Place::in_agent && key == "id") return Place::agent_id;
  if (object == Place::in_host && key == "id") return Place::host_id;
  return Place::other;
}

class Examiner {
 public:
  Examiner(std::string_view json, const EventLimits& limits) : json_(json), limits_(limits) {}

  std::optional<Refusal> run() {
    const size_t most = std::min(limits_.max_event_bytes, kLargestRecord);
    if (json_.size() > most) return Refusal{"too-long", over("max_event_bytes", most), static_cast<uint32_t>(most)};
    skip_blanks();
    if (at_ == json_.size()) return Refusal{"empty", "the record has no content", 0};
    if (json_.substr(0, 3) == "\xEF\xBB\xBF") return Refusal{"not-json", "starts with a byte order mark", 0};
    const size_t begin = at_;
    if (read_document()) {
      skip_blanks();
      if (at_ < json_.size()) {
        unexpected("the end of the record");
      } else if (json_[begin] != '{') {
        refuse("not-an-object", "the record is JSON, but not an object", begin);
      }
    }
    return std::move(refusal_);
  }

 private:
  struct Frame {
    bool array = false;
    Place place = Place::other;
    uint32_t elements = 0;
    uint64_t path_bytes = 0;
  };
  // What was found under one place of an identity field. Values of one array share the key, so a list is no repetition.
  struct Identity {
    uint32_t key = 0;
    std::string text;
    bool repeated = false;
    bool different = false;
  };

  static std::string over(std::string_view limit, uint64_t value) {
    return "over limits." + std::string(limit) + " (" + std::to_string(value) + ")";
  }

  bool refuse(std::string_view reason, std::string detail, size_t offset) {
    refusal_ = Refusal{reason, std::move(detail), static_cast<uint32_t>(offset)};
    return false;
  }

  bool unexpected(std::string_view wanted) {
    if (at_ >= json_.size()) return refuse("not-json", "ends where " + std::string(wanted) + " must stand", at_);
    const size_t length = character(at_);
    if (length == 0) return refuse("invalid-utf8", "bytes that are not UTF-8", at_);
    std::string shown = printable(json_.substr(at_, length));
    if (json_[at_] == '\0') shown = "\\x00";
    return refuse("not-json", "unexpected '" + shown + "' where " + std::string(wanted) + " must stand", at_);
  }

  // The length of the well-formed character at `at`, or 0.
  size_t character(size_t at) const {
    const auto lead = static_cast<unsigned char>(json_[at]);
    const size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    const std::string_view bytes = json_.substr(at, length);
    return bytes.size() == length && is_utf8(bytes) ? length : 0;
  }

  void skip_blanks() {
    while (at_ < json_.size() && is_blank(json_[at_])) ++at_;
  }
  bool next_is(char c) const { return at_ < json_.size() && json_[at_] == c; }

  bool read_document() {
    if (!read_value(Place::other)) return false;
    while (!frames_.empty()) {
      skip_blanks();
      Frame& top = frames_.back();
      const bool first = top.elements == 0;
      if (next_is(top.array ? ']' : '}')) {
        ++at_;
        frames_.pop_back();
        continue;
      }
      if (!first) {
        if (!next_is(',')) return unexpected(top.array ? "',' or ']'" : "',' or '}'");
        ++at_;
        skip_blanks();
      }
      ++top.elements;
      if (!(top.array ? read_element() : read_member())) return false;
    }
    return true;
  }

  bool read_element() {
    const Frame& top = frames_.back();
    if (top.elements > limits_.max_array_length) {
      return refuse("array-too-long", over("max_array_length", limits_.max_array_length), at_);
    }
    below_path_bytes_ = top.path_bytes;
    return read_value(top.place);
  }

  bool read_member() {
    const Frame& top = frames_.back();
    const size_t begin = at_;
    if (!next_is('"')) return unexpected("a key");
    if (!read_string()) return false;
    if (text_.size() > limits_.max_key_bytes) {
      return refuse("key-too-long", over("max_key_bytes", limits_.max_key_bytes), begin);
    }
    if (++keys_ > limits_.max_event_keys) {
      return refuse("too-many-keys", over("max_event_keys", limits_.max_event_keys), begin);
    }
    below_path_bytes_ = top.path_bytes + text_.size() + 1;
    all_path_bytes_ += below_path_bytes_;
    if (all_path_bytes_ > kPathBytesFactor * limits_.max_event_bytes) {
      return refuse("key-too-long", "the paths of all keys together are too long", begin);
    }
    const Place place = place_below(top.place, text_);
    if (place == Place::agent_id || place == Place::host_id) name_identity(place);
    skip_blanks();
    if (!next_is(':')) return unexpected("':'");
    ++at_;
    skip_blanks();
    return read_value(place);
  }

  bool read_value(Place place) {
    const size_t begin = at_;
    if (at_ >= json_.size()) return unexpected("a value");
    switch (json_[at_]) {
      case '{':
      case '[':
        return open(json_[at_] == '[', place);
      case '"':
        return read_string() && found(place, text_, begin);
      case 't':
        return read_word("true") && found(place, "true", begin);
      case 'f':
        return read_word("false") && found(place, "false", begin);
      case 'n':
        return read_word("null");
      default:
        return read_number() && found(place, json_.substr(begin, at_ - begin), begin);
    }
  }

  bool open(bool array, Place place) {
    if (frames_.size() >= limits_.max_event_depth) {
      return refuse("too-deep", over("max_event_depth", limits_.max_event_depth), at_);
    }
    Frame frame;
    frame.array = array;
    if (frames_.empty()) {
      frame.place = array ? Place::other : Place::top;
    } else if (array || place == Place::in_agent || place == Place::in_host) {
      frame.place = place;
    }
    frame.path_bytes = below_path_bytes_;
    frames_.push_back(frame);
    ++at_;
    return true;
  }

  bool read_word(std::string_view word) {
    for (const char c : word) {
      if (!next_is(c)) return unexpected("'" + std::string(word) + "'");
      ++at_;
    }
    return true;
  }

  bool read_digits() {
    if (at_ >= json_.size() || !is_digit(json_[at_])) return unexpected("a digit");
    while (at_ < json_.size() && is_digit(json_[at_])) ++at_;
    return true;
  }

  bool read_number() {
    const bool minus = next_is('-');
    if (minus) ++at_;
    if (!minus && (at_ >= json_.size() || !is_digit(json_[at_]))) return unexpected("a value");
    if (next_is('0')) {
      ++at_;
    } else if (!read_digits()) {
      return false;
    }
    if (next_is('.')) {
      ++at_;
      if (!read_digits()) return false;
    }
    if (next_is('e') || next_is('E')) {
      ++at_;
      if (next_is('+') || next_is('-')) ++at_;
      if (!read_digits()) return false;
    }
    return true;
  }

  // Reads a string into text_; at_ stands on its opening quote.
  bool read_string() {
    const size_t begin = at_++;
    text_.clear();
    while (at_ < json_.size()) {
      const char c = json_[at_];
      if (c == '"') {
        ++at_;
        return true;
      }
      if (c == '\\') {
        if (!read_escape()) return false;
        continue;
      }
      if (static_cast<unsigned char>(c) < 0x20) {
        return refuse("not-json", "a control character in a string must be escaped", at_);
      }
      const size_t length = static_cast<unsigned char>(c) < 0x80 ? 1 : character(at_);
      if (length == 0) return refuse("invalid-utf8", "bytes that are not UTF-8", at_);
      text_.append(json_, at_, length);
      at_ += length;
    }
    return refuse("not-json", "a string has no end", begin);
  }

  // The code unit of the \uXXXX at `at`, or -1.
  int32_t code_unit(size_t at) const {
    if (json_.size() - std::min(at, json_.size()) < 6 || json_[at] != '\\' || json_[at + 1] != 'u') return -1;
    int32_t unit = 0;
    for (size_t i = 2; i < 6; ++i) {
      const int digit = hex_digit(json_[at + i]);
      if (digit < 0) return -1;
      unit = unit * 16 + digit;
    }
    return unit;
  }

  bool read_escape() {
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    const char c = at_ + 1 < json_.size() ? json_[at_ + 1] : '\0';
    if (const size_t which = kNames.find(c); which != std::string_view::npos && c != '\0') {
      text_ += kMeanings[which];
      at_ += 2;
      return true;
    }
    const int32_t unit = code_unit(at_);
    if (unit < 0) return refuse("not-json", "an escape that JSON does not have", at_);
    if (unit < 0xD800 || unit > 0xDFFF) {
      append_utf8(text_, static_cast<uint32_t>(unit));
      at_ += 6;
      return true;
    }
    const int32_t low = unit < 0xDC00 ? code_unit(at_ + 6) : -1;
    if (low < 0xDC00 || low > 0xDFFF) {
      return refuse("invalid-utf8", "an escaped surrogate without its pair cannot be written as UTF-8", at_);
    }
    append_utf8(text_, 0x10000U + (static_cast<uint32_t>(unit - 0xD800) << 10) + static_cast<uint32_t>(low - 0xDC00));
    at_ += 12;
    return true;
  }

  // Remembers by which keys and array positions the identity value about to be read is reached.
  void name_identity(Place place) {
    spot_ = place == Place::agent_id ? "agent" : "host";
    for (size_t i = 1; i < frames_.size(); ++i) {
      spot_ += frames_[i].array ? "/" + std::to_string(frames_[i].elements) : ".";
    }
    spot_key_ = keys_;
  }

  bool found(Place place, std::string_view text, size_t offset) {
    if (place != Place::agent_id && place != Place::host_id) return true;
    const auto [it, fresh] = identities_.try_emplace(spot_);
    Identity& identity = it->second;
    if (fresh) {
      identity.key = spot_key_;
      identity.text = text;
      return true;
    }
    identity.repeated |= identity.key != spot_key_;
    identity.different |= identity.text != text;
    if (!identity.repeated || !identity.different) return true;
    const std::string name = place == Place::agent_id ? "agent.id" : "host.id";
    return refuse("identity-conflict", name + " is given twice with two values", offset);
  }

  std::string_view json_;
  const EventLimits& limits_;
  size_t at_ = 0;
  std::vector<Frame> frames_;
  std::string text_;  // the last string read, unescaped
  uint32_t keys_ = 0;
  uint64_t below_path_bytes_ = 0;  // of the value about to be read
  uint64_t all_path_bytes_ = 0;
  std::string spot_;
  uint32_t spot_key_ = 0;
  std::unordered_map<std::string, Identity> identities_;
  std::optional<Refusal> refusal_;
};

}  // namespace

std::optional<Refusal> examine(std::string_view json, const EventLimits& limits) {
  return Examiner(json, limits).run();
}

}  // namespace fb
