// Logging in through an OpenID provider: authorization code with PKCE (RFC 7636), state and nonce. begin() tells where
// the browser goes, finish() turns what it comes back with into a person and roles. What is under way is kept in memory
// for ten minutes, at most 1,000 at a time and 20 of one address; the provider's description and keys are fetched when
// needed, again after an hour, and the keys when a token names a new one. Thread-safe. finish() asks the provider over
// the network and blocks for seconds at worst: never on a thread that serves connections.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "api/oidc/id_token.h"
#include "engine/access/access.h"
#include "engine/base/clock.h"
#include "engine/base/result.h"
#include "engine/net/http.h"

namespace fb::api {

struct OidcSettings {
  std::string issuer;  // "" = nobody comes in this way
  std::string client_id;
  std::string client_secret;  // "" = a public client: PKCE alone
  std::string redirect_url;   // https://this.service/api/firebreak/session/oidc/callback
  std::vector<std::string> scopes = {"openid", "profile"};
  std::string name_claim = "preferred_username";
  std::string roles_claim = "groups";
  std::map<std::string, Role> roles;  // a value of that claim -> what it gives
  int64_t clock_skew_s = 60;
  std::string ca_file;  // that the provider is checked with; "" = the system's
  // How the provider is asked; empty: an HttpClient. For tests.
  std::function<Result<net::ClientReply>(const std::string& method, const std::string& url,
                                         const std::map<std::string, std::string>& headers, const std::string& body)>
      ask = {};

  bool is_on() const { return !issuer.empty(); }
};

// Names the first thing that is missing or wrong, for the start of the service.
Status check_oidc(const OidcSettings& settings);

inline constexpr size_t kMaxPendingLogins = 20;  // of one address

class OidcProvider {
 public:
  OidcProvider(OidcSettings settings, const Clock& clock);

  struct Begun {
    std::string location;  // of the provider
    std::string browser;   // goes into a cookie: only the browser that began may finish
  };
  // Asks the provider when its description is not known yet. `from`: the address; what it began before, beyond
  // kMaxPendingLogins, is given up.
  Result<Begun> begin(const std::string& from);

  struct Person {
    std::string name;         // as people are called here
    std::string identity;     // "oidc:<hash of issuer and subject>": the same for the same person for good
    std::vector<Role> roles;  // none: it is this person, and none of their groups gives a role here
  };
  // refused: not begun by this browser, not in time, a token that does not hold.
  // unavailable: the provider does not answer.
  Result<Person> finish(const std::string& state, const std::string& browser, const std::string& code);
  // Ends what began with this state, when the provider says that nothing comes of it.
  void give_up(const std::string& state);

 private:
  struct Pending {
    std::string browser_sha256;
    std::string nonce;
    std::string verifier;
    int64_t until_ms = 0;  // mono
    std::string from;
    uint64_t number = 0;
  };
  struct Description {
    std::string authorization_endpoint;
    std::string token_endpoint;
    std::string jwks_uri;
    int64_t until_ms = 0;
  };
  Result<net::ClientReply> ask(const std::string& method, const std::string& url,
                               const std::map<std::string, std::string>& headers, const std::string& body);
  Result<Description> description();
  Result<Description> ask_description();
  Result<std::shared_ptr<const KeySet>> keys(bool fresh);
  Result<std::string> exchange(const Description& at, const std::string& code, const std::string& verifier);
  Result<std::string> verify(const std::string& token, const std::string& nonce);
  Result<Person> person_of(const std::string& claims) const;
  std::optional<Pending> take(const std::string& state);

  const OidcSettings settings_;
  const Clock& clock_;
  std::mutex mutex_;  // of all below; never held while the provider is asked
  std::map<std::string, Pending> pending_;
  uint64_t begun_ = 0;
  std::optional<Description> description_;
  std::shared_ptr<const KeySet> keys_;
  int64_t keys_asked_ms_ = 0;
  int64_t keys_until_ms_ = 0;
  int64_t away_until_ms_ = INT64_MIN;  // mono; until then it is not asked for its description
};

}  // namespace fb::api
