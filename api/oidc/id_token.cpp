#include "api/oidc/id_token.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <optional>

#include "engine/base/digest.h"
#include "engine/base/json.h"

namespace fb::api {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxTokenBytes = 64u << 10;
constexpr size_t kMaxKeys = 100;
constexpr size_t kMaxKeySetBytes = 1u << 20;
constexpr int kMinRsaBits = 2048;
constexpr size_t kP256Bytes = 32;

template <class T, void (*Free)(T*)>
struct Freed {
  void operator()(T* p) const { Free(p); }
};
using BigNumber = std::unique_ptr<BIGNUM, Freed<BIGNUM, BN_free>>;
using ParamBuilder = std::unique_ptr<OSSL_PARAM_BLD, Freed<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>>;
using Params = std::unique_ptr<OSSL_PARAM, Freed<OSSL_PARAM, OSSL_PARAM_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Freed<EVP_PKEY_CTX, EVP_PKEY_CTX_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX, EVP_MD_CTX_free>>;
using Signature = std::unique_ptr<ECDSA_SIG, Freed<ECDSA_SIG, ECDSA_SIG_free>>;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string text_of(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

BigNumber number_of(const Json& jwk, const char* key) {
  const auto raw = unbase64url(text_of(jwk, key));
  if (!raw || raw->empty() || raw->size() > 2048) return nullptr;
  return BigNumber(BN_bin2bn(bytes_of(*raw), static_cast<int>(raw->size()), nullptr));
}

std::shared_ptr<EVP_PKEY> make_key(const char* kind, OSSL_PARAM_BLD* builder) {
  const Params params(OSSL_PARAM_BLD_to_param(builder));
  const KeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, kind, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    return nullptr;
  }
  return {key, EVP_PKEY_free};
}

std::shared_ptr<EVP_PKEY> rsa_key(const Json& jwk) {
  const BigNumber n = number_of(jwk, "n"), e = number_of(jwk, "e");
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  if (!n || !e || !builder || BN_num_bits(n.get()) < kMinRsaBits) return nullptr;
  // e = 1 would make every text its own signature.
  if (BN_num_bits(e.get()) < 2 || !BN_is_odd(e.get())) return nullptr;
  if (OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1) {
    return nullptr;
  }
  return make_key("RSA", builder.get());
}

// OpenSSL refuses a point that is not on the curve.
std::shared_ptr<EVP_PKEY> p256_key(const Json& jwk) {
  const auto x = unbase64url(text_of(jwk, "x")), y = unbase64url(text_of(jwk, "y"));
  if (text_of(jwk, "crv") != "P-256" || !x || !y || x->size() != kP256Bytes || y->size() != kP256Bytes) return nullptr;
  const std::string point = "\x04" + *x + *y;
  const ParamBuilder builder(OSSL_PARAM_BLD_new());
  if (!builder || OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) != 1) {
    return nullptr;
  }
  return make_key("EC", builder.get());
}

// r and s of 32 bytes each, as a token has them -> DER, as OpenSSL takes them.
std::optional<std::string> der_signature(std::string_view raw) {
  if (raw.size() != 2 * kP256Bytes) return std::nullopt;
  const Signature signature(ECDSA_SIG_new());
  BigNumber r(BN_bin2bn(bytes_of(raw), kP256Bytes, nullptr));
  BigNumber s(BN_bin2bn(bytes_of(raw.substr(kP256Bytes)), kP256Bytes, nullptr));
  if (!signature || !r || !s || ECDSA_SIG_set0(signature.get(), r.get(), s.get()) != 1) return std::nullopt;
  (void)r.release();
  (void)s.release();
  unsigned char* out = nullptr;
  const int length = i2d_ECDSA_SIG(signature.get(), &out);
  if (length <= 0) return std::nullopt;
  std::string der(reinterpret_cast<const char*>(out), static_cast<size_t>(length));
  OPENSSL_free(out);
  return der;
}

bool is_signed_by(const KeySet::Key& key, std::string_view text, std::string_view raw) {
  std::string signature(raw);
  if (key.algorithm == "ES256") {
    auto der = der_signature(raw);
    if (!der) return false;
    signature = std::move(*der);
  }
  const DigestContext context(EVP_MD_CTX_new());
  return context && EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.key.get()) == 1 &&
         EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(text), text.size()) == 1;
}

tl::unexpected<Error> bad(std::string why) {
  return fail(ErrorCode::refused, "the provider's token " + std::move(why));
}

std::optional<int64_t> seconds(const Json& claims, const char* key) {
  const auto it = claims.find(key);
  if (it == claims.end() || !it->is_number()) return std::nullopt;
  const double v = it->get<double>();
  if (!(v >= 0 && v < 1e12)) return std::nullopt;
  return static_cast<int64_t>(v);
}

Status check_audience(const Json& claims, const std::string& client_id) {
  const auto aud = claims.find("aud");
  if (aud == claims.end()) return bad("names no audience");
  size_t audiences = 1;
  bool ours = aud->is_string() && aud->get_ref<const std::string&>() == client_id;
  if (aud->is_array()) {
    audiences = aud->size();
    ours = std::any_of(aud->begin(), aud->end(), [&](const Json& one) { return one == Json(client_id); });
  }
  if (!ours) return bad("is for another client");
  const bool has_party = claims.contains("azp");
  if ((audiences > 1 && !has_party) || (has_party && text_of(claims, "azp") != client_id)) {
    return bad("was made for another client");
  }
  return {};
}

Status check_times(const Json& claims, const TokenRules& rules) {
  const auto expires = seconds(claims, "exp"), issued = seconds(claims, "iat");
  if (!expires || !issued) return bad("says not when it was made or until when it holds");
  if (*expires <= rules.now_s - rules.skew_s) return bad("has expired");
  if (*issued > rules.now_s + rules.skew_s) return bad("is from the future; the clocks differ");
  if (claims.contains("nbf")) {
    const auto from = seconds(claims, "nbf");
    if (!from || *from > rules.now_s + rules.skew_s) return bad("does not hold yet");
  }
  return {};
}

}  // namespace

std::string base64url(std::string_view bytes) {
  std::string text = base64(bytes);
  while (!text.empty() && text.back() == '=') text.pop_back();
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return text;
}

Result<std::string> unbase64url(std::string_view text) {
  std::string plain(text);
  for (char& c : plain) {
    if (c == '+' || c == '/' || c == '=') return fail(ErrorCode::invalid_argument, "not base64url");
    c = c == '-' ? '+' : c == '_' ? '/' : c;
  }
  while (plain.size() % 4 != 0) plain += '=';
  auto bytes = unbase64(plain);
  if (!bytes) return fail(ErrorCode::invalid_argument, "not base64url");
  return std::move(*bytes);
}

Result<KeySet> KeySet::parse(std::string_view json) {
  const Json document = json.size() > kMaxKeySetBytes ? Json(Json::value_t::discarded) : parse_json(json);
  if (!document.is_object() || !document.contains("keys") || !document["keys"].is_array()) {
    return fail(ErrorCode::corrupt, "the provider's keys are not a JWKS document");
  }
  KeySet set;
  for (const Json& jwk : document["keys"]) {
    if (!jwk.is_object() || set.keys_.size() >= kMaxKeys) continue;
    const std::string use = text_of(jwk, "use"), kind = text_of(jwk, "kty"), algorithm = text_of(jwk, "alg");
    if (!use.empty() && use != "sig") continue;
    Key key{text_of(jwk, "kid"), kind == "RSA" ? "RS256" : kind == "EC" ? "ES256" : "", nullptr};
    if (key.algorithm.empty() || (!algorithm.empty() && algorithm != key.algorithm)) continue;
    key.key = kind == "RSA" ? rsa_key(jwk) : p256_key(jwk);
    if (key.key) set.keys_.push_back(std::move(key));
  }
  return set;
}

std::vector<KeySet::Key> KeySet::candidates(std::string_view id, std::string_view algorithm) const {
  std::vector<Key> found;
  for (const Key& key : keys_) {
    if (key.algorithm == algorithm && (id.empty() || key.id == id)) found.push_back(key);
  }
  return found;
}

Result<std::string> verify_id_token(std::string_view token, const KeySet& keys, const TokenRules& rules) {
  const size_t first = token.find('.');
  const size_t second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (token.size() > kMaxTokenBytes || second == std::string_view::npos ||
      token.find('.', second + 1) != std::string_view::npos) {
    return bad("is no signed token");
  }
  const auto head_text = unbase64url(token.substr(0, first));
  auto claims_text = unbase64url(token.substr(first + 1, second - first - 1));
  const auto signature = unbase64url(token.substr(second + 1));
  if (!head_text || !claims_text || !signature) return bad("is no signed token");
  const Json head = parse_json(*head_text);
  const Json claims = parse_json(*claims_text);
  if (!head.is_object() || !claims.is_object()) return bad("is no signed token");

  // The algorithm is held against the key's own, so that "none" or a secret-key one finds no key at all.
  const std::string algorithm = text_of(head, "alg");
  if (algorithm != "RS256" && algorithm != "ES256") return bad("is not signed by RS256 or ES256");
  if (head.contains("crit")) return bad("has extensions that are not known");
  const auto candidates = keys.candidates(text_of(head, "kid"), algorithm);
  if (candidates.empty()) return fail(ErrorCode::not_found, "the provider's token names a key that is not known");
  const std::string_view text = token.substr(0, second);
  const bool good = std::any_of(candidates.begin(), candidates.end(),
                                [&](const KeySet::Key& key) { return is_signed_by(key, text, *signature); });
  if (!good) return bad("has a wrong signature");

  if (text_of(claims, "iss") != rules.issuer) return bad("is of another issuer");
  FB_TRY_VOID(check_audience(claims, rules.client_id));
  FB_TRY_VOID(check_times(claims, rules));
  if (rules.nonce.empty() || !equal_secret(text_of(claims, "nonce"), rules.nonce)) return bad("is not of this login");
  if (text_of(claims, "sub").empty()) return bad("names nobody");
  return std::move(*claims_text);
}

}  // namespace fb::api
