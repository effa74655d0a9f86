#include "apps/enforcer/nftables/listing.h"

#include <charconv>

namespace fb::agent {
namespace {

std::string_view trimmed(std::string_view line) {
  while (!line.empty() && (line.front() == '\t' || line.front() == ' ')) line.remove_prefix(1);
  while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.remove_suffix(1);
  return line;
}

template <class OnLine>
void each_line(std::string_view text, OnLine on_line) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = trimmed(text.substr(0, end));
    if (!line.empty() && line.front() != '#') on_line(line);
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

bool opens(std::string_view line) {
  return line.ends_with(" {");
}

bool is_counter(const std::string& key) {
  return key.starts_with("counter ");
}

}  // namespace

std::map<std::string, Listing> parse_listing(std::string_view text) {
  std::map<std::string, Listing> tables;
  Listing* table = nullptr;
  Block* block = nullptr;
  int inner = 0;  // braces within a block
  each_line(text, [&](std::string_view line) {
    if (table == nullptr) {
      if (line.starts_with("table ") && opens(line)) {
        table = &tables[std::string(line.substr(6, line.size() - 8))];
      }
    } else if (block == nullptr) {
      if (line == "}") {
        table = nullptr;
      } else if (opens(line)) {
        block = &table->blocks[std::string(line.substr(0, line.size() - 2))];
        inner = 0;
      } else {
        table->head.emplace_back(line);
      }
    } else if (line == "}" && inner == 0) {
      block = nullptr;
    } else if (line.starts_with("type ") && line.find(" hook ") != std::string_view::npos) {
      block->hook = line;
    } else {
      if (opens(line)) ++inner;
      if (line == "}") --inner;
      block->lines.emplace_back(line);
    }
  });
  return tables;
}

std::vector<std::string> parse_tables(std::string_view text) {
  std::vector<std::string> names;
  each_line(text, [&](std::string_view line) {
    if (line.starts_with("table ")) names.emplace_back(line.substr(6));
  });
  return names;
}

int64_t counted_packets(const Listing& listing) {
  int64_t sum = 0;
  for (const auto& [key, block] : listing.blocks) {
    if (!is_counter(key)) continue;
    for (std::string_view line : block.lines) {
      if (!line.starts_with("packets ")) continue;
      line.remove_prefix(8);
      int64_t packets = 0;
      std::from_chars(line.data(), line.data() + line.size(), packets);
      sum += packets;
    }
  }
  return sum;
}

std::string normalised(const std::string& table, const Listing& listing) {
  std::string text = "table " + table + "\n";
  for (const auto& line : listing.head) text += line + "\n";
  for (const auto& [key, block] : listing.blocks) {
    text += key + "\n" + block.hook + "\n";
    if (is_counter(key)) continue;
    for (const auto& line : block.lines) text += line + "\n";
  }
  return text;
}

}  // namespace fb::agent
