#include "apps/enforcer/nftables/kept_reference.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

#include "apps/enforcer/durable_file.h"
#include "engine/base/digest.h"

namespace fb::agent {
namespace {

constexpr size_t kMaxBytes = 1u << 20;
constexpr TableKind kKinds[] = {TableKind::inet, TableKind::egress_ethernet, TableKind::egress_bare};

tl::unexpected<Error> corrupt(const char* what) {
  return fail(ErrorCode::corrupt, std::string("the kept form of the rules ") + what);
}

// The release's name alone can stay the same over an update of the kernel.
std::string key_of_this_host() {
  utsname system{};
  if (uname(&system) != 0) return "";
  std::string key = std::string(system.release) + "\n" + system.version + "\n" + system.machine + "\n" + FB_VERSION;
  for (const TableKind kind : kKinds) key += "\n" + learning_text("inet any", kind);
  return key;
}

std::string digest_with(const std::string& key, std::string_view body) {
  return hex(sha256_parts({key, body}));
}

void put(std::string& body, const std::string& part) {
  body += std::to_string(part.size()) + ":" + part;
}

// False when there is no further part.
bool take(std::string_view& body, std::string& part) {
  size_t length = 0;
  const auto [end, error] = std::from_chars(body.data(), body.data() + body.size(), length);
  const auto digits = static_cast<size_t>(end - body.data());
  if (error != std::errc() || digits >= body.size() || *end != ':' || body.size() - digits - 1 < length) return false;
  part = body.substr(digits + 1, length);
  body.remove_prefix(digits + 1 + length);
  return true;
}

}  // namespace

// What a table of each kind has is known; only how the kernel holds it is told, in that order.
std::string encode_reference(const Reference& reference, const std::string& key) {
  std::string body;
  for (const TableKind kind : kKinds) {
    const TableState& table = reference.tables.at(kind);
    for (const Chain& chain : chains_of(kind)) {
      for (const auto& rule : table.chains.at(chain.name).rules) put(body, rule);
    }
    for (const SetContent& set : set_contents(Cut{}, {})) {
      put(body, table.set_sorts.at(set.name));
      put(body, table.set_attributes.at(set.name));
    }
  }
  return digest_with(key, body) + "\n" + body;
}

Result<Reference> decode_reference(const std::string& text, const std::string& key) {
  const size_t line = text.find('\n');
  if (line == std::string::npos) return corrupt("is cut off");
  std::string_view body = std::string_view(text).substr(line + 1);
  if (text.substr(0, line) != digest_with(key, body)) return corrupt("is of another kernel or version, or damaged");
  Reference reference;
  reference.egress = true;
  bool all = true;
  for (const TableKind kind : kKinds) {
    TableState& table = reference.tables[kind];
    for (const Chain& chain : chains_of(kind)) {
      auto& rules = table.chains[chain.name].rules;
      rules.resize(chain.rules.size());
      for (auto& rule : rules) all = all && take(body, rule);
    }
    for (const SetContent& set : set_contents(Cut{}, {})) {
      all = all && take(body, table.set_sorts[set.name]) && take(body, table.set_attributes[set.name]);
    }
    for (const auto& counter : counters_of(kind)) table.counters[counter] = 0;
    all = all && incomplete(table, kind).empty();
  }
  if (!all || !body.empty()) return corrupt("does not have the parts that it must have");
  return reference;
}

Status keep_reference(const std::string& path, const Reference& reference) {
  if (!reference.egress) return fail(ErrorCode::invalid_argument, "a reference without egress is not kept");
  const std::string key = key_of_this_host();
  if (key.empty()) return fail(ErrorCode::io, "the kernel's version is not known");
  return replace_file(path, encode_reference(reference, key));
}

Result<Reference> read_kept_reference(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return fail(errno == ENOENT ? ErrorCode::not_found : ErrorCode::io, std::strerror(errno), path);
  struct stat about {};
  const bool known = fstat(fd, &about) == 0;
  const bool ours = known && S_ISREG(about.st_mode) && about.st_uid == geteuid() && (about.st_mode & 077) == 0;
  std::string text;
  // Read from what was looked at, not from the name again.
  for (ssize_t length = 1; ours && length > 0 && text.size() <= kMaxBytes;) {
    char buffer[16384];
    length = read(fd, buffer, sizeof buffer);
    if (length > 0) text.append(buffer, static_cast<size_t>(length));
  }
  close(fd);
  if (!ours) return fail(ErrorCode::refused, "others may have written it", path);
  const std::string key = key_of_this_host();
  if (key.empty()) return fail(ErrorCode::io, "the kernel's version is not known");
  FB_TRY(Reference reference, decode_reference(text, key));
  FB_TRY_VOID(judge_reference(reference));
  return reference;
}

}  // namespace fb::agent
