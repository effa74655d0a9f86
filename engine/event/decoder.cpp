#include "engine/event/decoder.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/event/escapes.h"
#include "engine/event/examine.h"
#include "engine/event/field_paths.h"
#include "engine/event/key_memory.h"

namespace fb {
namespace {

using Place = FieldPaths::Place;
using Stage1 = simdjson::internal::dom_parser_implementation;

constexpr size_t kFirstCapacity = 16 * 1024;
constexpr size_t kSlack = 64;  // how far past their ends buffers may be read or written

// What may stand after a number or a literal.
constexpr std::array<bool, 256> kEndsScalar = [] {
  std::array<bool, 256> table{};
  for (const char c : {' ', '\t', '\n', '\r', ',', ']', '}'}) table[static_cast<unsigned char>(c)] = true;
  return table;
}();
bool ends_scalar(char c) {
  return kEndsScalar[static_cast<unsigned char>(c)];
}
bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

const char* skip_digits(const char* p) {
  while (is_digit(*p)) ++p;
  return p;
}

// The end of the number at p, or null. Some byte that is no part of a number must follow.
const char* number_end(const char* p) {
  if (*p == '-') ++p;
  if (!is_digit(*p)) return nullptr;
  p = *p == '0' ? p + 1 : skip_digits(p + 1);
  if (*p == '.') {
    if (!is_digit(p[1])) return nullptr;
    p = skip_digits(p + 2);
  }
  if (*p == 'e' || *p == 'E') {
    ++p;
    if (*p == '+' || *p == '-') ++p;
    if (!is_digit(*p)) return nullptr;
    p = skip_digits(p + 1);
  }
  return p;
}

// Most numbers are short whole ones.
Number to_number(std::string_view token) {
  const bool negative = token.front() == '-';
  const std::string_view digits = token.substr(negative ? 1 : 0);
  if (digits.size() <= 18) {
    int64_t value = 0;
    bool whole = true;
    for (const char c : digits) {
      whole &= is_digit(c);
      value = value * 10 + (c - '0');
    }
    if (whole) return Number::of(negative ? -value : value);
  }
  return parse_json_number(token).value_or(Number{});
}

// Text that lives as long as an event, in blocks that never move.
class TextBlocks {
 public:
  void clear() {
    if (blocks_.size() > kKeptBlocks) blocks_.resize(kKeptBlocks);
    block_ = 0;
    used_ = 0;
  }
  char* take(size_t bytes) {
    const size_t need = bytes + kSlack;
    while (block_ < blocks_.size() && blocks_[block_].size - used_ < need) {
      ++block_;
      used_ = 0;
    }
    if (block_ == blocks_.size()) {
      const size_t size = std::max(need, kBlock);
      blocks_.push_back({std::make_unique<char[]>(size), size});
    }
    char* const at = blocks_[block_].bytes.get() + used_;
    used_ += bytes;
    return at;
  }

 private:
  static constexpr size_t kBlock = 64 * 1024;
  static constexpr size_t kKeptBlocks = 16;
  struct Block {
    std::unique_ptr<char[]> bytes;
    size_t size = 0;
  };
  std::vector<Block> blocks_;
  size_t block_ = 0;
  size_t used_ = 0;
};

// Renamed prefixes of a leaf's path, found in one pass over the path.
class Renamings {
 public:
  explicit Renamings(const FieldTable& table) {
    for (const auto& [from, to] : table.renames()) by_hash_.emplace(hash(from), Renaming{from, to});
  }
  bool empty() const { return by_hash_.empty(); }

  // Calls found(new name of the prefix, rest of the path) for each renaming that applies.
  template <class Found>
  void each(std::string_view path, Found found) const {
    uint64_t h = kSeed;
    for (size_t i = 0; i <= path.size(); ++i) {
      if (i == path.size() || path[i] == '.') {
        const auto [begin, end] = by_hash_.equal_range(h);
        for (auto it = begin; it != end; ++it) {
          if (it->second.from == path.substr(0, i)) found(std::string_view(it->second.to), path.substr(i));
        }
      }
      if (i < path.size()) h = step(h, path[i]);
    }
  }

 private:
  struct Renaming {
    std::string from;
    std::string to;
  };
  static constexpr uint64_t kSeed = 0xCBF29CE484222325ULL;
  static uint64_t step(uint64_t h, char c) { return (h ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL; }
  static uint64_t hash(std::string_view text) {
    uint64_t h = kSeed;
    for (const char c : text) h = step(h, c);
    return h;
  }
  std::unordered_multimap<uint64_t, Renaming> by_hash_;
};

}  // namespace

struct Decoder::Impl {
  // One open object or array.
  struct Frame {
    Place place = FieldPaths::kRoot;
    bool array = false;
    bool named = false;  // it has a path (the top object has none)
    uint32_t elements = 0;
    uint32_t nested_first = 0;  // its entries of Event::nested_, sized when it closes
    uint32_t nested_count = 0;
    uint32_t alternate_first = 0;  // its renamed paths, when all leaves are wanted
    uint32_t alternate_count = 0;
    uint64_t path_bytes = 0;
    std::string_view path;  // when all leaves are wanted
  };

  // Everything that one event, or one nested object at some depth, needs.
  struct Lane {
    std::unique_ptr<Stage1> stage1;
    size_t capacity = 0;
    EscapeMap escapes;
    KeyMemory memory;
    Event event;
    std::vector<uint32_t> last_value;  // of each of event.fields_
    std::vector<Frame> frames;
    std::unique_ptr<char[]> text;  // unescaped strings; together never longer than the record
    size_t text_capacity = 0;
    char* text_end = nullptr;
    TextBlocks paths;
    std::vector<std::string_view> alternates;
    uint32_t keys = 0;
    uint64_t path_bytes = 0;
  };

  Impl(std::shared_ptr<const FieldTable> table, EventLimits event_limits)
      : fields(std::move(table)), limits(event_limits), paths(*fields), renamings(*fields) {}

  std::shared_ptr<const FieldTable> fields;
  EventLimits limits;
  FieldPaths paths;
  Renamings renamings;
  std::vector<std::unique_ptr<Lane>> lanes;  // 0: events; n + 1: nested objects of depth n
  Refusal refusal;

  Lane& lane(size_t which);
  bool reserve(Lane& lane, size_t bytes);
  bool read(Lane& lane, std::string_view json, Place place, std::string_view path, bool named);
  template <bool kAllLeaves>
  bool walk(Lane& lane, std::string_view json, Place place, std::string_view path, bool named);

  Place find_place(Lane& lane, Place from, std::string_view key, bool plain);
  FieldValues& values_of(Lane& lane, FieldIx f);
  void add_to_fields(Lane& lane, Place place, const Value& value, uint32_t& first);
  void name_leaf(Lane& lane, Frame& spot, const Frame& top, std::string_view key);
  void open_nested(Lane& lane, Frame& frame, Place place, const char* begin);
};

Decoder::Impl::Lane& Decoder::Impl::lane(size_t which) {
  while (lanes.size() <= which) {
    auto fresh = std::make_unique<Lane>();
    fresh->event.slots_.resize(fields->size());
    fresh->frames.resize(size_t{limits.max_event_depth} + 1);
    lanes.push_back(std::move(fresh));
  }
  return *lanes[which];
}

// Grows the lane's buffers to a record of so many bytes.
bool Decoder::Impl::reserve(Lane& lane, size_t bytes) {
  if (bytes > lane.capacity) {
    size_t capacity = std::max(lane.capacity, kFirstCapacity);
    while (capacity < bytes) capacity *= 2;
    const auto* implementation = static_cast<const simdjson::implementation*>(simdjson::get_active_implementation());
    // The depth is simdjson's own business in its second stage, which is not used.
    if (implementation->create_dom_parser_implementation(capacity, 16, lane.stage1) != simdjson::SUCCESS) return false;
    lane.capacity = capacity;
  }
  if (bytes + kSlack > lane.text_capacity) {
    lane.text_capacity = lane.capacity + kSlack;
    lane.text = std::make_unique<char[]>(lane.text_capacity);
  }
  return true;
}

// Where a key leads that was not the expected one. `plain`: it has no escapes.
Place Decoder::Impl::find_place(Lane& lane, Place from, std::string_view key, bool plain) {
  if ((from & FieldPaths::kOff) != 0) return from;
  if (!plain) return paths.child(from, key);
  if (const KeyMemory::Key* known = lane.memory.find(from, key)) return known->to;
  const Place to = paths.child(from, key);
  lane.memory.learn(from, key, to);
  return to;
}

FieldValues& Decoder::Impl::values_of(Lane& lane, FieldIx f) {
  Event& event = lane.event;
  uint32_t& slot = event.slots_[index(f)];
  if (slot < event.fields_.size() && event.fields_[slot].field == f) return event.fields_[slot];
  slot = static_cast<uint32_t>(event.fields_.size());
  FieldValues fresh;
  fresh.field = f;
  event.fields_.push_back(fresh);
  lane.last_value.push_back(Value::kEnd);
  return event.fields_.back();
}

// A leaf with a value: one more value of each field it belongs to, and a mark on each field above it.
void Decoder::Impl::add_to_fields(Lane& lane, Place place, const Value& value, uint32_t& first) {
  Event& event = lane.event;
  for (const FieldIx f : paths.values(place)) {
    FieldValues& field = values_of(lane, f);
    const auto at = static_cast<uint32_t>(event.values_.size());
    event.values_.push_back(value);
    if (first == Value::kEnd) first = at;
    uint32_t& last = lane.last_value[event.slots_[index(f)]];
    if (field.count == 0) {
      field.first = at;
    } else {
      event.values_[last].next = at;
      if ((f == FieldTable::kAgentId || f == FieldTable::kHostId) && event.values_[field.first].text != value.text) {
        event.identity_conflict_ = true;
      }
    }
    last = at;
    ++field.count;
  }
  for (const FieldIx f : paths.above(place)) values_of(lane, f).below = true;
}

// The full path of the key just read, and its renamed forms, into `spot`.
void Decoder::Impl::name_leaf(Lane& lane, Frame& spot, const Frame& top, std::string_view key) {
  if (!top.named) {
    spot.path = key;
  } else {
    char* const text = lane.paths.take(top.path.size() + 1 + key.size());
    if (!top.path.empty()) std::memcpy(text, top.path.data(), top.path.size());
    text[top.path.size()] = '.';
    if (!key.empty()) std::memcpy(text + top.path.size() + 1, key.data(), key.size());
    spot.path = {text, top.path.size() + 1 + key.size()};
  }
  spot.alternate_first = static_cast<uint32_t>(lane.alternates.size());
  if (!renamings.empty()) {
    renamings.each(spot.path, [&lane](std::string_view to, std::string_view rest) {
      if (rest.empty()) {
        lane.alternates.push_back(to);
        return;
      }
      char* const text = lane.paths.take(to.size() + rest.size());
      if (!to.empty()) std::memcpy(text, to.data(), to.size());
      std::memcpy(text + to.size(), rest.data(), rest.size());
      lane.alternates.emplace_back(text, to.size() + rest.size());
    });
  }
  spot.alternate_count = static_cast<uint32_t>(lane.alternates.size()) - spot.alternate_first;
}

void Decoder::Impl::open_nested(Lane& lane, Frame& frame, Place place, const char* begin) {
  frame.nested_first = static_cast<uint32_t>(lane.event.nested_.size());
  frame.nested_count = 0;
  for (const uint32_t path : paths.nested(place)) {
    lane.event.nested_.push_back({path, {begin, 1}});  // the rest of it when it closes
    ++frame.nested_count;
  }
}

// Follows the structural characters that stage 1 found and checks every token between them. Stage 1 has checked UTF-8,
// control characters in strings and that strings end; escapes are checked too. It lists each of {}[]:, outside strings,
// each opening quote and each first character of anything else, so between two of them lie the rest of one token and
// blanks. The last one must be a '}': then whatever is not a '}' has a successor, and only closing needs a check for
// it.
template <bool kAllLeaves>
bool Decoder::Impl::walk(Lane& lane, std::string_view json, Place place, std::string_view path, bool named) {
  const char* const text = json.data();
  const uint32_t* s = lane.stage1->structural_indexes.get();
  const uint32_t* const last = s + lane.stage1->n_structural_indexes - 1;
  if (text[*s] != '{' || text[*last] != '}') return false;

  Event& event = lane.event;
  Frame* top = lane.frames.data();
  const Frame* const deepest = top + limits.max_event_depth;
  Frame spot;  // what the value about to be read gets from its key, or from the array around it
  spot.place = place;
  spot.path = path;
  spot.named = named;

  // The closing quote of the string at s: the last byte before the next structural one that is not blank.
  const auto string_end = [text](const uint32_t* at) {
    const char* end = text + at[1] - 1;
    while (is_blank(*end)) --end;
    return end;
  };
  const auto unescaped = [&lane, text](const char* begin, const char* end) {
    if (!lane.escapes.any(static_cast<size_t>(begin - text), static_cast<size_t>(end - text))) {
      return std::string_view(begin, static_cast<size_t>(end - begin));
    }
    char* const to = lane.text_end;
    lane.text_end = unescape(begin, end, to);
    return std::string_view(to, static_cast<size_t>(lane.text_end - to));
  };
  const auto leaf = [this, &lane, &event, &spot](const Value& value) {
    uint32_t first = Value::kEnd;
    add_to_fields(lane, spot.place, value, first);
    if constexpr (kAllLeaves) {
      if (first == Value::kEnd) {
        first = static_cast<uint32_t>(event.values_.size());
        event.values_.push_back(value);
      }
      event.leaves_.push_back({spot.path, first});
      for (uint32_t i = 0; i < spot.alternate_count; ++i) {
        event.leaves_.push_back({lane.alternates[spot.alternate_first + i], first});
      }
    }
  };

value:
  switch (text[*s]) {
    case '"': {
      const char* const begin = text + *s + 1;
      const char* const end = string_end(s);
      if (*end != '"' || end < begin) return false;
      if (kAllLeaves || paths.wants_leaf(spot.place)) {
        Value value;
        value.text = unescaped(begin, end);
        leaf(value);
      }
      ++s;
      goto after_value;
    }
    case '{':
      if (top == deepest) return false;
      ++top;
      *top = spot;
      top->array = false;
      top->nested_count = 0;  // the outermost object is not within itself
      if (top != lane.frames.data() + 1) open_nested(lane, *top, spot.place, text + *s);
      ++s;
      if (text[*s] == '}') goto close;
      goto key;
    case '[':
      if (top == deepest) return false;
      ++top;
      *top = spot;
      top->array = true;
      top->nested_count = 0;
      ++s;
      if (text[*s] == ']') goto close;
      top->elements = 1;
      if (top->elements > limits.max_array_length) return false;
      goto value;
    case 't':
    case 'f': {
      const bool truth = text[*s] == 't';
      const std::string_view word = truth ? "true" : "false";
      if (std::memcmp(text + *s, word.data(), word.size()) != 0 || !ends_scalar(text[*s + word.size()])) return false;
      if (kAllLeaves || paths.wants_leaf(spot.place)) {
        Value value;
        value.kind = Value::Kind::boolean;
        value.truth = truth;
        value.text = word;
        leaf(value);
      }
      ++s;
      goto after_value;
    }
    case 'n':
      if (std::memcmp(text + *s, "null", 4) != 0 || !ends_scalar(text[*s + 4])) return false;
      ++s;
      goto after_value;
    default: {
      const char* const begin = text + *s;
      const char* const end = number_end(begin);
      if (end == nullptr || !ends_scalar(*end)) return false;
      if (kAllLeaves || paths.wants_leaf(spot.place)) {
        Value value;
        value.kind = Value::Kind::number;
        value.text = {begin, static_cast<size_t>(end - begin)};
        value.number = to_number(value.text);
        leaf(value);
      }
      ++s;
      goto after_value;
    }
  }

key : {
  if (text[*s] != '"' || text[s[1]] != ':') return false;
  const char* const begin = text + *s + 1;
  std::string_view name;
  const KeyMemory::Key& expected = lane.memory.expected();
  if (expected.from == top->place && expected.matches(begin)) {
    name = {begin, expected.length};
    spot.place = expected.to;
    lane.memory.confirm();
  } else {
    const char* const end = string_end(s);
    if (*end != '"' || end < begin) return false;
    name = unescaped(begin, end);
    spot.place = find_place(lane, top->place, name, name.data() == begin);
  }
  if (name.size() > limits.max_key_bytes || ++lane.keys > limits.max_event_keys) return false;
  spot.path_bytes = top->path_bytes + name.size() + 1;
  lane.path_bytes += spot.path_bytes;
  if (lane.path_bytes > kPathBytesFactor * limits.max_event_bytes) return false;
  if constexpr (kAllLeaves) name_leaf(lane, spot, *top, name);
  spot.named = true;
  s += 2;
  goto value;
}

after_value:
  if (top->array) {
    if (text[*s] == ',') {
      if (++top->elements > limits.max_array_length) return false;
      ++s;
      spot = *top;
      goto value;
    }
    if (text[*s] != ']') return false;
  } else {
    if (text[*s] == ',') {
      ++s;
      goto key;
    }
    if (text[*s] != '}') return false;
  }

close:
  for (uint32_t i = 0; i < top->nested_count; ++i) {
    std::string_view& object = event.nested_[top->nested_first + i].json;
    object = {object.data(), static_cast<size_t>(text + *s + 1 - object.data())};
  }
  --top;
  if (top == lane.frames.data()) return s == last;
  if (s == last) return false;
  ++s;
  goto after_value;
}

bool Decoder::Impl::read(Lane& lane, std::string_view json, Place place, std::string_view path, bool named) {
  Event& event = lane.event;
  event.fields_.clear();
  event.values_.clear();
  event.nested_.clear();
  event.leaves_.clear();
  event.json_ = json;
  event.identity_conflict_ = false;
  lane.last_value.clear();
  lane.paths.clear();
  lane.alternates.clear();
  lane.keys = 0;
  lane.memory.begin_event();
  lane.path_bytes = 0;
  if (json.empty() || json.size() > std::min(limits.max_event_bytes, kLargestRecord)) return false;
  if (!reserve(lane, json.size())) return false;
  lane.text_end = lane.text.get();
  const auto* const bytes = reinterpret_cast<const uint8_t*>(json.data());
  if (lane.stage1->stage1(bytes, json.size(), simdjson::stage1_mode::regular) != simdjson::SUCCESS) return false;
  if (!lane.escapes.scan(json)) return false;
  return fields->all_leaves() ? walk<true>(lane, json, place, path, named)
                              : walk<false>(lane, json, place, path, named);
}

Decoder::Decoder(std::shared_ptr<const FieldTable> fields, EventLimits limits)
    : impl_(std::make_unique<Impl>(std::move(fields), limits)) {}
Decoder::~Decoder() = default;
Decoder::Decoder(Decoder&&) noexcept = default;
Decoder& Decoder::operator=(Decoder&&) noexcept = default;

const Event* Decoder::decode(std::string_view json) {
  Impl::Lane& lane = impl_->lane(0);
  const bool well_formed = impl_->read(lane, json, FieldPaths::kRoot, {}, false);
  if (well_formed && !lane.event.identity_conflict_) return &lane.event;
  // Rare: say what is wrong and where; or tell two spellings of an identity from one that is given twice.
  std::optional<Refusal> refusal = examine(json, impl_->limits);
  if (well_formed && !refusal) return &lane.event;
  impl_->refusal = refusal ? *std::move(refusal) : Refusal{"not-json", "not well-formed", 0};
  return nullptr;
}

const Refusal& Decoder::refusal() const {
  return impl_->refusal;
}

const EventLimits& Decoder::limits() const {
  return impl_->limits;
}

const Event* Decoder::decode_nested(const NestedObject& object, uint32_t depth) {
  if (object.path >= impl_->fields->nested_paths().size()) return nullptr;
  Impl::Lane& lane = impl_->lane(size_t{depth} + 1);
  const std::string& path = impl_->fields->nested_paths()[object.path];
  if (!impl_->read(lane, object.json, impl_->paths.nested_place(object.path), path, true)) {
    impl_->refusal = Refusal{"not-json", "not the bytes of a nested object", 0};
    return nullptr;
  }
  return &lane.event;
}

}  // namespace fb
