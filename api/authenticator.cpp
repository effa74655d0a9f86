#include "api/authenticator.h"

#include <algorithm>
#include <utility>

#include "engine/access/passwords.h"
#include "engine/base/digest.h"
#include "engine/base/log.h"
#include "engine/base/text.h"

namespace fb::api {
namespace {

constexpr size_t kMaxCredentialBytes = 4096;
constexpr int64_t kRememberMs = 5 * 60'000;
constexpr size_t kMaxRemembered = 4096;
constexpr int64_t kTouchEveryMs = 60'000;  // a session's last use is not written more often
constexpr size_t kTokenBytes = 32;
// Logins that an address may begin at a provider.
constexpr double kLoginsAtOnce = 20;
constexpr double kLoginsPerMinute = 20;

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return lower(x) == lower(y);
  });
}

// "ApiKey abc" -> the scheme and the rest.
std::pair<std::string_view, std::string_view> scheme_of(std::string_view header) {
  const size_t blank = header.find(' ');
  if (blank == std::string_view::npos) return {header, {}};
  std::string_view rest = header.substr(blank + 1);
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  return {header.substr(0, blank), rest};
}

// base64 of "name:secret"; the name holds no colon.
std::optional<std::pair<std::string, std::string>> pair_of(std::string_view encoded) {
  if (encoded.size() > kMaxCredentialBytes) return std::nullopt;
  auto plain = unbase64(encoded);
  if (!plain) return std::nullopt;
  const size_t colon = plain->find(':');
  if (colon == std::string::npos) return std::nullopt;
  return std::pair{plain->substr(0, colon), plain->substr(colon + 1)};
}

const std::string& authorization(const net::Request& request) {
  static const std::string none;
  const auto it = request.headers.find("authorization");
  return it == request.headers.end() ? none : it->second;
}

Identified out_of_order(Identified so_far, const Error& error) {
  log(LogLevel::error, "credentials_not_read", error.describe());
  so_far.status = 503;
  so_far.reason = "the record can't be read";
  return so_far;
}

}  // namespace

std::optional<std::string> cookie(const net::Request& request, std::string_view name) {
  const auto it = request.headers.find("cookie");
  if (it == request.headers.end()) return std::nullopt;
  std::string_view rest = it->second;
  while (!rest.empty()) {
    std::string_view one = rest.substr(0, rest.find(';'));
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
    while (!one.empty() && one.front() == ' ') one.remove_prefix(1);
    const size_t equals = one.find('=');
    if (equals != std::string_view::npos && one.substr(0, equals) == name) return std::string(one.substr(equals + 1));
  }
  return std::nullopt;
}

Authenticator::Authenticator(Store& store, const Clock& clock, AccessSettings settings)
    : store_(store),
      clock_(clock),
      settings_(std::move(settings)),
      process_key_(random_bytes(32)),
      guesses_(settings_.guesses_at_once, settings_.guesses_per_minute),
      begun_logins_(kLoginsAtOnce, kLoginsPerMinute) {
  if (settings_.oidc.is_on()) provider_ = std::make_unique<OidcProvider>(settings_.oidc, clock_);
}

Identified Authenticator::identify(const net::Request& request) {
  Identified found;
  found.who.address = request.peer;
  if (request.peer == "unix") {
    // The socket is for the service's own user (mode 0600).
    found.who.person = "local";
    found.who.roles = {Role::admin};
    return found;
  }
  // Only the connection tells the address; headers that claim another one are not looked at.
  if (const std::string& header = authorization(request); !header.empty()) {
    const auto [scheme, rest] = scheme_of(header);
    if (same_word(scheme, "ApiKey")) return by_key(rest, std::move(found));
    if (same_word(scheme, "Basic")) return by_password(rest, std::move(found));
    return refuse(std::move(found), "an unknown scheme");
  }
  if (const auto token = cookie(request, kSessionCookie)) return by_session(*token, std::move(found));
  found.status = 401;
  found.reason = "no credentials";
  return found;
}

bool Authenticator::is_slow(const net::Request& request) {
  if (request.peer == "unix") return false;
  const auto [scheme, rest] = scheme_of(authorization(request));
  if (!same_word(scheme, "Basic")) return false;
  const auto parts = pair_of(rest);
  if (!parts || !guesses_.left(address_group(request.peer), clock_.mono_ms())) return false;
  const auto user = store_.user(parts->first);
  return !user || !*user || !remembers(memory_key(parts->first, parts->second, (*user)->password_hash));
}

Identified Authenticator::refuse(Identified so_far, std::string reason) {
  const std::string group = address_group(so_far.who.address);
  const bool may_guess_on = guesses_.take(group, clock_.mono_ms());
  so_far.status = may_guess_on ? 401 : 429;
  so_far.wait_s = may_guess_on ? 0 : guesses_.wait_s(group, clock_.mono_ms());
  so_far.reason = std::move(reason);
  so_far.who.roles.clear();
  so_far.who.scopes.clear();
  return so_far;
}

Identified Authenticator::admit(const UserRow& user, Identified so_far) {
  so_far.who.person = user.name;
  if (user.disabled) return refuse(std::move(so_far), "the person is disabled");
  so_far.who.roles = user.roles;
  return so_far;
}

// Every way that ends in a refusal compares a digest, and all end in the same answer.
Identified Authenticator::by_key(std::string_view encoded, Identified so_far) {
  const auto parts = pair_of(encoded);
  if (!parts) return refuse(std::move(so_far), "an API key that is none");
  auto key = store_.key(parts->first);
  if (!key && key.error().code != ErrorCode::unsupported) return out_of_order(std::move(so_far), key.error());
  const bool known = key && *key;
  const std::string digest = hex(sha256(parts->second));
  const bool same = equal_secret(known ? (*key)->secret_sha256 : std::string(64, '0'), digest);
  if (!key) return refuse(std::move(so_far), key.error().message);
  if (!known) return refuse(std::move(so_far), "an API key that is not known");
  so_far.who.key_id = (*key)->id;
  if (!same) return refuse(std::move(so_far), "a wrong secret");
  if ((*key)->revoked_at_ms != 0) return refuse(std::move(so_far), "the key was revoked");
  if ((*key)->expires_at_ms != 0 && (*key)->expires_at_ms <= clock_.wall_ms()) {
    return refuse(std::move(so_far), "the key has expired");
  }
  const auto user = store_.user((*key)->person);
  if (!user) return out_of_order(std::move(so_far), user.error());
  if (!*user) return refuse(std::move(so_far), "the key's person is gone");
  so_far.who.scopes = (*key)->scopes;
  return admit(**user, std::move(so_far));
}

Identified Authenticator::by_password(std::string_view encoded, Identified so_far) {
  const auto parts = pair_of(encoded);
  if (!parts) return refuse(std::move(so_far), "Basic credentials that are none");
  return check_name_and_password(parts->first, parts->second, std::move(so_far));
}

Identified Authenticator::check_name_and_password(const std::string& name, const std::string& password,
                                                  Identified so_far, std::string* checked) {
  auto user = store_.user(name);
  if (!user) return out_of_order(std::move(so_far), user.error());
  const std::string hash = *user ? (*user)->password_hash : "";
  if (checked != nullptr) *checked = hash;
  const std::string key = memory_key(name, password, hash);
  if (*user && !hash.empty() && remembers(key)) return admit(**user, std::move(so_far));
  // A guess is paid before the work, so that a flood of them can't have it all done at once.
  const std::string group = address_group(so_far.who.address);
  if (!guesses_.take(group, clock_.mono_ms())) {
    so_far.status = 429;
    so_far.wait_s = guesses_.wait_s(group, clock_.mono_ms());
    so_far.reason = "too many wrong passwords";
    return so_far;
  }
  const bool right = check_password(hash, password);
  if (*user) so_far.who.person = (*user)->name;
  if (!right) {
    so_far.status = 401;
    so_far.reason = *user ? "a wrong password" : "nobody of this name";
    return so_far;
  }
  guesses_.give_back(group, clock_.mono_ms());
  remember(key);
  return admit(**user, std::move(so_far));
}

Identified Authenticator::by_session(const std::string& token, Identified so_far) {
  const std::string digest = hex(sha256(token));
  auto session = store_.session(digest);
  if (!session) return out_of_order(std::move(so_far), session.error());
  if (!*session) return refuse(std::move(so_far), "a session that is not known");
  const int64_t now = clock_.wall_ms();
  so_far.who.person = (*session)->person;
  if (is_over(**session)) {
    // No guess: whoever has this token was let in once.
    so_far.status = 401;
    so_far.reason = "the session is over";
    return so_far;
  }
  const auto user = store_.user((*session)->person);
  if (!user) return out_of_order(std::move(so_far), user.error());
  if (!*user) return refuse(std::move(so_far), "the session's person is gone");
  if (now - (*session)->last_seen_ms >= kTouchEveryMs) (void)store_.touch_session(digest, now);
  so_far.session_sha256 = digest;
  return admit(**user, std::move(so_far));
}

Result<Authenticator::Standing> Authenticator::standing(const Principal& who, const std::string& session_sha256) {
  Standing now{who, session_sha256, ""};
  if (who.address == "unix" || !who.key_id.empty() || !session_sha256.empty()) return now;
  FB_TRY(const auto user, store_.user(who.person));
  if (user) now.password_hash = user->password_hash;
  return now;
}

bool Authenticator::still_may(const Standing& standing, const std::vector<Privilege>& all_of) {
  Principal now = standing.who;
  if (now.address != "unix") {
    if (!now.key_id.empty()) {
      const auto key = store_.key(now.key_id);
      if (!key || !*key || (*key)->revoked_at_ms != 0) return false;
      if ((*key)->expires_at_ms != 0 && (*key)->expires_at_ms <= clock_.wall_ms()) return false;
    } else if (!standing.session_sha256.empty()) {
      const auto session = store_.session(standing.session_sha256);
      if (!session || !*session || is_over(**session)) return false;
    }
    const auto user = store_.user(now.person);
    if (!user || !*user || (*user)->disabled) return false;
    const bool by_password = now.key_id.empty() && standing.session_sha256.empty();
    if (by_password && (*user)->password_hash != standing.password_hash) return false;
    now.roles = (*user)->roles;
  }
  return std::all_of(all_of.begin(), all_of.end(), [&](Privilege p) { return now.may(p); });
}

bool Authenticator::is_over(const SessionRow& session) const {
  const int64_t now = clock_.wall_ms();
  return now >= session.expires_at_ms || now - session.last_seen_ms >= settings_.session_idle_ms;
}

Authenticator::Login Authenticator::log_in(const std::string& name, const std::string& password,
                                           const std::string& address) {
  Login login;
  login.result.who.address = address;
  std::string checked;
  login.result = check_name_and_password(name, password, std::move(login.result), &checked);
  if (login.result.status == 0) open_session(login, checked);
  return login;
}

void Authenticator::open_session(Login& login, const std::optional<std::string>& checked) {
  const int64_t now = clock_.wall_ms();
  std::string token = hex(random_bytes(kTokenBytes));
  const std::string digest = hex(sha256(token));
  const Status kept =
      store_.add_session(digest, {login.result.who.person, now, now, now + settings_.session_max_ms}, checked);
  if (!kept && kept.error().code == ErrorCode::refused) {
    login.result = refuse(std::move(login.result), kept.error().message);
    return;
  }
  if (!kept) {
    login.result = out_of_order(std::move(login.result), kept.error());
    return;
  }
  login.token = std::move(token);
  login.result.session_sha256 = digest;
}

Result<OidcProvider::Begun> Authenticator::begin_oidc(const std::string& address) {
  if (!provider_) return fail(ErrorCode::not_found, "no OpenID provider is set up");
  if (!begun_logins_.take(address_group(address), clock_.mono_ms())) {
    return fail(ErrorCode::limit, "too many logins were begun from this address");
  }
  return provider_->begin(address_group(address));
}

// The provider gives this person nothing any more: what they have here, keys and sessions, must not outlive that. The
// last admin's roles stay, since nobody could give roles any more, but the sessions end.
Status Authenticator::take_roles(const UserRow& user) {
  UserChange change;
  change.ends_sessions = true;
  if (!user.roles.empty()) change.roles.emplace();
  const Status done = store_.change_user(user.name, change, user.created_by, "the provider gives no role any more");
  if (done || done.error().code != ErrorCode::conflict) return done;
  change.roles.reset();
  return store_.change_user(user.name, change, user.created_by,
                            "the provider gives no role any more; the last admin keeps theirs");
}

// Somebody who was added by hand, or came as another person of the provider, is not taken over.
Result<UserRow> Authenticator::known_person(const OidcProvider::Person& person) {
  FB_TRY(auto user, store_.user(person.name));
  if (person.roles.empty()) {
    if (user && user->created_by == person.identity) FB_TRY_VOID(take_roles(*user));
    return fail(ErrorCode::refused,
                "none of the person's " + printable(settings_.oidc.roles_claim) + " gives a role here");
  }
  if (!user) {
    UserRow fresh;
    fresh.name = person.name;
    fresh.roles = person.roles;
    FB_TRY_VOID(store_.add_user(fresh, person.identity));
  } else if (user->created_by != person.identity) {
    return fail(ErrorCode::refused, "this name belongs to somebody else here");
  } else if (!std::is_permutation(user->roles.begin(), user->roles.end(), person.roles.begin(), person.roles.end())) {
    FB_TRY_VOID(store_.set_roles(user->name, person.roles, person.identity, "as the provider says"));
  }
  FB_TRY(auto now, store_.user(person.name));
  if (!now) return fail(ErrorCode::conflict, "the person was removed meanwhile");
  return std::move(*now);
}

Authenticator::Login Authenticator::finish_oidc(const std::string& state, const std::string& browser,
                                                const std::string& code, const std::string& address) {
  Login login;
  login.result.who.address = address;
  if (!provider_) {
    login.result = refuse(std::move(login.result), "no OpenID provider is set up");
    return login;
  }
  if (!guesses_.left(address_group(address), clock_.mono_ms())) {
    login.result = refuse(std::move(login.result), "too many failed logins");
    return login;
  }
  const auto person = provider_->finish(state, browser, code);
  if (person) login.result.who.person = person->name;
  const Result<UserRow> user = person ? known_person(*person) : Result<UserRow>(tl::unexpected<Error>(person.error()));
  if (!user && user.error().code == ErrorCode::unavailable) {
    login.result.status = 503;
    login.result.reason = user.error().describe();
  } else if (!user) {
    login.result = refuse(std::move(login.result), user.error().describe());
  } else {
    login.result = admit(*user, std::move(login.result));
    if (login.result.status == 0) open_session(login, std::nullopt);
  }
  return login;
}

Identified Authenticator::refuse_oidc(const std::string& state, std::string reason, const std::string& address) {
  if (provider_) provider_->give_up(state);
  Identified result;
  result.who.address = address;
  return refuse(std::move(result), std::move(reason));
}

std::string Authenticator::memory_key(std::string_view name, std::string_view password, std::string_view hash) const {
  const Sha256 digest = sha256_parts({"fb-password-1", process_key_, name, password, hash});
  return hex(digest);
}

bool Authenticator::remembers(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto it = good_until_.find(key);
  return it != good_until_.end() && it->second > clock_.mono_ms();
}

void Authenticator::remember(std::string key) {
  const std::lock_guard lock(mutex_);
  if (good_until_.size() >= kMaxRemembered) good_until_.clear();
  good_until_[std::move(key)] = clock_.mono_ms() + kRememberMs;
}

}  // namespace fb::api
