// Carries a transaction out: all its commands as one netlink batch, in one system call. Nothing is read before, nothing
// is remembered, and no number of the rules' state goes with it: whoever changes other rules meanwhile, however fast,
// can neither make it fail nor hold it up. Costs about a microsecond for each element and the kernel's commit, some
// milliseconds. The kernel's answer is there when the call returns. Fails as not_found, as unsupported (the kernel
// says that it does not know such a thing) or as unavailable; the message names the command that was refused.
#pragma once

#include <string>
#include <vector>

#include "apps/enforcer/nftables/transaction.h"
#include "engine/base/result.h"

namespace fb::agent {

// For the network namespace of the calling thread.
Status commit(const Transaction& transaction);
// The kernel judges it, then forgets it.
Status check(const Transaction& transaction);

struct Batch {
  std::string bytes;
  std::vector<size_t> command_of;  // of the message with sequence number i + 1: the command's place
};
enum class BatchEnd { commit, forget };
// Elements are spread over several messages: a list of them can hold 64 KiB.
Batch encode(const Transaction& transaction, BatchEnd end);

}  // namespace fb::agent
