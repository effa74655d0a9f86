#include "engine/event/json_tree.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

#include "engine/base/json.h"
#include "engine/event/examine.h"

namespace fb {
namespace {

using Json = nlohmann::json;

// Number tokens outside strings in order, since the parser hands out values without their spelling. It also refuses
// numbers that overflow a double, which Firebreak accepts: in `json` those are overwritten with a 0 and blanks.
struct NumberTokens {
  struct Token {
    std::string text;
    bool infinite = false;
  };
  std::vector<Token> tokens;

  explicit NumberTokens(std::string& json) {
    constexpr std::string_view kCharacters = "0123456789+-.eE";
    for (size_t at = 0; at < json.size();) {
      const char c = json[at];
      if (c == '"') {
        for (++at; at < json.size() && json[at] != '"'; ++at) at += json[at] == '\\' ? 1 : 0;
        ++at;
      } else if (c == '-' || (c >= '0' && c <= '9')) {
        const size_t end = std::min(json.find_first_not_of(kCharacters, at), json.size());
        Token token{json.substr(at, end - at)};
        const std::optional<Number> number = parse_json_number(token.text);
        if (number && number->kind == Number::Kind::real && std::isinf(number->d)) {
          token.infinite = true;
          json[at] = '0';
          std::fill(json.begin() + static_cast<std::ptrdiff_t>(at) + 1, json.begin() + static_cast<std::ptrdiff_t>(end),
                    ' ');
        }
        tokens.push_back(std::move(token));
        at = end;
      } else {
        ++at;
      }
    }
  }
};

// Builds the tree from the parser's calls; stops it at a limit.
class TreeBuilder : public nlohmann::json_sax<Json> {
 public:
  TreeBuilder(const EventLimits& limits, const NumberTokens& numbers) : limits_(limits), numbers_(numbers.tokens) {}

  JsonNode root;
  std::string problem;
  size_t problem_at = 0;

  bool null() override { return add({}) != nullptr; }
  bool boolean(bool value) override {
    JsonNode node;
    node.kind = JsonNode::Kind::boolean;
    node.truth = value;
    return add(std::move(node)) != nullptr;
  }
  bool number_integer(number_integer_t value) override { return add_number(Number::of(value)); }
  bool number_unsigned(number_unsigned_t value) override { return add_number(Number::of_unsigned(value)); }
  bool number_float(number_float_t value, const string_t&) override { return add_number(Number::of_real(value)); }
  bool string(string_t& value) override {
    JsonNode node;
    node.kind = JsonNode::Kind::string;
    node.text = std::move(value);
    return add(std::move(node)) != nullptr;
  }
  bool binary(binary_t&) override { return stop("binary value"); }
  bool start_object(std::size_t) override { return open(JsonNode::Kind::object); }
  bool start_array(std::size_t) override { return open(JsonNode::Kind::array); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (name.size() > limits_.max_key_bytes) return stop("key-too-long");
    if (++keys_ > limits_.max_event_keys) return stop("too-many-keys");
    next_path_bytes_ = open_.back().path_bytes + name.size() + 1;
    all_path_bytes_ += next_path_bytes_;
    if (all_path_bytes_ > kPathBytesFactor * limits_.max_event_bytes) return stop("key-too-long");
    open_.back().node->members.emplace_back(std::move(name), JsonNode{});
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const Json::exception& error) override {
    problem = error.what();
    problem_at = position;
    return false;
  }

 private:
  struct Open {
    JsonNode* node;
    uint64_t path_bytes;
  };

  bool stop(std::string_view what) {
    problem = what;
    return false;
  }

  bool add_number(Number number) {
    if (next_number_ == numbers_.size()) return stop("a number out of nowhere");
    const NumberTokens::Token& token = numbers_[next_number_++];
    if (token.infinite) {
      constexpr double kInfinity = std::numeric_limits<double>::infinity();
      number = Number::of_real(token.text.front() == '-' ? -kInfinity : kInfinity);
    }
    JsonNode node;
    node.kind = JsonNode::Kind::number;
    node.number = number;
    node.text = token.text;
    return add(std::move(node)) != nullptr;
  }

  // A parent's list never grows while one of its children is open, so the pointers in open_ hold.
  JsonNode* add(JsonNode node) {
    if (open_.empty()) {
      root = std::move(node);
      return &root;
    }
    JsonNode& parent = *open_.back().node;
    if (parent.kind == JsonNode::Kind::object) {
      parent.members.back().second = std::move(node);
      return &parent.members.back().second;
    }
    if (parent.items.size() >= limits_.max_array_length) {
      stop("array-too-long");
      return nullptr;
    }
    parent.items.push_back(std::move(node));
    return &parent.items.back();
  }

  bool open(JsonNode::Kind kind) {
    if (open_.size() >= limits_.max_event_depth) return stop("too-deep");
    JsonNode node;
    node.kind = kind;
    const bool in_array = !open_.empty() && open_.back().node->kind == JsonNode::Kind::array;
    const uint64_t path_bytes = open_.empty() ? 0 : in_array ? open_.back().path_bytes : next_path_bytes_;
    JsonNode* const at = add(std::move(node));
    if (at == nullptr) return false;
    open_.push_back({at, path_bytes});
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  const EventLimits& limits_;
  const std::vector<NumberTokens::Token>& numbers_;
  size_t next_number_ = 0;
  std::vector<Open> open_;
  uint32_t keys_ = 0;
  uint64_t next_path_bytes_ = 0;
  uint64_t all_path_bytes_ = 0;
};

// Is some identity field given by a repeated key with two values?
class IdentityCheck {
 public:
  explicit IdentityCheck(const JsonNode& event) {
    for (const char* part : {"agent", "host"}) {
      const std::string dotted = std::string(part) + ".id";
      for (const auto& [key, node] : event.members) {
        if (key == dotted) note("/" + dotted, node);
        if (key == part) descend("/" + std::string(part), node);
      }
    }
  }

  bool conflict() const {
    return std::any_of(places_.begin(), places_.end(), [](const auto& place) {
      const Found& found = place.second;
      if (found.keys_with_values < 2) return false;
      return std::any_of(found.texts.begin(), found.texts.end(),
                         [&](const auto& t) { return t != found.texts.front(); });
    });
  }

 private:
  struct Found {
    int keys_with_values = 0;
    std::vector<std::string> texts;
  };

  void descend(const std::string& place, const JsonNode& node) {
    for (size_t i = 0; i < node.items.size(); ++i) descend(place + "/" + std::to_string(i), node.items[i]);
    for (const auto& [key, value] : node.members) {
      if (key == "id") note(place + "/id", value);
    }
  }

  void note(const std::string& place, const JsonNode& node) {
    std::vector<std::string> texts;
    collect(node, texts);
    if (texts.empty()) return;
    Found& found = places_[place];
    ++found.keys_with_values;
    found.texts.insert(found.texts.end(), texts.begin(), texts.end());
  }

  static void collect(const JsonNode& node, std::vector<std::string>& texts) {
    switch (node.kind) {
      case JsonNode::Kind::array:
        for (const JsonNode& item : node.items) collect(item, texts);
        return;
      case JsonNode::Kind::boolean:
        texts.emplace_back(node.truth ? "true" : "false");
        return;
      case JsonNode::Kind::number:
      case JsonNode::Kind::string:
        texts.push_back(node.text);
        return;
      case JsonNode::Kind::null:
      case JsonNode::Kind::object:
        return;
    }
  }

  std::map<std::string, Found> places_;
};

// What the byte-by-byte reading says about a refused record; else what the parser said.
Error refusal(std::string_view json, const EventLimits& limits, std::string message, size_t at) {
  if (const auto found = examine(json, limits)) {
    message = std::string(found->reason) + ": " + found->detail;
    at = found->offset;
  }
  return Error{ErrorCode::invalid_argument, Retry::no, std::move(message), "offset " + std::to_string(at)};
}

}  // namespace

JsonNode::JsonNode() = default;

Result<JsonNode> parse_json_tree(std::string_view json, const EventLimits& limits) {
  const auto refuse = [&](std::string message, size_t at) {
    return tl::unexpected<Error>(refusal(json, limits, std::move(message), at));
  };
  // The parser takes a byte order mark for nothing and a NUL for the end: both are told here.
  if (json.size() > std::min(limits.max_event_bytes, kLargestRecord)) return refuse("too-long", 0);
  if (json.substr(0, 3) == "\xEF\xBB\xBF") return refuse("byte order mark", 0);
  if (const size_t nul = json.find('\0'); nul != std::string_view::npos) return refuse("a NUL byte", nul);

  try {
    std::string text(json);
    const NumberTokens numbers(text);
    TreeBuilder builder(limits, numbers);
    if (!Json::sax_parse(text, &builder)) return refuse(builder.problem, builder.problem_at);
    if (builder.root.kind != JsonNode::Kind::object) return refuse("not-an-object", 0);
    if (IdentityCheck(builder.root).conflict()) return refuse("identity-conflict", 0);
    return std::move(builder.root);
  } catch (const std::exception& e) {
    return refuse(e.what(), 0);
  }
}

}  // namespace fb
