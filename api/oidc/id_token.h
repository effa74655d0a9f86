// ID tokens of an OpenID provider: its public keys (JWKS, RFC 7517) and whether a token (JWT, RFC 7519) was signed by
// one of them, for us, now. RS256 and ES256 only: the token can't choose a weaker way. Pure, thread-safe; a signature
// costs under 1 ms.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"

struct evp_pkey_st;

namespace fb::api {

class KeySet {
 public:
  // {"keys": [...]}. Keys of other kinds, for other uses or too weak ones are left out; corrupt: no such document.
  static Result<KeySet> parse(std::string_view json);

  struct Key {
    std::string id;         // kid; may be empty
    std::string algorithm;  // RS256 or ES256
    std::shared_ptr<evp_pkey_st> key;
  };
  // The keys that may have signed a token with this head: all of the algorithm where the token names none.
  std::vector<Key> candidates(std::string_view id, std::string_view algorithm) const;
  size_t size() const { return keys_.size(); }

 private:
  std::vector<Key> keys_;
};

struct TokenRules {
  std::string issuer;
  std::string client_id;
  std::string nonce;  // as it was sent when the login began
  int64_t now_s = 0;
  int64_t skew_s = 60;  // how far the provider's clock may be from ours
};

// The claims as JSON text. not_found: none of the keys has the token's id (the provider may have new ones). refused:
// the token is none, or not for us; the message says why and repeats nothing secret.
Result<std::string> verify_id_token(std::string_view token, const KeySet& keys, const TokenRules& rules);

// base64url without padding (RFC 7515), strict.
std::string base64url(std::string_view bytes);
Result<std::string> unbase64url(std::string_view text);

}  // namespace fb::api
