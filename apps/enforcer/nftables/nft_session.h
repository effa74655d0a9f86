// Runs nft commands inside this process (libnftables; no program is started). Not thread-safe; one for each operation,
// so that nothing cached outlives it. A run of several commands is one transaction: all of them or none. Only writes:
// what the kernel holds is read by table_reader, which libnftables does at the cost of all tables there are. Costs a
// fraction of a millisecond to open, a run from one millisecond on.
#pragma once

#include <memory>
#include <string>

#include "engine/base/result.h"

struct nft_ctx;

namespace fb::agent {

class NftSession {
 public:
  // unavailable when the kernel gives no netfilter socket.
  static Result<NftSession> open();

  // One transaction. The error is nft's own first line: not_found for "No such file or directory", unavailable else.
  Status run(const std::string& commands);
  // The kernel judges the transaction, then forgets it.
  Status check(const std::string& commands);

 private:
  struct Free {
    void operator()(nft_ctx* context) const;
  };
  explicit NftSession(nft_ctx* context) : context_(context) {}
  std::unique_ptr<nft_ctx, Free> context_;
};

}  // namespace fb::agent
