#include "api/router.h"

#include <nlohmann/json.hpp>

#include "engine/net/http_status.h"

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

std::string Call::query(const std::string& name, std::string otherwise) const {
  const auto it = request.query.find(name);
  return it == request.query.end() ? std::move(otherwise) : it->second;
}

void Router::add(std::string_view method, std::string_view pattern, Access access, Handle handle) {
  routes_.push_back({std::string(method), segments_of(pattern), access, std::move(handle)});
}

Router::Match Router::find(std::string_view method, std::string_view path) const {
  Match match;
  const std::vector<std::string> wanted = segments_of(path);
  for (const Route& route : routes_) {
    if (route.segments.size() != wanted.size()) continue;
    std::map<std::string, std::string> params;
    bool fits = true;
    for (size_t i = 0; i < wanted.size() && fits; ++i) {
      const std::string& s = route.segments[i];
      if (s.front() == '{') {
        params[s.substr(1, s.size() - 2)] = wanted[i];
      } else {
        fits = s == wanted[i];
      }
    }
    if (!fits) continue;
    if (route.method != method) {
      match.other_method = true;
      continue;
    }
    match.handle = &route.handle;
    match.access = route.access;
    match.params = std::move(params);
    return match;
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
  return json(status, body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace fb::api
