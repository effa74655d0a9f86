// Method and path -> handler. Filled once at start, then read by every API thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/readers.h"
#include "engine/access/access.h"
#include "engine/net/http.h"

namespace fb::api {

struct Parts;
class Authenticator;

// One request on its way to a handler.
struct Call {
  const net::Request& request;
  std::map<std::string, std::string> params;  // {name} parts of the pattern, decoded
  const Principal& who;                       // no roles on open routes
  const Parts& parts;
  Authenticator* access = nullptr;  // passwords and sessions; set while a server handles the call
  std::string session_sha256 = {};  // of the browser session that makes the call; "" = none
  Readers* readers = nullptr;       // connections that stay open between calls; null: each opens its own

  // How the record calls who asks: "user:<person>".
  std::string actor() const { return "user:" + who.person; }

  // A connection to the record, to read from while this call is handled.
  Result<Readers::Lease> reader() const;

  // A query parameter, or `otherwise`.
  std::string query(const std::string& name, std::string otherwise = {}) const;
};

using Handle = std::function<net::Response(const Call&)>;

// Which threads a route runs on: the server's (none) or those of a desk.
enum class Desk : uint8_t { none, work, rules, passwords, outside };

class Router {
 public:
  // What a route needs besides: router.add(...).takes_import().slow().
  class Added {
   public:
    Added(Router& router, size_t at) : router_(router), at_(at) {}
    // Its body may be as large as http.limits.max_import_bytes, from whoever shows credentials.
    Added& takes_import();
    // It works for long, changes rules, hashes a password, waits for another service: it runs on a thread for such
    // work, so that the server's go on serving and none of the four holds up the others: a rule is switched off while
    // others search.
    Added& slow();
    // Slow unless the query has nothing but these parameters, and page sizes and numbers of two digits at most.
    Added& slow_beyond(std::vector<std::string> parameters);
    Added& changes_rules();
    Added& hashes_password();
    Added& asks_outside();
    // A request for it changes nothing although it is no GET (a search by POST): it stands in no audit.
    Added& only_reads();
    // Whoever has this privilege comes in as well: the body says which of the two is needed, and the handler asks.
    Added& or_for(Privilege other);

   private:
    Router& router_;
    size_t at_;
  };

  // `pattern` is literal segments and {name} segments. A route is for those who have the privilege.
  Added add(std::string_view method, std::string_view pattern, Privilege privilege, Handle handle);
  // For anybody who reaches the port: health, metrics, logging in.
  Added add_open(std::string_view method, std::string_view pattern, Handle handle);

  struct Match {
    const Handle* handle = nullptr;      // null: no such path, or not with this method
    std::optional<Privilege> privilege;  // none: open
    std::optional<Privilege> or_privilege;
    std::map<std::string, std::string> params;
    bool takes_import = false;
    Desk desk = Desk::none;
    bool only_reads = false;
    std::string pattern;
    const std::vector<std::string>* quick = nullptr;  // slow beyond these parameters
    // Where a request with this target (as it was sent, with its query) runs.
    Desk desk_for(std::string_view target) const;
  };
  // `path` as it was sent, without the query; it is decoded piece by piece, so that an id may hold a %2F. A literal
  // piece goes before a {name}. HEAD finds what GET does.
  Match find(std::string_view method, std::string_view path) const;

  // Every route, for tests that hold the table against the documents.
  struct Listed {
    std::string method;
    std::string pattern;
    std::optional<Privilege> privilege;
  };
  std::vector<Listed> list() const;

 private:
  struct Route {
    std::string method;
    std::vector<std::string> segments;
    std::optional<Privilege> privilege;
    Handle handle;
    std::string pattern;
    bool takes_import = false;
    Desk desk = Desk::none;
    bool only_reads = false;
    std::optional<Privilege> or_privilege = {};
    std::optional<std::vector<std::string>> quick = {};
  };
  std::vector<Route> routes_;
};

using AddRoutes = void (*)(Router&);
extern const std::vector<AddRoutes> kRouteFiles;  // made by CMake from routes/

// Answers in the platform's shapes.
net::Response json(int status, std::string body);
net::Response ndjson(std::string body);
// The two shapes of an error: the platform's (schema, authentication, privileges, everything of our own) and that of
// Kibana's detection and exception handlers.
net::Response problem(int status, std::string_view message);       // {"statusCode":N,"error":"...","message":"..."}
net::Response siem_problem(int status, std::string_view message);  // {"message":"...","status_code":N}
net::Response siem_problems(int status, const std::vector<std::string>& messages);  // {"message":[...],"status_code":N}

}  // namespace fb::api
