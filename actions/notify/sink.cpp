#include "actions/notify/sink.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/base/text.h"

namespace fb::notify {
namespace {

constexpr size_t kMaxSecretBytes = 64 << 10;

}  // namespace

Result<std::string> read_secret_file(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return fail(ErrorCode::not_found, std::string("can't read the file: ") + std::strerror(errno), path);
  struct Close {
    int fd;
    ~Close() { close(fd); }
  } const closer{fd};
  struct stat info {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    return fail(ErrorCode::invalid_argument, "a secret is kept in a plain file", path);
  }
  if ((info.st_mode & 0077) != 0) {
    return fail(ErrorCode::refused, "others may read this secret; chmod 600 makes it private", path);
  }
  std::string text(kMaxSecretBytes + 1, '\0');
  size_t size = 0;
  for (;;) {
    const ssize_t n = read(fd, text.data() + size, text.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(ErrorCode::io, std::string("can't read the file: ") + std::strerror(errno), path);
    if (n == 0) break;
    size += static_cast<size_t>(n);
    if (size > kMaxSecretBytes) return fail(ErrorCode::limit, "a secret has at most 64 KiB", path);
  }
  text.resize(size);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  if (text.empty()) return fail(ErrorCode::invalid_argument, "the file holds no secret", path);
  return text;
}

bool Subscription::wants(const Notification& n) const {
  if (n.kind == "test" || n.kind == "digest") return true;
  if (n.level < least) return false;
  return kinds.empty() || std::find(kinds.begin(), kinds.end(), n.kind) != kinds.end();
}

Result<std::vector<Subscription>> make_subscriptions(const SinkContext& context) {
  if (const Status good = net::check_address_rules(context.rules); !good) {
    Error e = good.error();
    e.context = "notifications.allow_private";
    return tl::unexpected<Error>(std::move(e));
  }
  std::vector<Subscription> out;
  for (const SinkEntry& entry : kSinks) {
    const std::string name(entry.name);
    auto sink = entry.make(context);
    if (!sink) {
      Error e = sink.error();
      e.context = e.context.empty() ? "notifications." + name : "notifications." + name + ": " + e.context;
      return tl::unexpected<Error>(std::move(e));
    }
    if (*sink == nullptr) continue;
    Subscription s{name, std::move(*sink), context.list(name + ".events"), Level::low};
    const std::string least = context.text(name + ".min_severity");
    if (!least.empty()) {
      const auto level = level_from(least);
      if (!level) {
        return fail(ErrorCode::invalid_argument, "a severity is low, medium, high or critical, not '" + least + "'",
                    "notifications." + name + ".min_severity");
      }
      s.least = *level;
    }
    std::vector<std::string_view> known;
    for (const Kind& k : all_kinds()) known.push_back(k.name);
    for (const std::string& kind : s.kinds) {
      if (find_kind(kind) != nullptr) continue;
      const std::string_view nearest = nearest_word(kind, known);
      return fail(ErrorCode::invalid_argument,
                  "there is no event '" + printable(kind) + "'" +
                      (nearest.empty() ? "" : "; did you mean '" + std::string(nearest) + "'?"),
                  "notifications." + name + ".events");
    }
    out.push_back(std::move(s));
  }
  return out;
}

}  // namespace fb::notify
