// Method and path -> handler. Filled once at start, then read by every API thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/net/http.h"

namespace fb::api {

struct Parts;

// One request on its way to a handler.
struct Call {
  const net::Request& request;
  std::map<std::string, std::string> params;  // {name} parts of the pattern, decoded
  std::string actor;                          // "user:local" on the socket, "key:<id>" with an API key, "" open routes
  const Parts& parts;

  // A query parameter, or `otherwise`.
  std::string query(const std::string& name, std::string otherwise = {}) const;
};

using Handle = std::function<net::Response(const Call&)>;

enum class Access : uint8_t {
  open,        // anybody who reaches the port: health and metrics
  authorized,  // the unix socket, or a valid API key
};

class Router {
 public:
  // `pattern` is literal segments and {name} segments.
  void add(std::string_view method, std::string_view pattern, Access access, Handle handle);

  struct Match {
    const Handle* handle = nullptr;  // null: no such path (or not with this method: see `other_method`)
    Access access = Access::authorized;
    std::map<std::string, std::string> params;
    bool other_method = false;
  };
  Match find(std::string_view method, std::string_view path) const;

 private:
  struct Route {
    std::string method;
    std::vector<std::string> segments;
    Access access;
    Handle handle;
  };
  std::vector<Route> routes_;
};

using AddRoutes = void (*)(Router&);
extern const std::vector<AddRoutes> kRouteFiles;  // made by CMake from routes/

// Answers in the platform's shapes.
net::Response json(int status, std::string body);
net::Response ndjson(std::string body);
net::Response problem(int status, std::string_view message);  // {"statusCode":N,"error":"...","message":"..."}

}  // namespace fb::api
