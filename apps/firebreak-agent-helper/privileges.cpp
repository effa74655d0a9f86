#include "apps/firebreak-agent-helper/privileges.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace fb::agent {
namespace {

constexpr int kKept[] = {CAP_NET_ADMIN, CAP_SETUID, CAP_SETGID, CAP_KILL, CAP_DAC_OVERRIDE};
constexpr int kHighest = 63;

tl::unexpected<Error> failed(const char* doing) {
  return fail(ErrorCode::io, std::string(doing) + ": " + std::strerror(errno));
}

bool is_kept(int capability) {
  for (const int kept : kKept) {
    if (kept == capability) return true;
  }
  return false;
}

}  // namespace

Status close_to_others() {
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) return failed("cannot switch core files off");
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return failed("cannot close the process to debuggers");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("cannot give up new privileges");
  return {};
}

Status drop_capabilities() {
  // The bounding set needs a capability that a confined helper has not; what it has is dropped below anyway.
  for (int capability = 0; capability <= kHighest; ++capability) {
    if (!is_kept(capability)) static_cast<void>(::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0));
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  if (::syscall(SYS_capget, &header, data) != 0) return failed("cannot read the capabilities");
  __user_cap_data_struct kept[_LINUX_CAPABILITY_U32S_3]{};
  for (const int capability : kKept) {
    const auto word = static_cast<size_t>(capability / 32);
    const uint32_t bit = 1u << (capability % 32);
    kept[word].permitted |= data[word].permitted & bit;
  }
  for (auto& word : kept) word.effective = word.permitted;
  if (::syscall(SYS_capset, &header, kept) != 0) return failed("cannot give up capabilities");
  return {};
}

}  // namespace fb::agent
