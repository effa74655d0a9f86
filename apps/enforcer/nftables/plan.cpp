#include "apps/enforcer/nftables/plan.h"

#include <algorithm>
#include <iterator>

namespace fb::agent {
namespace {

void fill_set(Transaction& transaction, const std::string& table, const SetContent& set) {
  transaction.add_elements(table, set.name, set.keys, set.interval, true);
}

void add_set(Transaction& transaction, const std::string& table, const SetContent& set, const TableState& expected) {
  const auto at = expected.set_attributes.find(set.name);
  transaction.add_set(table, set.name, at == expected.set_attributes.end() ? "" : at->second);
}

void add_chains(Transaction& transaction, const std::string& table, TableKind kind, const std::string& device) {
  for (const Chain& chain : chains_of(kind)) transaction.add_chain(table, chain.name, hook_of(chain, device));
}

void fill_chains(Transaction& transaction, const std::string& table, TableKind kind, const TableState& expected) {
  for (const Chain& chain : chains_of(kind)) {
    for (const auto& rule : expected.chains.at(chain.name).rules) transaction.add_rule(table, chain.name, rule);
  }
}

bool same_set(const TableState& actual, const TableState& expected, const std::string& name) {
  const auto a = actual.set_sorts.find(name);
  const auto b = expected.set_sorts.find(name);
  return a != actual.set_sorts.end() && b != expected.set_sorts.end() && a->second == b->second;
}

Transaction make_anew(const std::string& table, const WantedTable& want, const Aim& aim) {
  Transaction transaction;
  transaction.remove_table(table);
  transaction.append(make_sets(table, want.kind, aim.sets, aim.reference));
  transaction.append(make_chains(table, want.kind, want.device, aim.reference));
  return transaction;
}

// What changes a table's chains, where the order has it.
void put_chains(Work& work, TableKind kind, Transaction transaction) {
  if (kind == TableKind::inet) {
    work.inet_chains = std::move(transaction);
  } else {
    work.egress_chains.push_back(std::move(transaction));
  }
}

// What may be in the kernel already where a set is made.
enum class Found : uint8_t { nothing, anything };

Transaction sets_of(const std::string& table, TableKind kind, const std::vector<SetContent>& sets,
                    const Reference& reference, Found found) {
  Transaction transaction;
  transaction.add_table(table);
  for (const auto& counter : counters_of(kind)) transaction.add_counter(table, counter);
  for (const SetContent& set : sets) {
    add_set(transaction, table, set, reference.tables.at(kind));
    if (found == Found::anything) transaction.flush_set(table, set.name);
    fill_set(transaction, table, set);
  }
  return transaction;
}

void put_sets(Work& work, TableKind kind, Transaction transaction) {
  if (kind == TableKind::inet) {
    work.sets.append(std::move(transaction));
  } else {
    work.egress_sets.push_back(std::move(transaction));
  }
}

}  // namespace

Transaction make_sets(const std::string& table, TableKind kind, const std::vector<SetContent>& sets,
                      const Reference& reference) {
  return sets_of(table, kind, sets, reference, Found::nothing);
}

Transaction make_chains(const std::string& table, TableKind kind, const std::string& device,
                        const Reference& reference) {
  Transaction transaction;
  add_chains(transaction, table, kind, device);
  fill_chains(transaction, table, kind, reference.tables.at(kind));
  return transaction;
}

Transaction force_sets(const std::string& table, TableKind kind, const std::vector<SetContent>& sets,
                       const Reference& reference) {
  return sets_of(table, kind, sets, reference, Found::anything);
}

Transaction force_chains(const std::string& table, TableKind kind, const std::string& device,
                         const Reference& reference) {
  Transaction transaction;
  add_chains(transaction, table, kind, device);
  for (const Chain& chain : chains_of(kind)) transaction.flush_chain(table, chain.name);
  fill_chains(transaction, table, kind, reference.tables.at(kind));
  return transaction;
}

Transaction update_set(const std::string& table, const SetContent& set, const std::vector<KeyRange>* known) {
  Transaction transaction;
  if (known == nullptr) {
    transaction.flush_set(table, set.name);
    fill_set(transaction, table, set);
    return transaction;
  }
  std::vector<KeyRange> gone;
  std::vector<KeyRange> come;
  std::set_difference(known->begin(), known->end(), set.keys.begin(), set.keys.end(), std::back_inserter(gone));
  std::set_difference(set.keys.begin(), set.keys.end(), known->begin(), known->end(), std::back_inserter(come));
  transaction.delete_elements(table, set.name, std::move(gone), set.interval);
  transaction.add_elements(table, set.name, std::move(come), set.interval, false);
  return transaction;
}

Transaction mend_table(const std::string& table, const TableState& actual, const WantedTable& wanted,
                       const Reference& reference, const std::vector<SetContent>& sets) {
  const TableState& expected = reference.tables.at(wanted.kind);
  const auto chains = chains_of(wanted.kind);
  Transaction transaction;
  transaction.add_table(table);  // wakes one that sleeps
  for (const auto& [name, unused] : actual.chains) transaction.flush_chain(table, name);
  for (const auto& [name, state] : actual.chains) {
    const auto at = std::find_if(chains.begin(), chains.end(), [&, &n = name](const Chain& c) { return c.name == n; });
    if (at == chains.end() || state.hook != hook_of(*at, wanted.device)) transaction.delete_chain(table, name);
  }
  // No rule is left that could use them.
  for (const auto& [name, sort] : actual.set_sorts) {
    if (!name.starts_with("__") && !same_set(actual, expected, name)) transaction.delete_set(table, name);
  }
  for (const auto& [name, packets] : actual.counters) {
    if (!expected.counters.contains(name)) transaction.delete_counter(table, name);
  }
  for (const OtherObject& object : actual.strange) transaction.delete_object(table, object);
  // One that is there would begin at zero again.
  for (const auto& counter : counters_of(wanted.kind)) {
    if (!actual.counters.contains(counter)) transaction.add_counter(table, counter);
  }
  for (const SetContent& set : sets) {
    if (!same_set(actual, expected, set.name)) {
      add_set(transaction, table, set, expected);
      fill_set(transaction, table, set);
    } else if (const auto at = actual.sets.find(set.name); at == actual.sets.end() || at->second != set.keys) {
      transaction.append(update_set(table, set, nullptr));
    }
  }
  transaction.append(make_chains(table, wanted.kind, wanted.device, reference));
  return transaction;
}

bool Work::empty() const {
  return sets.empty() && inet_chains.empty() && egress_sets.empty() && egress_chains.empty() && stale.empty();
}

Work plan(const KernelState& state, bool exact, const Aim& aim) {
  Work work;
  for (const auto& [table, want] : aim.tables) {
    const auto at = state.find(table);
    if (at == state.end()) {
      put_sets(work, want.kind, make_sets(table, want.kind, aim.sets, aim.reference));
      put_chains(work, want.kind, make_chains(table, want.kind, want.device, aim.reference));
    } else if (rules_difference(at->second, want, aim.reference).empty()) {
      for (const SetContent* set : set_differences(at->second, aim.sets)) {
        const auto held = at->second.sets.find(set->name);
        const bool known = exact && held != at->second.sets.end();
        work.sets.append(update_set(table, *set, known ? &held->second : nullptr));
      }
    } else if (aim.last_resort) {
      // Whoever changed it found a way that can't be undone piece by piece. In one transaction: there is no moment
      // without rules, though a packet in flight may be dropped.
      put_chains(work, want.kind, make_anew(table, want, aim));
    } else {
      put_chains(work, want.kind, mend_table(table, at->second, want, aim.reference, aim.sets));
    }
  }
  for (const auto& [table, unused] : state) {
    if (is_stale(table, aim.tables, aim.links)) work.stale.remove_table(table);
  }
  return work;
}

Work plan_blind(const Aim& aim) {
  Work work;
  for (const auto& [table, want] : aim.tables) {
    if (aim.last_resort) {
      put_chains(work, want.kind, make_anew(table, want, aim));
    } else {
      put_sets(work, want.kind, force_sets(table, want.kind, aim.sets, aim.reference));
      put_chains(work, want.kind, force_chains(table, want.kind, want.device, aim.reference));
    }
  }
  return work;
}

Transaction removal(const std::vector<std::string>& tables) {
  Transaction transaction;
  for (const std::string& table : tables) {
    if (is_our_table(table)) transaction.remove_table(table);
  }
  return transaction;
}

}  // namespace fb::agent
