// For tests that act as another user. In a chroot "/" is sometimes open to root alone; then nobody else finds any file,
// whatever that file's own rights are, and such a test would fail for a reason of its own.
#pragma once

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace fb::test {

// Where root's process finds "/" closed to others: it and its children go on walking through folders when they become
// another user. Elsewhere nothing is done. False: it was needed and could not be done.
inline bool walk_through_closed_root() {
  struct stat facts {};
  if (::stat("/", &facts) != 0) return false;
  if ((facts.st_mode & S_IXOTH) != 0 || ::geteuid() != 0) return true;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct rights[_LINUX_CAPABILITY_U32S_3] = {};
  if (::syscall(SYS_capget, &header, rights) != 0) return false;
  rights[0].inheritable |= 1u << CAP_DAC_READ_SEARCH;
  return ::syscall(SYS_capset, &header, rights) == 0 &&
         ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH, 0, 0) == 0 &&
         ::prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) == 0;
}

}  // namespace fb::test
