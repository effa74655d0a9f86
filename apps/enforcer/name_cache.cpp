#include "apps/enforcer/name_cache.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <system_error>
#include <thread>

#include "apps/enforcer/durable_file.h"
#include "engine/base/json.h"
#include "engine/base/log.h"

namespace fb::agent {
namespace {

constexpr size_t kMaxThreads = 4;
constexpr size_t kMaxFile = 1u << 20;

bool is_single(const endpoint::Prefix& prefix) {
  return prefix.length == (prefix.v6 ? 128 : 32);
}

std::optional<endpoint::Prefix> as_number(const std::string& host) {
  const auto prefix = endpoint::parse_prefix(host);
  if (prefix && is_single(*prefix)) return *prefix;
  return std::nullopt;
}

// A name server must not open what no host stands behind: "any" and groups.
bool is_host(const endpoint::Prefix& prefix) {
  const auto& b = prefix.bytes;
  if (!is_single(prefix)) return false;
  if (!prefix.v6) return b[0] != 0 && b[0] < 224;
  return b[0] != 0xff && std::any_of(b.begin(), b.end(), [](uint8_t byte) { return byte != 0; });
}

std::vector<endpoint::Prefix> tidy(std::vector<endpoint::Prefix> addresses) {
  std::erase_if(addresses, [](const endpoint::Prefix& p) { return !is_host(p); });
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  if (addresses.size() > NameCache::kMaxAddresses) addresses.resize(NameCache::kMaxAddresses);
  return addresses;
}

}  // namespace

struct NameCache::Shared {
  std::mutex mutex;
  std::condition_variable came;
  std::deque<std::string> waiting;
  std::set<std::string> asked;  // waiting or being resolved
  std::vector<std::pair<std::string, Result<std::vector<endpoint::Prefix>>>> answers;
  size_t threads = 0;
  bool closed = false;
};

struct NameCache::Answer {
  std::vector<endpoint::Prefix> addresses;
  std::string problem;
  int64_t at_ms = 0;
  bool fresh = false;  // answered since this process began
};

struct NameCache::Known {
  std::map<std::string, Answer> by_name;
};

Result<std::vector<endpoint::Prefix>> resolve_with_the_system(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (error != 0) return fail(ErrorCode::unavailable, ::gai_strerror(error), host, Retry::yes);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, ::freeaddrinfo);
  std::vector<endpoint::Prefix> addresses;
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    endpoint::Prefix prefix;
    if (at->ai_family == AF_INET) {
      prefix.length = 32;
      std::memcpy(prefix.bytes.data(), &reinterpret_cast<const sockaddr_in*>(at->ai_addr)->sin_addr, 4);
    } else if (at->ai_family == AF_INET6) {
      const in6_addr& address = reinterpret_cast<const sockaddr_in6*>(at->ai_addr)->sin6_addr;
      if (IN6_IS_ADDR_V4MAPPED(&address)) continue;
      prefix.v6 = true;
      prefix.length = 128;
      std::memcpy(prefix.bytes.data(), &address, 16);
    } else {
      continue;
    }
    addresses.push_back(prefix);
  }
  return addresses;
}

NameCache::NameCache(std::string file, Resolve resolve, const Clock& clock)
    : file_(std::move(file)),
      resolve_(resolve ? std::move(resolve) : resolve_with_the_system),
      clock_(clock),
      shared_(std::make_shared<Shared>()),
      known_(std::make_unique<Known>()) {
  const auto text = read_file(file_, kMaxFile);
  if (!text) return;
  const auto json = parse_json(*text);
  if (!json.is_object()) return;
  for (const auto& [host, list] : json.items()) {
    if (!list.is_array()) continue;
    Answer answer;
    for (const auto& value : list) {
      if (!value.is_string()) continue;
      if (const auto number = as_number(value.get<std::string>())) answer.addresses.push_back(*number);
    }
    answer.addresses = tidy(std::move(answer.addresses));
    if (!answer.addresses.empty()) known_->by_name[host] = std::move(answer);
  }
}

NameCache::~NameCache() {
  const std::lock_guard lock(shared_->mutex);
  shared_->closed = true;
  shared_->waiting.clear();
}

void NameCache::ask(const std::vector<std::string>& hosts, int wait_ms) {
  std::set<std::string> wanted;
  const int64_t now = clock_.mono_ms();
  for (const std::string& host : hosts) {
    if (host.empty() || as_number(host)) continue;
    const auto at = known_->by_name.find(host);
    const bool recent = at != known_->by_name.end() && at->second.fresh && now - at->second.at_ms < kFreshMs;
    if (!recent) wanted.insert(host);
  }
  if (wanted.empty()) return;
  std::unique_lock lock(shared_->mutex);
  for (const std::string& host : wanted) {
    if (shared_->asked.insert(host).second) shared_->waiting.push_back(host);
  }
  while (shared_->threads < kMaxThreads && shared_->threads < shared_->waiting.size()) {
    try {
      std::thread([shared = shared_, resolve = resolve_] {
        std::unique_lock inner(shared->mutex);
        while (!shared->waiting.empty() && !shared->closed) {
          const std::string host = shared->waiting.front();
          shared->waiting.pop_front();
          inner.unlock();
          auto answer = resolve(host);
          inner.lock();
          shared->asked.erase(host);
          shared->answers.emplace_back(host, std::move(answer));
          shared->came.notify_all();
        }
        --shared->threads;
      }).detach();
      ++shared_->threads;
    } catch (const std::system_error&) {
      break;  // asked again the next time; the last good answers stand
    }
  }
  if (wait_ms > 0) {
    shared_->came.wait_for(lock, std::chrono::milliseconds(wait_ms), [&] {
      return std::none_of(wanted.begin(), wanted.end(), [&](const auto& h) { return shared_->asked.contains(h); });
    });
  }
}

bool NameCache::collect() {
  std::vector<std::pair<std::string, Result<std::vector<endpoint::Prefix>>>> answers;
  {
    const std::lock_guard lock(shared_->mutex);
    answers.swap(shared_->answers);
  }
  bool changed = false;
  for (auto& [host, result] : answers) {
    Answer& known = known_->by_name[host];
    known.at_ms = clock_.mono_ms();
    auto addresses = result ? tidy(std::move(*result)) : std::vector<endpoint::Prefix>();
    if (addresses.empty()) {
      known.problem = result ? "has no address" : result.error().message;
      known.fresh = false;  // asked again soon
      continue;
    }
    known.problem.clear();
    known.fresh = true;
    if (known.addresses == addresses) continue;
    known.addresses = std::move(addresses);
    changed = true;
  }
  if (changed) save();
  return changed;
}

void NameCache::save() const {
  auto json = nlohmann::ordered_json::object();
  for (const auto& [host, answer] : known_->by_name) {
    for (const auto& address : answer.addresses) json[host].push_back(endpoint::to_string(address));
  }
  const Status kept = replace_file(file_, json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  if (!kept) log(LogLevel::warn, "names_not_kept", kept.error().describe());
}

NameCache::Numbers NameCache::numbers(const std::string& host) const {
  if (const auto number = as_number(host)) return {{*number}, ""};
  const auto at = known_->by_name.find(host);
  if (at == known_->by_name.end()) return {{}, "no answer yet"};
  return {at->second.addresses, at->second.problem};
}

}  // namespace fb::agent
