// What tests of the nftables backend choose; in service the defaults hold.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "apps/enforcer/backend.h"

namespace fb::agent {

struct NftablesOptions {
  bool use_egress = true;                       // false: as on a kernel without egress hooks
  bool read_back = true;                        // false: as when others change rules too fast for them to be read
  std::string lease_root = {};                  // where the DHCP clients' lease files are looked for; "" = the host's
  std::string reference_file = {};              // keeps the learned form of the rules; "" = learned at each start
  std::chrono::milliseconds learn_for{10'000};  // at most, at the start
};

Result<std::unique_ptr<IsolationBackend>> make_nftables_backend_with(const NftablesOptions& options);

}  // namespace fb::agent
