#include "api/oidc/provider.h"

#include <algorithm>
#include <utility>

#include "engine/base/digest.h"
#include "engine/base/json.h"
#include "engine/base/text.h"
#include "engine/net/uri.h"

namespace fb::api {
namespace {

using Json = nlohmann::json;

constexpr int64_t kPendingMs = 10 * 60'000;
constexpr size_t kMaxPending = 1000;
constexpr int64_t kDescriptionMs = 3'600'000;
constexpr int64_t kKeysMs = 3'600'000;   // a key that the provider took back is good for no longer than this
constexpr int64_t kAwayMs = 5'000;       // a provider that did not answer is not asked for its description before
constexpr int64_t kKeysAgainMs = 5'000;  // a token with a foreign key id must not make us ask more often
constexpr size_t kMaxReplyBytes = 1u << 20;
constexpr int kTimeoutMs = 10'000;
constexpr size_t kSecretBytes = 32;

std::string text_of(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

std::string digest_of(const std::string& text) {
  const Sha256 d = sha256(text);
  return std::string(reinterpret_cast<const char*>(d.data()), d.size());
}

// Plain http only on this machine: a token or a secret must not cross a network in the clear.
bool is_safe_url(const std::string& url) {
  if (url.starts_with("https://")) return true;
  for (const char* host : {"http://127.0.0.1", "http://localhost", "http://[::1]"}) {
    if (!url.starts_with(host) || url.substr(0, url.find('/', 7)).find('@') != std::string::npos) continue;
    const char next = url.size() == std::string_view(host).size() ? '/' : url[std::string_view(host).size()];
    if (next == ':' || next == '/') return true;
  }
  return false;
}

std::string form(const std::vector<std::pair<std::string, std::string>>& fields) {
  std::string out;
  for (const auto& [name, value] : fields) {
    out += (out.empty() ? "" : "&") + net::percent_encode(name) + "=" + net::percent_encode(value);
  }
  return out;
}

tl::unexpected<Error> not_answering(const std::string& what) {
  return fail(ErrorCode::unavailable, "the OpenID provider " + what);
}

}  // namespace

Status check_oidc(const OidcSettings& settings) {
  if (!settings.is_on()) return {};
  const auto wrong = [](const char* key, const char* what) {
    return fail(ErrorCode::invalid_argument, what, std::string("oidc.") + key);
  };
  if (!is_safe_url(settings.issuer)) return wrong("issuer", "the issuer is an https URL (http on this machine only)");
  if (settings.client_id.empty()) return wrong("client_id", "the provider needs to know which client this is");
  if (!is_safe_url(settings.redirect_url)) {
    return wrong("redirect_url", "where browsers come back to is an https URL (http on this machine only)");
  }
  if (settings.roles.empty()) return wrong("roles", "name which groups of the provider have which roles");
  if (std::find(settings.scopes.begin(), settings.scopes.end(), "openid") == settings.scopes.end()) {
    return wrong("scopes", "the scopes must have openid among them");
  }
  return {};
}

OidcProvider::OidcProvider(OidcSettings settings, const Clock& clock) : settings_(std::move(settings)), clock_(clock) {}

Result<net::ClientReply> OidcProvider::ask(const std::string& method, const std::string& url,
                                           const std::map<std::string, std::string>& headers, const std::string& body) {
  if (settings_.ask) return settings_.ask(method, url, headers, body);
  net::ClientOptions options;
  options.ca_file = settings_.ca_file;
  options.connect_timeout_ms = kTimeoutMs;
  options.total_timeout_ms = kTimeoutMs;
  options.max_reply_bytes = kMaxReplyBytes;
  net::HttpClient client(options);
  return client.request(method, url, headers, body);
}

Result<OidcProvider::Description> OidcProvider::description() {
  {
    const std::lock_guard lock(mutex_);
    if (description_ && description_->until_ms > clock_.mono_ms()) return *description_;
    if (clock_.mono_ms() < away_until_ms_) return not_answering("did not answer a moment ago");
  }
  auto asked = ask_description();
  const std::lock_guard lock(mutex_);
  if (asked) {
    description_ = *asked;
  } else {
    away_until_ms_ = clock_.mono_ms() + kAwayMs;
  }
  return asked;
}

Result<OidcProvider::Description> OidcProvider::ask_description() {
  std::string url = settings_.issuer;
  while (url.ends_with('/')) url.pop_back();
  FB_TRY(const net::ClientReply reply, ask("GET", url + "/.well-known/openid-configuration", {}, ""));
  if (reply.status != 200) return not_answering("has no description: status " + std::to_string(reply.status));
  const Json json = parse_json(reply.body);
  if (!json.is_object()) return not_answering("has a description that is not JSON");
  // Else a description from elsewhere could speak for this issuer.
  if (text_of(json, "issuer") != settings_.issuer) return not_answering("calls itself by another name");
  Description d{text_of(json, "authorization_endpoint"), text_of(json, "token_endpoint"), text_of(json, "jwks_uri"),
                clock_.mono_ms() + kDescriptionMs};
  for (const std::string& endpoint : {d.authorization_endpoint, d.token_endpoint, d.jwks_uri}) {
    if (!is_safe_url(endpoint)) return not_answering("names an address that is not https");
  }
  return d;
}

Result<std::shared_ptr<const KeySet>> OidcProvider::keys(bool fresh) {
  {
    const std::lock_guard lock(mutex_);
    const bool soon_again = clock_.mono_ms() - keys_asked_ms_ < kKeysAgainMs;
    const bool hold = keys_ && clock_.mono_ms() < keys_until_ms_;
    if (hold && (!fresh || soon_again)) return keys_;
    keys_asked_ms_ = clock_.mono_ms();
  }
  FB_TRY(const Description at, description());
  FB_TRY(const net::ClientReply reply, ask("GET", at.jwks_uri, {}, ""));
  if (reply.status != 200) return not_answering("does not tell its keys: status " + std::to_string(reply.status));
  FB_TRY(KeySet set, KeySet::parse(reply.body));
  const std::lock_guard lock(mutex_);
  keys_ = std::make_shared<const KeySet>(std::move(set));
  keys_until_ms_ = clock_.mono_ms() + kKeysMs;
  return keys_;
}

Result<OidcProvider::Begun> OidcProvider::begin(const std::string& from) {
  FB_TRY(const Description at, description());
  Pending pending;
  pending.from = from;
  const std::string state = base64url(random_bytes(kSecretBytes));
  Begun begun;
  begun.browser = base64url(random_bytes(kSecretBytes));
  pending.browser_sha256 = digest_of(begun.browser);
  pending.nonce = base64url(random_bytes(kSecretBytes));
  pending.verifier = base64url(random_bytes(kSecretBytes));
  pending.until_ms = clock_.mono_ms() + kPendingMs;
  std::string scopes;
  for (const std::string& scope : settings_.scopes) scopes += (scopes.empty() ? "" : " ") + scope;
  begun.location = at.authorization_endpoint;
  begun.location += begun.location.find('?') == std::string::npos ? '?' : '&';
  begun.location += form({{"response_type", "code"},
                          {"client_id", settings_.client_id},
                          {"redirect_uri", settings_.redirect_url},
                          {"scope", scopes},
                          {"state", state},
                          {"nonce", pending.nonce},
                          {"code_challenge", base64url(digest_of(pending.verifier))},
                          {"code_challenge_method", "S256"}});
  const std::lock_guard lock(mutex_);
  std::erase_if(pending_, [&](const auto& p) { return p.second.until_ms <= clock_.mono_ms(); });
  // Whoever begins more gives up what they began first, never somebody else's.
  auto oldest = pending_.end();
  size_t begun_here = 0;
  for (auto it = pending_.begin(); it != pending_.end(); ++it) {
    if (it->second.from != from) continue;
    ++begun_here;
    if (oldest == pending_.end() || it->second.number < oldest->second.number) oldest = it;
  }
  if (begun_here >= kMaxPendingLogins) pending_.erase(oldest);
  pending.number = ++begun_;
  if (pending_.size() >= kMaxPending) return fail(ErrorCode::limit, "too many logins are under way");
  pending_[state] = std::move(pending);
  return begun;
}

std::optional<OidcProvider::Pending> OidcProvider::take(const std::string& state) {
  const std::lock_guard lock(mutex_);
  const auto it = pending_.find(state);
  if (it == pending_.end()) return std::nullopt;
  Pending pending = std::move(it->second);
  pending_.erase(it);
  if (pending.until_ms <= clock_.mono_ms()) return std::nullopt;
  return pending;
}

void OidcProvider::give_up(const std::string& state) {
  (void)take(state);
}

Result<std::string> OidcProvider::exchange(const Description& at, const std::string& code,
                                           const std::string& verifier) {
  std::vector<std::pair<std::string, std::string>> fields = {{"grant_type", "authorization_code"},
                                                             {"code", code},
                                                             {"redirect_uri", settings_.redirect_url},
                                                             {"code_verifier", verifier}};
  std::map<std::string, std::string> headers = {{"Content-Type", "application/x-www-form-urlencoded"},
                                                {"Accept", "application/json"}};
  if (settings_.client_secret.empty()) {
    fields.emplace_back("client_id", settings_.client_id);
  } else {
    headers["Authorization"] = "Basic " + base64(net::percent_encode(settings_.client_id) + ":" +
                                                 net::percent_encode(settings_.client_secret));
  }
  FB_TRY(const net::ClientReply reply, ask("POST", at.token_endpoint, headers, form(fields)));
  const Json json = parse_json(reply.body);
  if (reply.status >= 500) return not_answering("failed with status " + std::to_string(reply.status));
  if (reply.status != 200 || !json.is_object()) {
    const std::string why = json.is_object() ? printable(text_of(json, "error").substr(0, 100)) : std::string();
    return fail(ErrorCode::refused, "the provider does not take the code" + (why.empty() ? "" : ": " + why));
  }
  const std::string token = text_of(json, "id_token");
  if (token.empty()) return fail(ErrorCode::refused, "the provider's answer has no id_token");
  return token;
}

Result<std::string> OidcProvider::verify(const std::string& token, const std::string& nonce) {
  const TokenRules rules{settings_.issuer, settings_.client_id, nonce, clock_.wall_ms() / 1000, settings_.clock_skew_s};
  FB_TRY(const auto known, keys(false));
  auto claims = verify_id_token(token, *known, rules);
  if (claims || claims.error().code != ErrorCode::not_found) return claims;
  FB_TRY(const auto fresh, keys(true));
  claims = verify_id_token(token, *fresh, rules);
  if (!claims) return fail(ErrorCode::refused, claims.error().message);
  return claims;
}

Result<OidcProvider::Person> OidcProvider::person_of(const std::string& text) const {
  const Json claims = parse_json(text);
  Person person;
  person.name = text_of(claims, settings_.name_claim.c_str());
  if (person.name.empty()) {
    return fail(ErrorCode::refused,
                "the provider's token has no " + printable(settings_.name_claim) + " to call the person by");
  }
  if (settings_.name_claim == "email" && claims.value("email_verified", Json(false)) != Json(true)) {
    return fail(ErrorCode::refused, "the provider has not verified this email address");
  }
  person.identity = "oidc:" + hex(sha256_parts({"fb-oidc-1", settings_.issuer, text_of(claims, "sub")})).substr(0, 32);
  const auto groups = claims.find(settings_.roles_claim);
  const auto add = [&](const Json& group) {
    if (!group.is_string()) return;
    const auto role = settings_.roles.find(group.get<std::string>());
    if (role == settings_.roles.end()) return;
    if (std::find(person.roles.begin(), person.roles.end(), role->second) == person.roles.end()) {
      person.roles.push_back(role->second);
    }
  };
  if (groups != claims.end() && groups->is_array()) {
    for (const Json& group : *groups) add(group);
  } else if (groups != claims.end()) {
    add(*groups);
  }
  std::sort(person.roles.begin(), person.roles.end());
  return person;
}

Result<OidcProvider::Person> OidcProvider::finish(const std::string& state, const std::string& browser,
                                                  const std::string& code) {
  // Once: whatever comes of it, the same state is worth nothing afterwards.
  const auto pending = take(state);
  if (!pending) return fail(ErrorCode::refused, "no such login is under way; begin anew");
  if (browser.empty() || !equal_secret(digest_of(browser), pending->browser_sha256)) {
    return fail(ErrorCode::refused, "another browser began this login; begin anew");
  }
  if (code.empty()) return fail(ErrorCode::refused, "the provider sent no code");
  FB_TRY(const Description at, description());
  FB_TRY(const std::string token, exchange(at, code, pending->verifier));
  FB_TRY(const std::string claims, verify(token, pending->nonce));
  return person_of(claims);
}

}  // namespace fb::api
