#include "apps/enforcer/nftables/run_nft.h"

#include <fcntl.h>
#include <nftables/libnftables.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "apps/enforcer/nftables/netlink.h"

namespace fb::agent {
namespace {

constexpr const char* kDone = "done";

// What nft said, or kDone.
std::string run_here(const std::string& commands) {
  // libnftables ends the process when it gets no socket, so it is tried before.
  if (const auto tried = Netlink::open(NETLINK_NETFILTER); !tried) return tried.error().describe();
  nft_ctx* context = nft_ctx_new(NFT_CTX_DEFAULT);
  if (context == nullptr) return "nft: no context";
  if (nft_ctx_buffer_output(context) != 0 || nft_ctx_buffer_error(context) != 0) return "nft: no buffers";
  if (nft_run_cmd_from_buffer(context, commands.c_str()) == 0) return kDone;
  const char* said = nft_ctx_get_error_buffer(context);
  std::string text = said == nullptr ? "" : said;
  // The first line names the fault; what follows repeats the command, which can be very long.
  text = text.substr(0, text.find('\n')).substr(0, 300);
  return "nft: " + (text.empty() ? "the command failed" : text);
}

[[noreturn]] void be_the_child(const std::string& commands, int answer, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  const std::string said = run_here(commands);
  // Shorter than what a pipe takes at once.
  _exit(write(answer, said.data(), said.size()) == static_cast<ssize_t>(said.size()) ? 0 : 1);
}

}  // namespace

Status run_nft(const std::string& commands, std::chrono::milliseconds at_most) {
  using Clock = std::chrono::steady_clock;
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return fail(ErrorCode::unavailable, "nft: no pipe", "", Retry::yes);
  const pid_t parent = getpid();
  const pid_t child = fork();
  const int fork_error = errno;
  if (child == 0) be_the_child(commands, ends[1], parent);
  close(ends[1]);
  std::string said;
  bool ended = child < 0;
  for (const auto end = Clock::now() + at_most; !ended;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd fd{ends[0], POLLIN, 0};
    if (left <= 0) break;
    if (poll(&fd, 1, static_cast<int>(left)) <= 0) continue;
    std::array<char, 512> buffer{};
    const ssize_t length = read(ends[0], buffer.data(), buffer.size());
    if (length > 0) said.append(buffer.data(), static_cast<size_t>(length));
    ended = length == 0 || (length < 0 && errno != EINTR);
  }
  close(ends[0]);
  if (child < 0)
    return fail(ErrorCode::unavailable, std::string("nft: no process: ") + std::strerror(fork_error), "", Retry::yes);
  if (!ended) kill(child, SIGKILL);
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (!ended) {
    return fail(ErrorCode::timeout, "nft: somebody changes rules all the time, their form could not be learned", "",
                Retry::yes);
  }
  if (said == kDone) return {};
  if (said.empty()) return fail(ErrorCode::unavailable, "nft: it ended without an answer", "", Retry::yes);
  return fail(ErrorCode::unavailable, said);
}

}  // namespace fb::agent
