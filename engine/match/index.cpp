#include "engine/match/index.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "engine/ir/typed.h"
#include "engine/match/hash.h"

namespace fb::match {

namespace {

using Kind = Atom::Kind;

constexpr size_t kMostKeyBytes = 8;  // heads and tails are keyed by at most so many bytes

uint64_t seed_of(uint32_t field, Kind kind, bool fold) {
  const uint64_t n = (uint64_t{field} << 8) | (static_cast<uint64_t>(kind) << 1) | (fold ? 1 : 0);
  return (n + 1) * 0x9E3779B97F4A7C15ULL;
}
// The seeds of heads and tails follow from the one of whole values, so that a look-up needs only that.
uint64_t head_seed(uint64_t seed, size_t length) {
  return seed + 0x51ED270B0B4725ULL * length;
}
uint64_t tail_seed(uint64_t seed, size_t length) {
  return seed ^ (0xA24BAED4963EE407ULL * length);
}

uint64_t key_of(const Atom& atom) {
  const uint64_t exact = seed_of(atom.field, Kind::exact, atom.fold);
  const size_t n = std::min(atom.bytes.size(), kMostKeyBytes);
  switch (atom.kind) {
    case Kind::prefix:
      return hash_bytes(std::string_view(atom.bytes).substr(0, n), head_seed(exact, n));
    case Kind::suffix:
      return hash_bytes(std::string_view(atom.bytes).substr(atom.bytes.size() - n), tail_seed(exact, n));
    default:
      return hash_bytes(atom.bytes, seed_of(atom.field, atom.kind, atom.fold));
  }
}

}  // namespace

Index::Range Index::add_rules(const std::vector<uint32_t>& rules) {
  Range out;
  out.begin = static_cast<uint32_t>(rules_.size());
  rules_.insert(rules_.end(), rules.begin(), rules.end());
  out.end = static_cast<uint32_t>(rules_.size());
  return out;
}

Index::Entry Index::add_entry(const Atom& atom, const std::vector<uint32_t>& rules) {
  const std::string& literal = atom.bytes;
  Entry out;
  out.literal = static_cast<uint32_t>(literals_.size());
  out.length = static_cast<uint32_t>(literal.size());
  literals_ += literal;
  if (literal.size() >= 4) {
    // A head's key is its beginning and a tail's its end.
    out.probe_at = atom.kind == Kind::suffix ? 0 : static_cast<uint32_t>(literal.size() - 4);
    out.probe = load4(literal.data() + out.probe_at);
  }
  out.rules = add_rules(rules);
  return out;
}

void Index::build(const std::vector<std::optional<GuardSet>>& guards, const FieldTable& fields) {
  *this = Index{};
  fields_.resize(fields.size());
  nested_.resize(fields.nested_paths().size());
  for (uint32_t f = 0; f < fields_.size(); ++f) {
    fields_[f].plain.seed = seed_of(f, Kind::exact, false);
    fields_[f].fold.seed = seed_of(f, Kind::exact, true);
  }

  // The rules of each distinct atom, in a fixed order so that the same rules always give the same index.
  const auto before = [](const Atom& a, const Atom& b) {
    return std::tie(a.field, a.kind, a.fold, a.bytes) < std::tie(b.field, b.kind, b.fold, b.bytes);
  };
  std::map<Atom, std::vector<uint32_t>, decltype(before)> waiting(before);
  for (uint32_t rule = 0; rule < guards.size(); ++rule) {
    if (!guards[rule]) {
      always_.push_back(rule);
      continue;
    }
    for (const auto& atom : *guards[rule]) waiting[atom].push_back(rule);
  }

  std::map<uint64_t, std::vector<Entry>> keyed;
  for (const auto& [atom, rules] : waiting) {
    if (atom.kind == Kind::nested) {
      nested_[atom.field] = add_rules(rules);
      continue;
    }
    Field& field = fields_[atom.field];
    TextLooks& looks = atom.fold ? field.fold : field.plain;
    field.used = true;
    const size_t n = std::min(atom.bytes.size(), kMostKeyBytes);
    switch (atom.kind) {
      case Kind::present:
        field.present = add_rules(rules);
        continue;
      case Kind::nested:
        continue;
      case Kind::part: {
        if (looks.parts == 0) {
          parts_.emplace_back();
          looks.parts = static_cast<uint32_t>(parts_.size());
        }
        Parts& parts = parts_[looks.parts - 1];
        parts.finder.add(atom.bytes, static_cast<uint32_t>(parts.rules.size()));
        parts.rules.push_back(add_rules(rules));
        continue;
      }
      case Kind::exact:
        looks.exact_lengths |= uint64_t{1} << std::min<size_t>(atom.bytes.size(), 63);
        break;
      case Kind::number: {
        field.numbers = true;
        const FieldType type = fields.type(FieldIx{atom.field});
        field.numbers_in_text |= type == FieldType::integer || type == FieldType::real;
        break;
      }
      case Kind::address:
        field.addresses = true;
        break;
      case Kind::word:
        field.words = true;
        break;
      case Kind::prefix:
        looks.prefix_keys = static_cast<uint8_t>(looks.prefix_keys | (1u << (n - 1)));
        break;
      case Kind::suffix:
        looks.suffix_keys = static_cast<uint8_t>(looks.suffix_keys | (1u << (n - 1)));
        break;
    }
    keyed[key_of(atom)].push_back(add_entry(atom, rules));
  }

  size_t size = 16;
  while (size < keyed.size() * 2) size *= 2;
  slots_.resize(size);
  for (const auto& [key, entries] : keyed) {
    size_t at = key & (size - 1);
    while (slots_[at].entries.end != 0) at = (at + 1) & (size - 1);
    slots_[at].key = key;
    slots_[at].entries.begin = static_cast<uint32_t>(entries_.size());
    entries_.insert(entries_.end(), entries.begin(), entries.end());
    slots_[at].entries.end = static_cast<uint32_t>(entries_.size());
  }
  for (auto& parts : parts_) parts.finder.freeze();
  for (auto& field : fields_) {
    field.any_look = field.numbers || field.addresses || field.words || field.plain.any() || field.fold.any();
  }
}

const Index::Slot* Index::find(uint64_t key) const {
  const size_t mask = slots_.size() - 1;
  for (size_t at = key & mask; slots_[at].entries.end != 0; at = (at + 1) & mask) {
    if (slots_[at].key == key) return &slots_[at];
  }
  return nullptr;
}

void Index::collect(const Event& event, JudgeScratch& scratch, Candidates& out, uint64_t& looked_up) const {
  for (const uint32_t rule : always_) out.add(rule);
  for (const FieldValues& values : event.fields()) {
    const uint32_t f = fb::index(values.field);
    const Field& field = fields_[f];
    if (!field.used) continue;
    touch(field.present, out);
    if (!field.any_look) continue;
    for (uint32_t at = values.first; at != Value::kEnd;) {
      const Value& value = event.value(at);
      ++looked_up;
      look(field, f, value, scratch, out);
      at = value.next;
    }
  }
  if (nested_.empty()) return;
  for (const NestedObject& object : event.nested()) touch(nested_[object.path], out);
}

void Index::look(const Field& field, uint32_t f, const Value& value, JudgeScratch& scratch, Candidates& out) const {
  const auto touch_key = [&](std::string_view bytes, Kind kind) {
    if (const Slot* slot = find(hash_bytes(bytes, seed_of(f, kind, false)))) {
      for (uint32_t e = slot->entries.begin; e < slot->entries.end; ++e) {
        if (literal(entries_[e]) == bytes) touch(entries_[e].rules, out);
      }
    }
  };
  look_text(field.plain, value.text, out);
  if (field.fold.any()) {
    ir::fold_case(value.text, scratch.folded);
    look_text(field.fold, scratch.folded, out);
  }
  if (field.numbers) {
    std::optional<Number> number;
    if (value.kind == Value::Kind::number) {
      number = value.number;
    } else if (field.numbers_in_text && value.kind == Value::Kind::string) {
      number = parse_number_text(value.text);
    }
    if (number) {
      char key[9];
      number_key(*number, key);
      touch_key({key, sizeof key}, Kind::number);
    }
  }
  if (field.addresses && value.kind == Value::Kind::string) {
    if (const auto address = ir::parse_address(value.text)) {
      touch_key({reinterpret_cast<const char*>(address->data()), address->size()}, Kind::address);
    }
  }
  if (field.words) {
    ir::for_each_word(value.text, scratch.word, [&](std::string_view word) { touch_key(word, Kind::word); });
  }
}

void Index::look_text(const TextLooks& looks, std::string_view text, Candidates& out) const {
  if ((looks.exact_lengths >> std::min<size_t>(text.size(), 63) & 1) != 0) {
    if (const Slot* slot = find(hash_bytes(text, looks.seed))) {
      for (uint32_t e = slot->entries.begin; e < slot->entries.end; ++e) touch(entries_[e].rules, out);
    }
  }
  const auto anchored = [&](uint8_t keys, bool head) {
    for (size_t n = 1; keys != 0 && n <= text.size(); ++n, keys = static_cast<uint8_t>(keys >> 1)) {
      if ((keys & 1) == 0) continue;
      const auto key_bytes = head ? text.substr(0, n) : text.substr(text.size() - n);
      const Slot* slot = find(hash_bytes(key_bytes, head ? head_seed(looks.seed, n) : tail_seed(looks.seed, n)));
      if (slot == nullptr) continue;
      for (uint32_t e = slot->entries.begin; e < slot->entries.end; ++e) {
        const Entry& entry = entries_[e];
        if (entry.length > text.size()) continue;
        if (stands_at(entry, head ? text.data() : text.data() + text.size() - entry.length)) touch(entry.rules, out);
      }
    }
  };
  if (looks.prefix_keys != 0) anchored(looks.prefix_keys, true);
  if (looks.suffix_keys != 0) anchored(looks.suffix_keys, false);
  if (looks.parts != 0) {
    const Parts& parts = parts_[looks.parts - 1];
    parts.finder.find(text, [&](uint32_t payload) {
      touch(parts.rules[payload], out);
      return false;
    });
  }
}

size_t Index::bytes() const {
  size_t out = fields_.size() * sizeof(Field) + nested_.size() * sizeof(Range) + rules_.size() * sizeof(uint32_t) +
               entries_.size() * sizeof(Entry) + slots_.size() * sizeof(Slot) + literals_.size();
  for (const auto& parts : parts_) out += parts.finder.bytes() + parts.rules.size() * sizeof(Range);
  return out;
}

}  // namespace fb::match
