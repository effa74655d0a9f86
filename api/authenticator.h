// Who makes a request: the credentials of a request -> a Principal, or why not. API keys and sessions cost one look
// into the record; a password costs 30 ms once and is then remembered for a few minutes, by a hash under a key of this
// process. Guessing is limited for each address. Thread-safe; the store and the clock outlive it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "api/oidc/provider.h"
#include "engine/access/access.h"
#include "engine/access/failures.h"
#include "engine/base/clock.h"
#include "engine/net/http.h"
#include "engine/record/store.h"

namespace fb::api {

struct AccessSettings {
  int64_t session_idle_ms = 30 * 60'000;
  int64_t session_max_ms = 12 * 3'600'000ll;
  double guesses_at_once = 10;  // of one address, before it has to wait
  double guesses_per_minute = 10;
  OidcSettings oidc = {};
};

// What came of looking at a request's credentials.
struct Identified {
  Principal who;               // without roles unless `status` is 0
  std::string session_sha256;  // not empty: by a browser session
  int status = 0;              // 0: known. 401, 429 (after `wait_s`), 503: what to answer
  int64_t wait_s = 0;
  std::string reason;  // for the audit, not for the client: "no credentials", "wrong secret of key ...", ...
};

class Authenticator {
 public:
  Authenticator(Store& store, const Clock& clock, AccessSettings settings = {});

  Identified identify(const net::Request& request);
  // identify() would hash a password. Not for an address that has no guess left: it is refused at once.
  bool is_slow(const net::Request& request);

  // Logging in: a new session's token, for the cookie. On failure: as identify().
  struct Login {
    Identified result;
    std::string token;
  };
  Login log_in(const std::string& name, const std::string& password, const std::string& address);

  // The same through an OpenID provider (settings().oidc.is_on()): where the browser goes, and what it comes back with.
  // Both ask the provider and block. A person who comes for the first time is added; their roles are those that the
  // provider's groups give, each time anew; without any the person's sessions end, and they are refused. A name that
  // somebody else has here already is refused.
  Result<OidcProvider::Begun> begin_oidc(const std::string& address);
  Login finish_oidc(const std::string& state, const std::string& browser, const std::string& code,
                    const std::string& address);
  Identified refuse_oidc(const std::string& state, std::string reason, const std::string& address);

  // What somebody was let in with, to be looked at again while an answer to them goes on. Asking again hashes nothing
  // and takes no guess; false once the key is revoked or over, the session ended, the person disabled, the password
  // another, or one of the privileges gone. False, too, when the record can't be read.
  struct Standing {
    Principal who;
    std::string session_sha256;
    std::string password_hash;  // where it was a password
  };
  Result<Standing> standing(const Principal& who, const std::string& session_sha256);
  bool still_may(const Standing& standing, const std::vector<Privilege>& all_of);

  const AccessSettings& settings() const { return settings_; }

 private:
  Identified by_key(std::string_view encoded, Identified so_far);
  Identified by_password(std::string_view encoded, Identified so_far);
  Identified by_session(const std::string& token, Identified so_far);
  // `checked`: gets the hash that the password was judged by.
  Identified check_name_and_password(const std::string& name, const std::string& password, Identified so_far,
                                     std::string* checked = nullptr);
  Identified admit(const UserRow& user, Identified so_far);
  void open_session(Login& login, const std::optional<std::string>& checked);
  bool is_over(const SessionRow& session) const;
  Status take_roles(const UserRow& user);
  Result<UserRow> known_person(const OidcProvider::Person& person);
  Identified refuse(Identified so_far, std::string reason);
  std::string memory_key(std::string_view name, std::string_view password, std::string_view hash) const;
  bool remembers(const std::string& key);
  void remember(std::string key);

  Store& store_;
  const Clock& clock_;
  const AccessSettings settings_;
  const std::string process_key_;
  Budgets guesses_;
  Budgets begun_logins_;
  std::unique_ptr<OidcProvider> provider_;  // null: nobody comes in this way
  std::mutex mutex_;
  std::unordered_map<std::string, int64_t> good_until_;  // mono ms
};

// A request's cookie of that name.
std::optional<std::string> cookie(const net::Request& request, std::string_view name);
constexpr std::string_view kSessionCookie = "firebreak_session";

}  // namespace fb::api
