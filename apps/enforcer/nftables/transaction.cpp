#include "apps/enforcer/nftables/transaction.h"

#include <linux/netfilter/nf_tables.h>

#include <iterator>

namespace fb::agent {
namespace {

using Kind = Command::Kind;

const char* words_of(Kind kind) {
  switch (kind) {
    case Kind::add_table:
    case Kind::ensure_table:
      return "add table";
    case Kind::delete_table:
      return "delete table";
    case Kind::add_counter:
      return "add counter";
    case Kind::delete_object:
      return "delete object";
    case Kind::delete_flowtable:
      return "delete flowtable";
    case Kind::add_set:
      return "add set";
    case Kind::delete_set:
      return "delete set";
    case Kind::flush_set:
      return "flush set";
    case Kind::add_elements:
      return "add element";
    case Kind::delete_elements:
      return "delete element";
    case Kind::add_chain:
      return "add chain";
    case Kind::flush_chain:
      return "flush chain";
    case Kind::delete_chain:
      return "delete chain";
    case Kind::add_rule:
      return "add rule";
  }
  return "command";
}

}  // namespace

std::string describe(const Command& command) {
  return std::string(words_of(command.kind)) + " " + command.table + (command.name.empty() ? "" : " ") + command.name;
}

void Transaction::add_table(const std::string& table) {
  commands_.push_back({.kind = Kind::add_table, .table = table});
}

void Transaction::delete_table(const std::string& table) {
  commands_.push_back({.kind = Kind::delete_table, .table = table});
}

void Transaction::remove_table(const std::string& table) {
  commands_.push_back({.kind = Kind::ensure_table, .table = table});
  delete_table(table);
}

void Transaction::add_counter(const std::string& table, const std::string& name) {
  commands_.push_back({.kind = Kind::add_counter, .table = table, .name = name});
}

void Transaction::delete_object(const std::string& table, const OtherObject& object) {
  commands_.push_back({.kind = object.flowtable ? Kind::delete_flowtable : Kind::delete_object,
                       .table = table,
                       .name = object.name,
                       .object_type = object.type});
}

void Transaction::delete_counter(const std::string& table, const std::string& name) {
  delete_object(table, {.name = name, .type = NFT_OBJECT_COUNTER});
}

void Transaction::add_set(const std::string& table, const std::string& set, const std::string& attributes) {
  commands_.push_back({.kind = Kind::add_set, .table = table, .name = set, .bytes = attributes});
}

void Transaction::delete_set(const std::string& table, const std::string& set) {
  commands_.push_back({.kind = Kind::delete_set, .table = table, .name = set});
}

void Transaction::flush_set(const std::string& table, const std::string& set) {
  commands_.push_back({.kind = Kind::flush_set, .table = table, .name = set});
}

void Transaction::add_elements(const std::string& table, const std::string& set, std::vector<KeyRange> keys,
                               bool interval, bool to_empty) {
  if (keys.empty()) return;
  elements_ += keys.size();
  commands_.push_back({.kind = Kind::add_elements,
                       .table = table,
                       .name = set,
                       .keys = std::move(keys),
                       .interval = interval,
                       .to_empty = to_empty});
}

void Transaction::delete_elements(const std::string& table, const std::string& set, std::vector<KeyRange> keys,
                                  bool interval) {
  if (keys.empty()) return;
  elements_ += keys.size();
  commands_.push_back(
      {.kind = Kind::delete_elements, .table = table, .name = set, .keys = std::move(keys), .interval = interval});
}

void Transaction::add_chain(const std::string& table, const std::string& chain, const ChainHook& hook) {
  commands_.push_back({.kind = Kind::add_chain, .table = table, .name = chain, .hook = hook});
}

void Transaction::flush_chain(const std::string& table, const std::string& chain) {
  commands_.push_back({.kind = Kind::flush_chain, .table = table, .name = chain});
}

void Transaction::delete_chain(const std::string& table, const std::string& chain) {
  commands_.push_back({.kind = Kind::delete_chain, .table = table, .name = chain});
}

void Transaction::add_rule(const std::string& table, const std::string& chain, const std::string& expressions) {
  commands_.push_back({.kind = Kind::add_rule, .table = table, .name = chain, .bytes = expressions});
}

void Transaction::append(Transaction other) {
  elements_ += other.elements_;
  commands_.insert(commands_.end(), std::make_move_iterator(other.commands_.begin()),
                   std::make_move_iterator(other.commands_.end()));
}

}  // namespace fb::agent
