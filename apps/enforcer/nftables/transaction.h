// What is asked of the kernel's rules, as data: commands that take effect together or not at all. Pure; batch.h carries
// one out. Nothing here needs to know what the kernel holds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/enforcer/nftables/table_reader.h"

namespace fb::agent {

struct Command {
  enum class Kind : uint8_t {
    add_table,     // also wakes one that sleeps
    ensure_table,  // leaves one that is there as it is
    delete_table,
    add_counter,
    delete_object,  // of the sort `object_type`
    delete_flowtable,
    add_set,
    delete_set,
    flush_set,
    add_elements,
    delete_elements,
    add_chain,
    flush_chain,
    delete_chain,
    add_rule,  // behind those that are there
  };
  Kind kind = Kind::add_table;
  std::string table = {};           // "inet firebreak_iso"
  std::string name = {};            // of the chain, set, counter or object
  std::string bytes = {};           // a set's attributes, or a rule's expressions
  ChainHook hook = {};              // of add_chain; without a type: a chain that others jump to
  std::vector<KeyRange> keys = {};  // elements
  bool interval = false;            // of an interval set
  bool to_empty = false;            // the elements are the set's first
  uint32_t object_type = 0;         // NFT_OBJECT_*
};

// "add rule inet firebreak_iso output", for messages.
std::string describe(const Command& command);

class Transaction {
 public:
  void add_table(const std::string& table);
  void delete_table(const std::string& table);  // fails when there is none
  void remove_table(const std::string& table);  // whether it is there or not
  void add_counter(const std::string& table, const std::string& name);
  void delete_object(const std::string& table, const OtherObject& object);
  void delete_counter(const std::string& table, const std::string& name);
  // attributes: as the reference holds them.
  void add_set(const std::string& table, const std::string& set, const std::string& attributes);
  void delete_set(const std::string& table, const std::string& set);
  void flush_set(const std::string& table, const std::string& set);
  // to_empty: nothing is in the set when the command's turn comes.
  void add_elements(const std::string& table, const std::string& set, std::vector<KeyRange> keys, bool interval,
                    bool to_empty);
  void delete_elements(const std::string& table, const std::string& set, std::vector<KeyRange> keys, bool interval);
  void add_chain(const std::string& table, const std::string& chain, const ChainHook& hook);
  void flush_chain(const std::string& table, const std::string& chain);
  void delete_chain(const std::string& table, const std::string& chain);
  void add_rule(const std::string& table, const std::string& chain, const std::string& expressions);
  void append(Transaction other);

  const std::vector<Command>& commands() const { return commands_; }
  bool empty() const { return commands_.empty(); }
  size_t elements() const { return elements_; }  // that it adds and deletes: what it costs

 private:
  std::vector<Command> commands_;
  size_t elements_ = 0;
};

}  // namespace fb::agent
