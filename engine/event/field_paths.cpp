#include "engine/event/field_paths.h"

#include <algorithm>
#include <map>
#include <utility>

namespace fb {
namespace {

// Ways of more segments than this are followed segment by segment: a rule with a thousand dots costs no million
// entries.
constexpr uint32_t kLongestWay = 6;

void add_once(std::vector<FieldIx>& list, FieldIx field) {
  if (std::find(list.begin(), list.end(), field) == list.end()) list.push_back(field);
}

bool strictly_below(std::string_view path, std::string_view ancestor) {
  return path.size() > ancestor.size() && path.starts_with(ancestor) && path[ancestor.size()] == '.';
}

}  // namespace

struct FieldPaths::Builder {
  struct Draft {
    uint32_t parent = kMissing;
    std::string segment;
    std::vector<FieldIx> values;
    std::vector<FieldIx> above;
    std::vector<uint32_t> nested;
    bool has_children = false;
  };

  const FieldTable& table;
  std::vector<Draft> drafts{1};
  std::map<std::pair<uint32_t, std::string>, uint32_t> children{};

  uint32_t node(std::string_view path) {
    uint32_t at = kRoot;
    for (size_t begin = 0;;) {
      const size_t dot = path.find('.', begin);
      std::string segment(path.substr(begin, dot == std::string_view::npos ? dot : dot - begin));
      const auto [it, fresh] = children.try_emplace({at, segment}, static_cast<uint32_t>(drafts.size()));
      drafts[at].has_children = true;
      if (fresh) {
        Draft draft;
        draft.parent = at;
        draft.segment = std::move(segment);
        drafts.push_back(std::move(draft));
      }
      at = it->second;
      if (dot == std::string_view::npos) return at;
      begin = dot + 1;
    }
  }

  // The path itself, and its other spellings through renamings of it or of what it lies below.
  std::vector<uint32_t> spellings(const std::string& path) {
    std::vector<uint32_t> places{node(path)};
    for (const auto& [from, to] : table.renames()) {
      if (path == to || strictly_below(path, to)) places.push_back(node(from + path.substr(to.size())));
    }
    return places;
  }

  void build() {
    for (uint32_t i = 0; i < table.size(); ++i) {
      for (const uint32_t at : spellings(table.name(FieldIx{i}))) add_once(drafts[at].values, FieldIx{i});
    }
    for (uint32_t i = 0; i < table.nested_paths().size(); ++i) {
      for (const uint32_t at : spellings(table.nested_paths()[i])) {
        auto& nested = drafts[at].nested;
        if (std::find(nested.begin(), nested.end(), i) == nested.end()) nested.push_back(i);
      }
    }
    // A renamed leaf also lies below what its new name lies below.
    for (const auto& [from, to] : table.renames()) {
      for (uint32_t i = 0; i < table.size(); ++i) {
        if (strictly_below(to, table.name(FieldIx{i}))) add_once(drafts[node(from)].above, FieldIx{i});
      }
    }
  }
};

FieldPaths::FieldPaths(const FieldTable& table) {
  Builder builder{table};
  builder.build();
  const auto& drafts = builder.drafts;

  const auto store = [this](const std::vector<FieldIx>& fields) {
    const List l{static_cast<uint32_t>(pool_.size()), static_cast<uint32_t>(fields.size())};
    pool_.insert(pool_.end(), fields.begin(), fields.end());
    return l;
  };
  nodes_.resize(drafts.size());
  for (size_t i = 0; i < drafts.size(); ++i) {  // a parent comes before its children
    const Builder::Draft& draft = drafts[i];
    Node& n = nodes_[i];
    std::vector<FieldIx> above = draft.above;
    if (draft.parent != kMissing) {
      for (const FieldIx f : list(nodes_[draft.parent].deeper)) add_once(above, f);
    }
    std::vector<FieldIx> deeper = above;
    for (const FieldIx f : draft.values) add_once(deeper, f);
    n.values = store(draft.values);
    n.above = store(above);
    n.deeper = store(deeper);
    n.nested = {static_cast<uint32_t>(nested_pool_.size()), static_cast<uint32_t>(draft.nested.size())};
    nested_pool_.insert(nested_pool_.end(), draft.nested.begin(), draft.nested.end());
    n.has_children = draft.has_children;
    n.wants_leaf = !draft.values.empty() || !above.empty();

    std::string way;
    uint32_t from = static_cast<uint32_t>(i);
    for (uint32_t steps = 0; steps < kLongestWay && drafts[from].parent != kMissing; ++steps) {
      way = steps == 0 ? drafts[from].segment : drafts[from].segment + "." + way;
      from = drafts[from].parent;
      Entry entry;
      entry.from = from;
      entry.to = static_cast<uint32_t>(i);
      entry.text = static_cast<uint32_t>(text_.size());
      entry.length = static_cast<uint32_t>(way.size());
      entries_.push_back(entry);
      text_ += way;
    }
  }
  text_.append(8, '\0');

  for (const std::string& path : table.nested_paths()) nested_places_.push_back(builder.node(path));

  size_t capacity = 64;
  while (capacity < entries_.size() * 4) capacity *= 2;
  slots_.resize(capacity);
  mask_ = capacity - 1;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    const uint64_t h = hash(entry.from, text_.data() + entry.text, entry.length);
    size_t at = h & mask_;
    while (slots_[at].entry != kMissing) at = (at + 1) & mask_;
    slots_[at] = {static_cast<uint32_t>(h >> 32), static_cast<uint32_t>(i)};
  }
}

FieldPaths::Place FieldPaths::walk_segments(Place place, std::string_view key) const {
  for (size_t begin = 0;;) {
    const size_t dot = key.find('.', begin);
    const uint32_t next = look_up(place, key.substr(begin, dot == std::string_view::npos ? dot : dot - begin));
    if (next == kMissing) return place | kOff;
    place = next;
    if (dot == std::string_view::npos) return place;
    begin = dot + 1;
  }
}

}  // namespace fb
