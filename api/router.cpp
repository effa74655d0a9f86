#include "api/router.h"

#include <algorithm>

#include "api/api.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/net/http_status.h"
#include "engine/net/uri.h"

namespace fb::api {
namespace {

std::vector<std::string> segments_of(std::string_view path) {
  std::vector<std::string> out;
  while (!path.empty()) {
    if (path.front() == '/') {
      path.remove_prefix(1);
      continue;
    }
    const size_t at = path.find('/');
    out.emplace_back(path.substr(0, at));
    path.remove_prefix(at == std::string_view::npos ? path.size() : at);
  }
  return out;
}

}  // namespace

Result<Readers::Lease> Call::reader() const {
  if (readers != nullptr) return readers->take(parts.store.db_path());
  return std::make_shared<Readers>()->take(parts.store.db_path());
}

std::string Call::query(const std::string& name, std::string otherwise) const {
  const auto it = request.query.find(name);
  return it == request.query.end() ? std::move(otherwise) : it->second;
}

Router::Added Router::add(std::string_view method, std::string_view pattern, Privilege privilege, Handle handle) {
  routes_.push_back({std::string(method), segments_of(pattern), privilege, std::move(handle), std::string(pattern)});
  return {*this, routes_.size() - 1};
}

Router::Added Router::add_open(std::string_view method, std::string_view pattern, Handle handle) {
  routes_.push_back({std::string(method), segments_of(pattern), std::nullopt, std::move(handle), std::string(pattern)});
  return {*this, routes_.size() - 1};
}

Router::Added& Router::Added::takes_import() {
  router_.routes_[at_].takes_import = true;
  return *this;
}
Router::Added& Router::Added::slow() {
  router_.routes_[at_].desk = Desk::work;
  return *this;
}
Router::Added& Router::Added::slow_beyond(std::vector<std::string> parameters) {
  router_.routes_[at_].quick = std::move(parameters);
  return *this;
}
Router::Added& Router::Added::changes_rules() {
  router_.routes_[at_].desk = Desk::rules;
  return *this;
}
Router::Added& Router::Added::hashes_password() {
  router_.routes_[at_].desk = Desk::passwords;
  return *this;
}
Router::Added& Router::Added::asks_outside() {
  router_.routes_[at_].desk = Desk::outside;
  return *this;
}
Router::Added& Router::Added::only_reads() {
  router_.routes_[at_].only_reads = true;
  return *this;
}
Router::Added& Router::Added::or_for(Privilege other) {
  router_.routes_[at_].or_privilege = other;
  return *this;
}

// A name that is written in another way than plainly counts as one that is not listed.
Desk Router::Match::desk_for(std::string_view target) const {
  const size_t at = target.find('?');
  if (desk != Desk::none || quick == nullptr || at == std::string_view::npos) return desk;
  std::string_view rest = target.substr(at + 1);
  while (!rest.empty()) {
    const std::string_view one = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
    const size_t equals = std::min(one.find('='), one.size());
    const std::string_view name = one.substr(0, equals);
    if (one.empty()) continue;
    if (std::find(quick->begin(), quick->end(), name) == quick->end()) return Desk::work;
    // What is skipped is read too, so a page far down costs as much as a large one.
    constexpr size_t kFewDigits = 2;
    const bool counts = name.starts_with("page") || name.starts_with("per");
    if (counts && one.size() - equals > kFewDigits + 1) return Desk::work;
  }
  return Desk::none;
}

std::vector<Router::Listed> Router::list() const {
  std::vector<Listed> all;
  for (const Route& route : routes_) all.push_back({route.method, route.pattern, route.privilege});
  return all;
}

Router::Match Router::find(std::string_view method, std::string_view path) const {
  Match match;
  if (method == "HEAD") method = "GET";
  std::vector<std::string> wanted = segments_of(path);
  for (std::string& segment : wanted) {
    auto plain = net::percent_decode(segment, false);
    if (!plain) return match;
    segment = std::move(*plain);
  }
  size_t best_literals = 0;
  for (const Route& route : routes_) {
    if (route.method != method || route.segments.size() != wanted.size()) continue;
    std::map<std::string, std::string> params;
    size_t literals = 1;  // so that a route of {names} alone is found as well
    bool fits = true;
    for (size_t i = 0; i < wanted.size() && fits; ++i) {
      const std::string& s = route.segments[i];
      if (s.front() == '{') {
        params[s.substr(1, s.size() - 2)] = wanted[i];
      } else {
        fits = s == wanted[i];
        ++literals;
      }
    }
    if (!fits || literals <= best_literals) continue;
    best_literals = literals;
    match.handle = &route.handle;
    match.privilege = route.privilege;
    match.or_privilege = route.or_privilege;
    match.params = std::move(params);
    match.takes_import = route.takes_import;
    match.desk = route.desk;
    match.only_reads = route.only_reads;
    match.pattern = route.pattern;
    match.quick = route.quick ? &*route.quick : nullptr;
  }
  return match;
}

net::Response json(int status, std::string body) {
  net::Response r;
  r.status = status;
  r.body = std::move(body);
  return r;
}

net::Response ndjson(std::string body) {
  net::Response r;
  r.content_type = "application/x-ndjson";
  r.body = std::move(body);
  return r;
}

net::Response problem(int status, std::string_view message) {
  const nlohmann::ordered_json body{
      {"statusCode", status}, {"error", net::reason_phrase(status)}, {"message", message}};
  return json(status, dumped(body));
}

net::Response siem_problem(int status, std::string_view message) {
  const nlohmann::ordered_json body{{"message", message}, {"status_code", status}};
  return json(status, dumped(body));
}

net::Response siem_problems(int status, const std::vector<std::string>& messages) {
  const nlohmann::ordered_json body{{"message", messages}, {"status_code", status}};
  return json(status, dumped(body));
}

}  // namespace fb::api
