#include "apps/enforcer/nftables/nft_session.h"

#include <nftables/libnftables.h>

#include "apps/enforcer/nftables/netlink.h"

namespace fb::agent {
namespace {

tl::unexpected<Error> nft_error(nft_ctx* context) {
  const char* said = nft_ctx_get_error_buffer(context);
  std::string text = said == nullptr ? "" : said;
  // The first line names the fault; what follows repeats the command, which can be very long.
  text = text.substr(0, text.find('\n')).substr(0, 300);
  if (text.empty()) text = "the command failed";
  const bool missing = text.find("No such file or directory") != std::string::npos;
  return fail(missing ? ErrorCode::not_found : ErrorCode::unavailable, "nft: " + text);
}

}  // namespace

void NftSession::Free::operator()(nft_ctx* context) const {
  nft_ctx_free(context);
}

Result<NftSession> NftSession::open() {
  // libnftables ends the process when it gets no socket, so it is tried before.
  FB_TRY_VOID(Netlink::open(NETLINK_NETFILTER));
  NftSession session(nft_ctx_new(NFT_CTX_DEFAULT));
  if (!session.context_) return fail(ErrorCode::unavailable, "nft: no context");
  nft_ctx* context = session.context_.get();
  if (nft_ctx_buffer_output(context) != 0 || nft_ctx_buffer_error(context) != 0) {
    return fail(ErrorCode::unavailable, "nft: no buffers");
  }
  return session;
}

Status NftSession::run(const std::string& commands) {
  nft_ctx* context = context_.get();
  const int result = nft_run_cmd_from_buffer(context, commands.c_str());
  if (result != 0) {
    auto error = nft_error(context);
    nft_ctx_get_output_buffer(context);
    return error;
  }
  return {};
}

Status NftSession::check(const std::string& commands) {
  nft_ctx_set_dry_run(context_.get(), true);
  auto status = run(commands);
  nft_ctx_set_dry_run(context_.get(), false);
  return status;
}

}  // namespace fb::agent
