// Logging in through an OpenID provider: a provider of our own, with keys of our own, that says whatever a test wants.
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>

#include <set>

#include "api/oidc/id_token.h"
#include "engine/net/uri.h"
#include "tests/unit/api/api_support.h"

namespace fb::api::test {
namespace {

constexpr const char* kIssuer = "https://login.example";
constexpr const char* kClient = "firebreak";
constexpr const char* kRedirect = "https://firebreak.example/api/firebreak/session/oidc/callback";

std::string number_text(EVP_PKEY* key, const char* name) {
  BIGNUM* n = nullptr;
  EXPECT_EQ(EVP_PKEY_get_bn_param(key, name, &n), 1);
  std::string bytes(static_cast<size_t>(BN_num_bytes(n)), '\0');
  BN_bn2bin(n, reinterpret_cast<unsigned char*>(bytes.data()));
  BN_free(n);
  return bytes;
}

class SigningKey {
 public:
  static SigningKey rsa(const std::string& id, unsigned bits = 2048) {
    return {id, "RS256", EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", static_cast<size_t>(bits))};
  }
  static SigningKey p256(const std::string& id) {
    return {id, "ES256", EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")};
  }

  Json jwk() const {
    if (algorithm == "RS256") {
      return {{"kty", "RSA"},
              {"kid", id},
              {"use", "sig"},
              {"alg", "RS256"},
              {"n", base64url(number_text(key.get(), OSSL_PKEY_PARAM_RSA_N))},
              {"e", base64url(number_text(key.get(), OSSL_PKEY_PARAM_RSA_E))}};
    }
    return {{"kty", "EC"},
            {"kid", id},
            {"crv", "P-256"},
            {"x", base64url(padded(number_text(key.get(), OSSL_PKEY_PARAM_EC_PUB_X)))},
            {"y", base64url(padded(number_text(key.get(), OSSL_PKEY_PARAM_EC_PUB_Y)))}};
  }
  std::string sign(const std::string& text) const {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    EXPECT_EQ(EVP_DigestSignInit(context, nullptr, EVP_sha256(), nullptr, key.get()), 1);
    size_t length = 0;
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    EXPECT_EQ(EVP_DigestSign(context, nullptr, &length, bytes, text.size()), 1);
    std::string signature(length, '\0');
    auto* out = reinterpret_cast<unsigned char*>(signature.data());
    EXPECT_EQ(EVP_DigestSign(context, out, &length, bytes, text.size()), 1);
    EVP_MD_CTX_free(context);
    signature.resize(length);
    return algorithm == "RS256" ? signature : raw(signature);
  }
  std::string token(const Json& claims, Json head = Json::object()) const {
    if (!head.contains("alg")) head["alg"] = algorithm;
    if (!head.contains("kid")) head["kid"] = id;
    const std::string text = base64url(head.dump()) + "." + base64url(claims.dump());
    return text + "." + base64url(sign(text));
  }

  std::string id;
  std::string algorithm;
  std::shared_ptr<EVP_PKEY> key;

 private:
  SigningKey(std::string i, std::string a, EVP_PKEY* k)
      : id(std::move(i)), algorithm(std::move(a)), key(k, EVP_PKEY_free) {}
  static std::string padded(const std::string& bytes) { return std::string(32 - bytes.size(), '\0') + bytes; }
  static std::string raw(const std::string& der) {
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    ECDSA_SIG* signature = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()));
    std::string out(64, '\0');
    BN_bn2binpad(ECDSA_SIG_get0_r(signature), reinterpret_cast<unsigned char*>(out.data()), 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(signature), reinterpret_cast<unsigned char*>(out.data()) + 32, 32);
    ECDSA_SIG_free(signature);
    return out;
  }
};

// Made once: an RSA key takes a while.
const SigningKey& rsa_key() {
  static const SigningKey key = SigningKey::rsa("key-1");
  return key;
}

std::string key_set(const std::vector<SigningKey>& keys) {
  Json list = Json::array();
  for (const SigningKey& key : keys) list.push_back(key.jwk());
  return Json{{"keys", list}}.dump();
}

class IdToken : public testing::Test {
 protected:
  Json claims() const {
    return {{"iss", kIssuer}, {"aud", kClient}, {"sub", "7"}, {"nonce", "n"}, {"iat", 1000}, {"exp", 1300}};
  }
  Json with(const std::string& key, const Json& value) const {
    Json c = claims();
    c[key] = value;
    if (value.is_null()) c.erase(key);
    return c;
  }
  Result<std::string> verify(const std::string& token) const {
    return verify_id_token(token, keys_, {kIssuer, kClient, "n", now_s_, 60});
  }
  bool holds(const Json& c) const { return verify(rsa_key().token(c)).has_value(); }
  std::string why_not(const std::string& token) const {
    const auto v = verify(token);
    return v ? "" : v.error().message;
  }

  int64_t now_s_ = 1100;
  SigningKey curve_ = SigningKey::p256("key-2");
  KeySet keys_ = KeySet::parse(key_set({rsa_key(), curve_})).value();
};

TEST_F(IdToken, GoodOnesOfBothKindsHold) {
  ASSERT_EQ(keys_.size(), 2u);
  const auto rsa = verify(rsa_key().token(claims()));
  ASSERT_TRUE(rsa) << rsa.error().describe();
  EXPECT_EQ(Json::parse(*rsa)["sub"], "7");
  for (int i = 0; i < 20; ++i) {  // r and s of every length
    const auto curve = verify(curve_.token(claims()));
    ASSERT_TRUE(curve) << curve.error().describe();
  }
  EXPECT_TRUE(holds(with("aud", Json::array({kClient}))));
  Json two = with("aud", Json::array({"other", kClient}));
  EXPECT_FALSE(holds(two)) << "two audiences and no azp";
  two["azp"] = kClient;
  EXPECT_TRUE(holds(two));
}

TEST_F(IdToken, ClaimsThatAreNotForUsDoNot) {
  EXPECT_FALSE(holds(with("iss", "https://login.example/")));
  EXPECT_FALSE(holds(with("iss", nullptr)));
  EXPECT_FALSE(holds(with("aud", "other")));
  EXPECT_FALSE(holds(with("aud", Json::array())));
  EXPECT_FALSE(holds(with("aud", nullptr)));
  EXPECT_FALSE(holds(with("azp", "other")));
  EXPECT_FALSE(holds(with("azp", 5)));
  EXPECT_FALSE(holds(with("nonce", "m")));
  EXPECT_FALSE(holds(with("nonce", nullptr)));
  EXPECT_FALSE(holds(with("sub", nullptr)));
  EXPECT_FALSE(holds(with("exp", nullptr)));
  EXPECT_FALSE(holds(with("exp", "1300")));
  EXPECT_FALSE(holds(with("iat", nullptr)));
}

TEST_F(IdToken, TimesHoldWithinTheSkewAndNoFurther) {
  now_s_ = 1359;
  EXPECT_TRUE(holds(claims()));
  now_s_ = 1360;
  EXPECT_FALSE(holds(claims()));
  now_s_ = 940;
  EXPECT_TRUE(holds(claims()));
  now_s_ = 939;
  EXPECT_FALSE(holds(claims()));
  now_s_ = 1100;
  EXPECT_TRUE(holds(with("nbf", 1160)));
  EXPECT_FALSE(holds(with("nbf", 1161)));
}

TEST_F(IdToken, NoOtherWayOfSigningIsTaken) {
  const std::string head = base64url(R"({"alg":"none","kid":"key-1"})");
  EXPECT_FALSE(verify(head + "." + base64url(claims().dump()) + "."));
  for (const char* algorithm : {"none", "None", "HS256", "RS384", "PS256", ""}) {
    EXPECT_NE(why_not(rsa_key().token(claims(), {{"alg", algorithm}})), "") << algorithm;
  }
  // A key of one kind does not answer for the other.
  EXPECT_NE(why_not(rsa_key().token(claims(), {{"alg", "ES256"}})), "");
  EXPECT_NE(why_not(curve_.token(claims(), {{"alg", "RS256"}})), "");
  EXPECT_NE(why_not(rsa_key().token(claims(), {{"crit", {"x"}}, {"x", 1}})), "");
  const SigningKey stranger = SigningKey::rsa("key-1");
  EXPECT_NE(why_not(stranger.token(claims())), "") << "the same name, another key";
  EXPECT_EQ(verify(SigningKey::p256("key-3").token(claims())).error().code, ErrorCode::not_found) << "ask for new keys";
}

TEST_F(IdToken, EveryChangedByteIsSeen) {
  const std::string good = rsa_key().token(claims());
  for (size_t at = 0; at < good.size(); at += 7) {
    std::string changed = good;
    changed[at] = changed[at] == 'A' ? 'B' : 'A';
    if (changed != good) {
      EXPECT_FALSE(verify(changed)) << at;
    }
  }
  for (const std::string& rubbish :
       {std::string(), std::string("."), std::string(".."), std::string("a.b.c"), std::string("a.b.c.d"), good + ".",
        good.substr(0, good.rfind('.')), std::string(100'000, 'A') + ".e30.e30", good + "=", "\xff" + good}) {
    EXPECT_FALSE(verify(rubbish)) << rubbish.substr(0, 40);
  }
}

TEST_F(IdToken, WeakAndForeignKeysAreLeftOut) {
  EXPECT_EQ(KeySet::parse(key_set({SigningKey::rsa("weak", 1024)})).value().size(), 0u);
  Json encrypting = rsa_key().jwk();
  encrypting["use"] = "enc";
  Json secret{{"kty", "oct"}, {"kid", "s"}, {"k", base64url("secret")}};
  Json off_curve = curve_.jwk();
  off_curve["x"] = base64url(std::string(32, '\1'));
  Json one = rsa_key().jwk();
  one["e"] = base64url("\1");
  EXPECT_EQ(
      KeySet::parse(Json{{"keys", {encrypting, secret, off_curve, one, 5, Json::object()}}}.dump()).value().size(), 0u);
  for (const char* rubbish : {"", "[]", "{}", R"({"keys":{}})", "\xff"})
    EXPECT_FALSE(KeySet::parse(rubbish)) << rubbish;
}

// The whole way, over the API.
class Oidc : public ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    keys_ = {rsa_key()};
    claims_ = {{"sub", "7"}, {"preferred_username", "ada"}, {"groups", {"soc", "staff"}}};
    make(settings());
  }
  AccessSettings settings() {
    AccessSettings access;
    access.oidc.issuer = kIssuer;
    access.oidc.client_id = kClient;
    access.oidc.client_secret = "s3cret/+";
    access.oidc.redirect_url = kRedirect;
    access.oidc.roles = {{"soc", Role::responder}, {"leads", Role::approver}, {"root", Role::admin}};
    access.oidc.ask = [this](const std::string& method, const std::string& url,
                             const std::map<std::string, std::string>& headers,
                             const std::string& body) { return provider(method, url, headers, body); };
    return access;
  }

  Result<net::ClientReply> provider(const std::string& method, const std::string& url,
                                    const std::map<std::string, std::string>& headers, const std::string& body) {
    if (is_down_) return fail(ErrorCode::unavailable, "connection refused");
    net::ClientReply reply;
    reply.status = 200;
    if (url == std::string(kIssuer) + "/.well-known/openid-configuration") {
      ++asked_description_;
      reply.body = Json{{"issuer", calls_itself_},
                        {"authorization_endpoint", "https://login.example/auth?tenant=1"},
                        {"token_endpoint", "https://login.example/token"},
                        {"jwks_uri", "https://login.example/jwks"}}
                       .dump();
    } else if (url == "https://login.example/jwks") {
      if (is_down_for_keys_) return fail(ErrorCode::unavailable, "connection refused");
      ++asked_keys_;
      reply.body = key_set(keys_);
    } else if (url == "https://login.example/token" && method == "POST") {
      exchanged_ = net::parse_target("/?" + body)->query;
      authorization_ = headers.contains("Authorization") ? headers.at("Authorization") : "";
      Json claims{{"iss", kIssuer},
                  {"aud", kClient},
                  {"nonce", asked_["nonce"]},
                  {"iat", clock_.wall_ms() / 1000},
                  {"exp", clock_.wall_ms() / 1000 + 300}};
      claims.update(claims_);
      reply.body =
          token_status_ == 200
              ? Json{{"id_token", (signs_ ? *signs_ : keys_.back()).token(claims)}, {"access_token", "x"}}.dump()
              : R"({"error":"invalid_grant"})";
      reply.status = token_status_;
    } else {
      return fail(ErrorCode::not_found, "asked for " + url);
    }
    return reply;
  }

  // The browser's way to the provider; what it was told stands in asked_ and cookie_.
  net::Response begin() {
    const net::Response r = ask(request("GET", "/api/firebreak/session/oidc"));
    if (r.status != 302) return r;
    const std::string& location = r.headers.at("Location");
    asked_ = net::parse_target(location.substr(location.find('/', 8)))->query;
    const std::string& set = r.headers.at("Set-Cookie");
    cookie_ = set.substr(0, set.find(';'));
    return r;
  }
  net::Response come_back(const std::string& state, const std::string& cookie, const std::string& code = "the-code") {
    net::Request r = request("GET", "/api/firebreak/session/oidc/callback?code=" + code + "&state=" + state);
    r.query = {{"code", code}, {"state", state}};
    if (!cookie.empty()) r.headers["cookie"] = cookie;
    return ask(std::move(r));
  }
  net::Response log_in() {
    begin();
    return come_back(asked_["state"], cookie_);
  }

  std::vector<SigningKey> keys_;
  Json claims_;
  std::string calls_itself_ = kIssuer;
  bool is_down_ = false;
  bool is_down_for_keys_ = false;
  std::optional<SigningKey> signs_;  // else the last of keys_
  int token_status_ = 200;
  int asked_description_ = 0, asked_keys_ = 0;
  std::map<std::string, std::string> asked_, exchanged_;
  std::string authorization_, cookie_;
};

TEST_F(Oidc, LetsInWithTheRolesOfTheGroups) {
  const net::Response away = begin();
  ASSERT_EQ(away.status, 302) << away.body;
  EXPECT_TRUE(away.headers.at("Location").starts_with("https://login.example/auth?tenant=1&"));
  EXPECT_EQ(asked_["response_type"], "code");
  EXPECT_EQ(asked_["client_id"], kClient);
  EXPECT_EQ(asked_["redirect_uri"], kRedirect);
  EXPECT_EQ(asked_["scope"], "openid profile");
  EXPECT_EQ(asked_["code_challenge_method"], "S256");
  EXPECT_NE(away.headers.at("Set-Cookie").find("HttpOnly; SameSite=Lax"), std::string::npos);

  const net::Response in = come_back(asked_["state"], "x=y; " + cookie_);
  ASSERT_EQ(in.status, 200) << in.body;
  EXPECT_EQ(Json::parse(in.body)["user"], "ada");
  EXPECT_EQ(Json::parse(in.body)["roles"], Json::array({"responder"}));
  const Sha256 digest = sha256(exchanged_["code_verifier"]);
  EXPECT_EQ(base64url(std::string(reinterpret_cast<const char*>(digest.data()), digest.size())),
            asked_["code_challenge"])
      << "PKCE";
  EXPECT_EQ(exchanged_["code"], "the-code");
  EXPECT_EQ(authorization_, "Basic " + base64("firebreak:s3cret%2F%2B"));

  const std::string& set = in.headers.at("Set-Cookie");
  const std::string session = set.substr(0, set.find(';'));
  const auto as_ada = [&](const std::string& target) {
    return status(with(request("GET", target), "cookie", session));
  };
  EXPECT_EQ(as_ada("/api/firebreak/endpoints"), 200);
  EXPECT_EQ(as_ada("/api/firebreak/users"), 403);
  EXPECT_EQ(audited("logged_in"), 1);
  // The next login follows the groups.
  claims_["groups"] = {"leads", "root"};
  EXPECT_EQ(Json::parse(log_in().body)["roles"], Json::array({"approver", "admin"}));
  EXPECT_EQ(as_ada("/api/firebreak/users"), 200) << "also in sessions that stand";
  EXPECT_EQ(count("SELECT count(*) FROM users WHERE name = 'ada'"), 1);
  EXPECT_EQ(asked_description_, 1);
  EXPECT_EQ(asked_keys_, 1);
}

TEST_F(Oidc, AStateIsGoodOnceForItsBrowserAndForTenMinutes) {
  begin();
  EXPECT_EQ(come_back("nothing", cookie_).status, 401);
  EXPECT_EQ(come_back(asked_["state"], "").status, 401) << "another browser";
  EXPECT_EQ(come_back(asked_["state"], cookie_).status, 401) << "and the state is gone with that";
  begin();
  const std::string old = cookie_, old_state = asked_["state"];
  begin();
  EXPECT_EQ(come_back(old_state, cookie_).status, 401) << "the cookie of another login";
  begin();
  EXPECT_EQ(come_back(asked_["state"], cookie_).status, 200);
  EXPECT_EQ(come_back(asked_["state"], cookie_).status, 401) << "twice";
  begin();
  clock_.advance_ms(10 * 60'000);
  EXPECT_EQ(come_back(asked_["state"], cookie_).status, 401) << "too late";
  EXPECT_EQ(audited("login_refused"), 6);
  EXPECT_EQ(log_in().status, 200);
}

TEST_F(Oidc, TokensThatAreNotRightLetNobodyIn) {
  const std::vector<Json> wrong = {{{"iss", "https://evil.example"}}, {{"aud", "other"}},
                                   {{"nonce", "replayed"}},           {{"exp", 1}},
                                   {{"groups", {"staff"}}},           {{"groups", nullptr}},
                                   {{"preferred_username", ""}},      {{"preferred_username", "a:b<script>"}},
                                   {{"preferred_username", 5}}};
  const Json good = claims_;
  for (const Json& change : wrong) {
    claims_ = good;
    claims_.update(change);
    const net::Response r = log_in();
    EXPECT_EQ(r.status, 401) << change << " " << r.body;
    EXPECT_EQ(Json::parse(r.body)["message"], "the login did not succeed; begin it anew") << "it tells nothing";
    clock_.advance_ms(60'000);  // no budget of guesses in the way
  }
  EXPECT_EQ(count("SELECT count(*) FROM sessions"), 0);
  EXPECT_EQ(count("SELECT count(*) FROM users WHERE created_by LIKE 'oidc:%'"), 0);
  claims_ = good;
  token_status_ = 400;
  EXPECT_EQ(log_in().status, 401);
  EXPECT_NE(ask("SELECT detail FROM audit ORDER BY seq DESC LIMIT 1").find("invalid_grant"), std::string::npos);
}

TEST_F(Oidc, KeysAreFetchedAnewWhenTheProviderChangesThem) {
  EXPECT_EQ(log_in().status, 200);
  keys_ = {SigningKey::p256("key-2")};
  EXPECT_EQ(log_in().status, 401) << "asked a moment ago";
  clock_.advance_ms(5'000);
  EXPECT_EQ(log_in().status, 200);
  EXPECT_EQ(asked_keys_, 2);
  // An old key that the provider no longer has is worth nothing.
  keys_ = {rsa_key()};
  const int before = asked_keys_;
  for (int i = 0; i < 5; ++i) log_in();
  EXPECT_LE(asked_keys_, before + 1) << "and asking has its limit";
}

TEST_F(Oidc, AKeyThatTheProviderTookBackIsGoodForAnHourAtMost) {
  EXPECT_EQ(log_in().status, 200);
  signs_ = rsa_key();
  keys_ = {SigningKey::p256("key-2")};
  EXPECT_EQ(log_in().status, 200) << "known still";
  clock_.advance_ms(3'600'000);
  is_down_for_keys_ = true;
  EXPECT_EQ(log_in().status, 503) << "rather nobody than by old keys";
  EXPECT_EQ(log_in().status, 503);
  is_down_for_keys_ = false;
  EXPECT_EQ(log_in().status, 401) << "a stolen key";
  signs_.reset();
  EXPECT_EQ(log_in().status, 200);
}

TEST_F(Oidc, NobodyIsTakenOver) {
  add_user("ada", {Role::admin}, "correct horse battery");
  EXPECT_EQ(log_in().status, 401) << "ada was added by hand";
  claims_["preferred_username"] = "bob";
  EXPECT_EQ(log_in().status, 200);
  claims_["sub"] = "8";
  EXPECT_EQ(log_in().status, 401) << "another account that calls itself bob";
  claims_["preferred_username"] = "BOB";
  EXPECT_EQ(log_in().status, 401);
  claims_["sub"] = "7";
  EXPECT_EQ(log_in().status, 200);
  add_user("root", {Role::admin});
  ASSERT_TRUE(store_->set_disabled("bob", true, "user:root", "left"));
  EXPECT_EQ(log_in().status, 401) << "disabled here";
}

TEST_F(Oidc, WhoLostEveryGroupHasNothingLeftHere) {
  add_user("root", {Role::admin});
  const net::Response in = log_in();
  ASSERT_EQ(in.status, 200);
  const std::string& set = in.headers.at("Set-Cookie");
  const std::string session = set.substr(0, set.find(';'));
  const std::string key = add_key("ada");
  const auto by = [&](const char* header, const std::string& credentials) {
    return status(with(request("GET", "/api/firebreak/endpoints"), header, credentials));
  };
  ASSERT_EQ(by("cookie", session), 200);
  ASSERT_EQ(by("authorization", key), 200);
  // Another account that only calls itself so takes nothing from anybody.
  claims_["groups"] = {"staff"};
  claims_["sub"] = "8";
  EXPECT_EQ(log_in().status, 401);
  EXPECT_EQ(by("cookie", session), 200);
  EXPECT_EQ(by("authorization", key), 200);
  claims_["sub"] = "7";
  EXPECT_EQ(log_in().status, 401);
  EXPECT_EQ(by("cookie", session), 401);
  EXPECT_EQ(by("authorization", key), 403);
  EXPECT_EQ(count("SELECT count(*) FROM sessions"), 0);
  EXPECT_EQ(audited("roles_changed"), 1);
  EXPECT_EQ(audited("sessions_ended"), 1);
}

TEST_F(Oidc, TheLastAdminWhoLostEveryGroupKeepsTheRoleButNoSession) {
  claims_["groups"] = {"root"};
  ASSERT_EQ(log_in().status, 200);
  claims_["groups"] = Json::array();
  EXPECT_EQ(log_in().status, 401);
  EXPECT_EQ(store_->user("ada").value()->roles, std::vector<Role>{Role::admin});
  EXPECT_EQ(count("SELECT count(*) FROM sessions"), 0);
}

TEST_F(Oidc, OneAddressTakesNoRoomFromTheOthers) {
  // As much as each of six addresses may begin within the time that a login is kept: more than there is room for.
  for (int minute = 0; minute < 9; ++minute) {
    for (int i = 0; i < 120; ++i) {
      net::Request r = request("GET", "/api/firebreak/session/oidc");
      r.peer = "198.51.100." + std::to_string(i % 6);
      ASSERT_EQ(status(std::move(r)), 302) << minute << " " << i;
    }
    clock_.advance_ms(60'000);
  }
  ASSERT_EQ(log_in().status, 200);
  begin();
  const std::string oldest = asked_["state"], oldest_cookie = cookie_;
  for (size_t i = 0; i < kMaxPendingLogins; ++i) {
    clock_.advance_ms(10'000);
    ASSERT_EQ(begin().status, 302);
  }
  EXPECT_EQ(come_back(oldest, oldest_cookie).status, 401) << "its own oldest";
  EXPECT_EQ(come_back(asked_["state"], cookie_).status, 200);
}

TEST_F(Oidc, AProviderThatIsAwayOrSomebodyElse) {
  is_down_ = true;
  EXPECT_EQ(begin().status, 503);
  is_down_ = false;
  EXPECT_EQ(begin().status, 503) << "not asked again at once: each would wait for it";
  EXPECT_EQ(asked_description_, 0);
  clock_.advance_ms(5'000);
  calls_itself_ = "https://evil.example";
  EXPECT_EQ(begin().status, 503);
  calls_itself_ = kIssuer;
  clock_.advance_ms(5'000);
  begin();
  is_down_ = true;
  EXPECT_EQ(come_back(asked_["state"], cookie_).status, 503);
  is_down_ = false;
  net::Request refused = request("GET", "/api/firebreak/session/oidc/callback?error=access_denied&state=x");
  refused.query = {{"error", "access_denied\n<script>"}, {"state", "x"}};
  EXPECT_EQ(status(std::move(refused)), 401);
  EXPECT_NE(ask("SELECT detail FROM audit ORDER BY seq DESC LIMIT 1").find("access_denied"), std::string::npos);
}

TEST_F(Oidc, FloodsEndAtTheirLimits) {
  int begun = 0, refused = 0;
  for (int i = 0; i < 100; ++i) (begin().status == 302 ? begun : refused) += 1;
  EXPECT_EQ(begun, 20);
  EXPECT_EQ(refused, 80);
  std::map<int, int> answers;
  for (int i = 0; i < 50; ++i) ++answers[come_back("guess", cookie_).status];
  EXPECT_EQ(answers[401], 10);
  EXPECT_EQ(answers[429], 40);
  EXPECT_EQ(audited("login_refused"), 10);
}

TEST_F(Oidc, IsOffWithoutAProvider) {
  make();
  EXPECT_EQ(begin().status, 404);
  EXPECT_EQ(come_back("x", "y").status, 404);
}

TEST_F(Oidc, SettingsThatCantWorkAreNamed) {
  const auto key_of = [](const OidcSettings& s) {
    const Status checked = check_oidc(s);
    return checked ? std::string() : checked.error().context;
  };
  OidcSettings s = settings().oidc;
  EXPECT_EQ(key_of(s), "");
  EXPECT_EQ(key_of({}), "") << "off";
  const auto changed = [&](auto change) {
    OidcSettings c = s;
    change(c);
    return key_of(c);
  };
  EXPECT_EQ(changed([](auto& c) { c.issuer = "http://login.example"; }), "oidc.issuer");
  EXPECT_EQ(changed([](auto& c) { c.issuer = "http://127.0.0.1.evil.example"; }), "oidc.issuer");
  EXPECT_EQ(changed([](auto& c) { c.issuer = "http://127.0.0.1:3000"; }), "");
  EXPECT_EQ(changed([](auto& c) { c.issuer = "http://localhost:x@evil.example/"; }), "oidc.issuer");
  EXPECT_EQ(changed([](auto& c) { c.client_id = ""; }), "oidc.client_id");
  EXPECT_EQ(changed([](auto& c) { c.redirect_url = "x"; }), "oidc.redirect_url");
  EXPECT_EQ(changed([](auto& c) { c.roles.clear(); }), "oidc.roles");
  EXPECT_EQ(changed([](auto& c) { c.scopes = {"profile"}; }), "oidc.scopes");
}

}  // namespace
}  // namespace fb::api::test
