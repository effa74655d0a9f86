#include "apps/firebreak/isolation_policy.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "actions/endpoint/allow_set.h"
#include "apps/firebreak/endpoint_policy.h"
#include "engine/base/log.h"

namespace fb::cli {
namespace {

constexpr const char* kExceptions = "response.isolation.exceptions";
constexpr const char* kServices = "response.isolation.services";
constexpr const char* kDns = "response.isolation.dns";
constexpr const char* kMessage = "response.isolation.message";
constexpr size_t kMaxServices = 256;
constexpr size_t kMaxDns = 16;
constexpr size_t kMaxMessageBytes = 500;
constexpr int64_t kReadAnewMs = 60'000;     // platforms of endpoints change without a word
constexpr int64_t kUnknownAgainMs = 1'000;  // an endpoint that nobody knows does not make us read all the time

bool has(const std::vector<std::string>& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

// The longest beginning of the entries that hosts would take, as the smallest list of prefixes. The union only grows,
// so it can be halved for.
std::vector<std::string> taken(const std::vector<std::string>& entries, size_t* left_out) {
  size_t good = 0;
  size_t bad = entries.size() + 1;
  std::vector<endpoint::Prefix> prefixes;
  for (size_t n = entries.size(); good + 1 < bad; n = good + (bad - good) / 2) {
    auto read = endpoint::read_exceptions({entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(n)});
    if (read) {
      good = n;
      prefixes = std::move(*read);
    } else {
      bad = n;
    }
    if (good == entries.size()) break;
  }
  *left_out = entries.size() - good;
  std::vector<std::string> out;
  out.reserve(prefixes.size());
  for (const endpoint::Prefix& p : prefixes) out.push_back(endpoint::to_string(p));
  return out;
}

}  // namespace

endpoint::CutPolicy isolation_policy(const Config& config) {
  endpoint::CutPolicy policy;
  policy.exceptions = config.list(kExceptions);
  policy.services = config.list(kServices);
  policy.dns = config.list(kDns);
  policy.dhcp = config.flag("response.isolation.dhcp");
  policy.rollback = config.text("response.isolation.on_lockout") == "rollback";
  policy.message = config.text(kMessage);
  return policy;
}

std::vector<Diagnostic> isolation_problems(const Config::Loaded& loaded) {
  std::vector<Diagnostic> problems;
  const Config& c = loaded.config;
  const auto check = [&](const char* path, size_t most, auto refusal) {
    const std::vector<std::string>& list = c.list(path);
    for (size_t i = 0; i < list.size(); ++i) {
      if (std::string why = refusal(list[i]); !why.empty()) {
        problems.push_back(loaded.wrong_entry(path, i, std::move(why)));
      }
    }
    if (list.size() <= most) return;
    problems.push_back(
        loaded.wrong_entry(path, list.size(), std::string(path) + " has at most " + std::to_string(most) + " entries"));
  };
  check(kExceptions, endpoint::kMaxExceptions, [](const std::string& entry) {
    const auto one = endpoint::read_exceptions({entry});
    return one ? std::string() : one.error().describe();
  });
  check(kServices, kMaxServices, [](const std::string& entry) {
    const auto service = endpoint::parse_service(entry);
    return service ? std::string() : service.error().describe();
  });
  check(kDns, kMaxDns, [](const std::string& entry) {
    const auto address = endpoint::parse_prefix(entry);
    if (!address) return address.error().describe();
    return address->length == (address->v6 ? 128 : 32) ? std::string() : "'" + entry + "' is a network, not an address";
  });
  if (problems.empty()) {
    // Each may pass where all together would undo the isolation.
    const auto all = endpoint::read_exceptions(c.list(kExceptions));
    if (!all) problems.push_back(loaded.wrong_entry(kExceptions, SIZE_MAX, all.error().describe()));
  }
  const std::string& message = c.text(kMessage);
  const bool control = message.find_first_of(std::string("\0\x1b\r", 3)) != std::string::npos;
  if (message.size() > kMaxMessageBytes || control) {
    problems.push_back(loaded.wrong_entry(kMessage, 0,
                                          std::string(kMessage) + " is one text of at most " +
                                              std::to_string(kMaxMessageBytes) + " bytes without control characters"));
  }
  return problems;
}

void IsolationPolicies::use(Store& store) {
  const std::lock_guard lock(mutex_);
  store_ = &store;
  refresh(false);
}

void IsolationPolicies::replace_config(endpoint::CutPolicy config) {
  const std::lock_guard lock(mutex_);
  config_ = std::move(config);
  cuts_.clear();
}

endpoint::CutPolicy IsolationPolicies::config() const {
  const std::lock_guard lock(mutex_);
  return config_;
}

Status IsolationPolicies::read() {
  ExceptionStore store = store_->exceptions();
  FB_TRY(std::vector<OpenAddress> opens, store.open_addresses());
  FB_TRY(const std::vector<PolicyTarget> targets, store.policy_targets());
  FB_TRY(const std::vector<EndpointPolicy> policies, store_->policies());
  opens_ = std::move(opens);
  places_.clear();
  for (const PolicyTarget& t : targets) places_[t.endpoint_id] = {t.os, t.policy_id};
  settings_.clear();
  for (const EndpointPolicy& p : policies) settings_[p.id] = p.settings;
  next_expiry_ms_ = 0;
  const int64_t now = clock_.wall_ms();
  for (const OpenAddress& item : opens_) {
    if (item.expires_at_ms <= now) continue;  // never, or past
    if (next_expiry_ms_ == 0 || item.expires_at_ms < next_expiry_ms_) next_expiry_ms_ = item.expires_at_ms;
  }
  cuts_.clear();
  return {};
}

// Under mutex_.
void IsolationPolicies::refresh(bool unknown_endpoint) {
  if (store_ == nullptr) return;
  const uint64_t wanted = wanted_.load();
  const int64_t age = clock_.mono_ms() - read_at_ms_;
  const bool expired = next_expiry_ms_ != 0 && clock_.wall_ms() >= next_expiry_ms_;
  if (read_ == wanted && !expired && age < kReadAnewMs && !(unknown_endpoint && age >= kUnknownAgainMs)) return;
  read_at_ms_ = clock_.mono_ms();
  if (const Status done = read(); !done) {
    log(LogLevel::warn, "exceptions_not_read", "what isolated hosts may talk to stays as it was",
        {{"cause", done.error().describe()}});
    return;
  }
  read_ = wanted;
}

bool IsolationPolicies::is_live(const OpenAddress& item) const {
  return item.expires_at_ms == 0 || item.expires_at_ms > clock_.wall_ms();
}

// Oldest first, so that what came last is what has no room.
std::vector<std::string> IsolationPolicies::open_to(const Place& place) const {
  std::vector<std::string> entries = config_.exceptions;
  for (const OpenAddress& item : opens_) {
    if (!is_live(item) || !has(item.os_types, place.first)) continue;
    if (has(item.policies, "all") || has(item.policies, place.second)) entries.push_back(item.address);
  }
  return entries;
}

endpoint::CutPolicy IsolationPolicies::settled(const std::string& policy_id) const {
  const auto it = settings_.find(policy_id);
  return it == settings_.end() ? config_ : with_policy(config_, it->second);
}

endpoint::PolicyPtr IsolationPolicies::work_out(const Place& place) const {
  endpoint::CutPolicy policy = settled(place.second);
  size_t left_out = 0;
  policy.exceptions = taken(open_to(place), &left_out);
  if (left_out > 0) {
    log(LogLevel::error, "exceptions_left_out",
        "all exceptions together would undo an isolation: the newest are left out",
        {{"os", place.first}, {"policy", place.second}, {"left_out", std::to_string(left_out)}});
  }
  return endpoint::in_force(std::move(policy));
}

// An endpoint that nobody knows has no platform: what the config and the default policy say.
endpoint::PolicyPtr IsolationPolicies::of(const std::string& endpoint_id) {
  const std::lock_guard lock(mutex_);
  refresh(places_.find(endpoint_id) == places_.end());
  const auto known = places_.find(endpoint_id);
  const Place place = known == places_.end() ? Place{"", kDefaultPolicy} : known->second;
  const auto it = cuts_.find(place);
  if (it != cuts_.end()) return it->second;
  return cuts_.emplace(place, work_out(place)).first->second;
}

bool IsolationPolicies::may_roll_back(const std::string& endpoint_id) const {
  const std::lock_guard lock(mutex_);
  const auto known = places_.find(endpoint_id);
  return settled(known == places_.end() ? kDefaultPolicy : known->second.second).rollback;
}

namespace {

// What would be open for each platform and policy, and what more of it hosts would take.
class Room {
 public:
  using Place = std::pair<std::string, std::string>;  // platform, policy id

  Room(std::vector<std::string> config, std::vector<OpenAddress> standing, std::vector<std::string> policies)
      : config_(std::move(config)), standing_(std::move(standing)), policies_(std::move(policies)) {}

  // items[of[first..last)]: all of them when they fit, else by halves.
  void take(const std::vector<OpenAddress>& items, const std::vector<size_t>& of, size_t first, size_t last,
            std::vector<Status>& verdicts) {
    std::map<Place, std::vector<std::string>> more;
    for (size_t i = first; i < last; ++i) {
      const OpenAddress& item = items[of[i]];
      const bool everywhere = has(item.policies, "all");
      for (const std::string& os : item.os_types) {
        for (const std::string& policy : everywhere ? policies_ : item.policies) {
          more[{os, policy}].push_back(item.address);
        }
      }
    }
    for (auto& [place, addresses] : more) {
      const std::vector<std::string>& open = open_at(place);
      addresses.insert(addresses.end(), open.begin(), open.end());
      const auto together = endpoint::read_exceptions(addresses);
      if (together) continue;
      if (last - first == 1) {
        verdicts[of[first]] = fail(ErrorCode::refused, "together with the others for the policy " + place.second +
                                                           " on " + place.first + ": " + together.error().message);
      } else {
        const size_t middle = first + (last - first) / 2;
        take(items, of, first, middle, verdicts);
        take(items, of, middle, last, verdicts);
      }
      return;
    }
    for (auto& [place, addresses] : more) open_[place] = std::move(addresses);
  }

 private:
  const std::vector<std::string>& open_at(const Place& place) {
    const auto [it, fresh] = open_.try_emplace(place, config_);
    if (!fresh) return it->second;
    for (const OpenAddress& item : standing_) {
      if (!has(item.os_types, place.first)) continue;
      if (has(item.policies, "all") || has(item.policies, place.second)) it->second.push_back(item.address);
    }
    return it->second;
  }

  const std::vector<std::string> config_;
  const std::vector<OpenAddress> standing_;
  const std::vector<std::string> policies_;
  std::map<Place, std::vector<std::string>> open_;
};

}  // namespace

std::vector<Status> IsolationPolicies::fit_in(const std::vector<OpenAddress>& items, bool emptied) {
  std::vector<Status> verdicts(items.size());
  std::vector<size_t> good;
  std::set<std::string_view> ids;
  for (size_t i = 0; i < items.size(); ++i) {
    ids.insert(items[i].id);
    if (const auto prefix = endpoint::parse_prefix(items[i].address); !prefix) {
      verdicts[i] = fail(ErrorCode::invalid_argument, prefix.error().message);
    } else if (const auto alone = endpoint::read_exceptions({items[i].address}); !alone) {
      verdicts[i] = fail(ErrorCode::refused, alone.error().message);
    } else {
      good.push_back(i);
    }
  }
  std::vector<std::string> config;
  std::vector<OpenAddress> standing;
  std::vector<std::string> policies = {kDefaultPolicy};
  {
    const std::lock_guard lock(mutex_);
    refresh(false);
    config = config_.exceptions;
    for (const OpenAddress& one : opens_) {
      if (!emptied && !ids.contains(one.id) && is_live(one)) standing.push_back(one);
    }
    for (const auto& [id, settings] : settings_) {
      if (id != kDefaultPolicy) policies.push_back(id);
    }
  }
  std::vector<std::string> all = config;
  for (const OpenAddress& one : standing) all.push_back(one.address);
  for (const size_t i : good) all.push_back(items[i].address);
  // What fits on one host all together fits on each.
  if (good.empty() || endpoint::read_exceptions(all)) return verdicts;
  Room(std::move(config), std::move(standing), std::move(policies)).take(items, good, 0, good.size(), verdicts);
  return verdicts;
}

bool IsolationPolicies::leaves_open(const std::string& endpoint_id, const std::string& address) {
  const auto wanted = endpoint::parse_prefix(address);
  if (!wanted) return false;
  std::vector<endpoint::Prefix> open;
  for (const std::string& entry : of(endpoint_id)->policy.exceptions) {
    if (const auto prefix = endpoint::parse_prefix(entry)) open.push_back(*prefix);
  }
  // Within what is open there already, it changes nothing.
  const std::vector<endpoint::Prefix> before = endpoint::merge(open);
  open.push_back(*wanted);
  return endpoint::merge(std::move(open)) == before;
}

}  // namespace fb::cli
