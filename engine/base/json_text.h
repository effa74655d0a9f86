// JSON written as text, member by member, for answers that are asked for thousands of times a second: no tree is built,
// nothing is allocated but the text itself. The text is what a tree of the same members would be dumped as; bytes that
// are no UTF-8 become U+FFFD. Who writes keeps the order: begin, members, end. Not thread-safe; fails never.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fb {

// Appends `text` as a JSON string with its quotes.
void append_json(std::string& out, std::string_view text);

class JsonText {
 public:
  explicit JsonText(std::string& out) : out_(out) {}

  // The object itself (no key: a top value, or an item of an array).
  JsonText& begin();
  JsonText& begin(std::string_view key);
  JsonText& end();
  JsonText& begin_array(std::string_view key);
  JsonText& end_array();

  JsonText& text(std::string_view key, std::string_view value);
  JsonText& flag(std::string_view key, bool value);
  template <std::integral Number>
  requires(!std::same_as<Number, bool>) JsonText& number(std::string_view key, Number value) {
    return digits(key, static_cast<int64_t>(value));
  }
  JsonText& null(std::string_view key);
  // A value that is JSON already.
  JsonText& json(std::string_view key, std::string_view value);
  JsonText& texts(std::string_view key, const std::vector<std::string>& values);
  JsonText& item(std::string_view text);  // of an array
  JsonText& json_item(std::string_view value);

 private:
  JsonText& digits(std::string_view key, int64_t value);
  void separate();
  void name(std::string_view key);

  std::string& out_;
};

}  // namespace fb
