#include "engine/respond/kill_switch.h"

#include <sys/stat.h>

#include <cerrno>

namespace fb {
namespace {

// Anything but a clear "no such file" counts as the file being there.
bool stop_file_present(const std::string& path) {
  if (path.empty()) return false;
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) return true;
  return errno != ENOENT && errno != ENOTDIR;
}

}  // namespace

Status KillSwitch::refresh(ActionStore& store) {
  if (stop_file_present(stop_file_)) {
    on_.store(true, std::memory_order_release);
    return {};
  }
  Result<bool> kept = store.kill_switch();
  on_.store(!kept || *kept, std::memory_order_release);
  if (!kept) return tl::unexpected<Error>(std::move(kept).error());
  return {};
}

}  // namespace fb
