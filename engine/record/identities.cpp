// People, their API keys and browser sessions.
#include "engine/record/identities.h"

#include <algorithm>

#include "engine/base/text.h"
#include "engine/record/impl.h"

namespace fb {

using record::Rows;
using record::Sqlite;
using record::Txn;
using record::Writer;

namespace {

constexpr size_t kMaxNameBytes = 64;
constexpr size_t kMaxPurposeBytes = 256;
constexpr int64_t kKeepSessionsMs = 24 * 3'600'000ll;  // dead ones, until the next login sweeps them out

// A name stands in Basic credentials (no colon) and in the audit behind "user:"; the rest would only confuse.
Status check_name(const std::string& name) {
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-' || c == '@' || c == '+';
  });
  if (name.empty() || name.size() > kMaxNameBytes || !plain || name.front() == '-') {
    return fail(ErrorCode::invalid_argument,
                "a user's name is 1 to 64 letters, digits, '.', '_', '-', '@' or '+', and does not begin with '-'");
  }
  std::string small = name;  // names are one without regard to case
  for (char& c : small) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (small == "local" || small == "service") return fail(ErrorCode::invalid_argument, "this name is Firebreak's own");
  return {};
}

template <class Word>
std::string words_json(const std::vector<Word>& words) {
  std::vector<std::string> list;
  for (const Word w : words) {
    std::string word(to_string(w));
    if (std::find(list.begin(), list.end(), word) == list.end()) list.push_back(std::move(word));
  }
  return record::string_list_json(list);
}

template <class Word>
std::string words_text(const std::vector<Word>& words) {
  std::string text;
  for (const Word w : words) text += (text.empty() ? "" : ", ") + std::string(to_string(w));
  return text.empty() ? "none" : text;
}

// A word that this version does not know gives nothing.
std::vector<Role> roles_of(std::string_view json) {
  std::vector<Role> roles;
  for (const std::string& word : record::string_list(json)) {
    if (const auto role = role_from(word)) roles.push_back(*role);
  }
  return roles;
}

UserRow user_of(const Rows& row) {
  return {row.string(0), roles_of(row.text(1)), row.integer(2) != 0, row.string(3), row.integer(4), row.string(5)};
}

// A scope that this version does not know must not turn a narrow key into one without scopes, which may all.
Result<KeyRow> key_of(const Rows& row) {
  KeyRow key{row.string(0),  row.string(1), row.string(2),  row.string(3), row.string(4), {},
             row.integer(6), row.string(7), row.integer(8), row.integer(9)};
  for (const std::string& word : record::string_list(row.text(5))) {
    const auto scope = privilege_from(word);
    if (!scope)
      return fail(ErrorCode::unsupported, "the key has a scope that is not known: " + printable(word), key.id);
    key.scopes.push_back(*scope);
  }
  return key;
}
constexpr std::string_view kOneKey =
    "SELECT id, prefix, secret_sha256, person, name, scopes, created_at, created_by, expires_at, revoked_at "
    "FROM api_keys WHERE id = ?";
constexpr std::string_view kAllKeys =
    "SELECT id, prefix, secret_sha256, person, name, scopes, created_at, created_by, expires_at, revoked_at "
    "FROM api_keys WHERE ?1 = '' OR person = ?1 COLLATE NOCASE ORDER BY created_at, id";
constexpr std::string_view kOneUser =
    "SELECT name, roles, disabled, password_hash, created_at, created_by FROM users WHERE name = ?";
constexpr std::string_view kAllUsers =
    "SELECT name, roles, disabled, password_hash, created_at, created_by FROM users ORDER BY name";

Result<std::optional<UserRow>> one_user(Sqlite& db, const std::string& name) {
  FB_TRY(Rows rows, db.query(kOneUser, name));
  FB_TRY(const bool any, rows.next());
  if (!any) return std::optional<UserRow>();
  return std::optional<UserRow>(user_of(rows));
}

Result<bool> any_admin(Sqlite& db) {
  FB_TRY(Rows rows, db.query(kAllUsers));
  for (;;) {
    FB_TRY(const bool more, rows.next());
    if (!more) return false;
    const UserRow user = user_of(rows);
    if (!user.disabled && std::find(user.roles.begin(), user.roles.end(), Role::admin) != user.roles.end()) return true;
  }
}

// Runs a change and refuses it when it took the last admin away.
template <class Change>
Status keep_an_admin(Txn& txn, Change&& change) {
  FB_TRY(const bool before, any_admin(txn.db));
  FB_TRY_VOID(change());
  if (!before) return {};
  FB_TRY(const bool after, any_admin(txn.db));
  if (!after) return fail(ErrorCode::conflict, "this would leave no admin who can log in");
  return {};
}

Status insert_user(Txn& txn, const UserRow& user, const std::string& who) {
  FB_TRY_VOID(check_name(user.name));
  FB_TRY(const auto other, txn.db.text("SELECT name FROM users WHERE name = ?", user.name));
  if (other) return fail(ErrorCode::already_exists, "there is a user '" + *other + "' already");
  FB_TRY_VOID(
      txn.db.run("INSERT INTO users(name, roles, disabled, password_hash, created_at, created_by) VALUES(?,?,?,?,?,?)",
                 user.name, words_json(user.roles), user.disabled, user.password_hash, txn.now_ms, who));
  return txn.audit(who, "user_added", user.name, "roles: " + words_text(user.roles));
}

Status insert_key(Txn& txn, const KeyRow& key, const std::string& who) {
  if (key.name.size() > kMaxPurposeBytes)
    return fail(ErrorCode::invalid_argument, "a key's name has at most 256 bytes");
  if (key.id.empty() || key.secret_sha256.size() != 64)
    return fail(ErrorCode::invalid_argument, "a key needs an id and a hash");
  FB_TRY(const auto person, txn.db.text("SELECT name FROM users WHERE name = ?", key.person));
  if (!person) return fail(ErrorCode::not_found, "there is no user '" + printable(key.person) + "'");
  FB_TRY_VOID(
      txn.db.run("INSERT INTO api_keys(id, prefix, secret_sha256, person, name, scopes, created_at, created_by, "
                 "expires_at, revoked_at) VALUES(?,?,?,?,?,?,?,?,?,0)",
                 key.id, key.prefix, key.secret_sha256, *person, to_utf8(key.name), words_json(key.scopes), txn.now_ms,
                 who, key.expires_at_ms));
  return txn.audit(who, "key_added", key.id,
                   "of " + *person + ", scopes: " + (key.scopes.empty() ? "all of the roles" : words_text(key.scopes)) +
                       (key.expires_at_ms == 0 ? "" : ", until " + iso8601(key.expires_at_ms)));
}

std::string because(const std::string& why) {
  return why.empty() ? "" : ": " + to_utf8(why);
}

tl::unexpected<Error> no_user(const std::string& name) {
  return fail(ErrorCode::not_found, "there is no user '" + printable(name) + "'");
}

// The row from memory, or out of the record and then remembered.
template <class Row, class Impl>
Result<std::optional<Row>> remembered(Impl& impl, record::Remembered<Row>& rows, const std::string& key,
                                      const std::function<Result<std::optional<Row>>(Sqlite&)>& read) {
  const uint64_t version = impl.identities.load();
  const int64_t now = impl.clock->mono_ms();
  if (const auto known = rows.find(key, version, now)) return std::optional<Row>(*known);
  FB_TRY(std::optional<Row> row, impl.readers->template with<std::optional<Row>>(read));
  if (row) rows.put(key, version, now, *row);
  return row;
}

}  // namespace

Status Store::Impl::change_identities(Writer::Work work) {
  const Status done = writer->run(Writer::Kind::control, [&](Txn& txn) {
    txn.after_commit.emplace_back([this] { identities.fetch_add(1); });
    return work(txn);
  });
  if (!done) identities.fetch_add(1);  // what is on disk may be in doubt: nothing is taken from memory
  return done;
}

Status Store::add_user(const UserRow& user, const std::string& who) {
  return impl_->change_identities([&](Txn& txn) { return insert_user(txn, user, who); });
}

Status Store::change_user(const std::string& name, const UserChange& change, const std::string& who,
                          const std::string& why) {
  return impl_->change_identities([&](Txn& txn) -> Status {
    return keep_an_admin(txn, [&]() -> Status {
      FB_TRY(const auto known, txn.db.text("SELECT name FROM users WHERE name = ?", name));
      if (!known) return no_user(name);
      if (change.roles) {
        FB_TRY_VOID(txn.db.run("UPDATE users SET roles = ? WHERE name = ?", words_json(*change.roles), name));
        FB_TRY_VOID(txn.audit(who, "roles_changed", name, words_text(*change.roles) + because(why)));
      }
      if (change.disabled) {
        FB_TRY_VOID(txn.db.run("UPDATE users SET disabled = ? WHERE name = ?", *change.disabled, name));
        FB_TRY_VOID(txn.audit(who, *change.disabled ? "user_disabled" : "user_enabled", name, to_utf8(why)));
      }
      if (!change.ends_sessions && !change.disabled.value_or(false)) return {};
      FB_TRY(const int64_t ended, txn.db.change("DELETE FROM sessions WHERE person = ? COLLATE NOCASE", name));
      if (!change.ends_sessions || ended == 0) return {};
      return txn.audit(who, "sessions_ended", name, std::to_string(ended) + because(why));
    });
  });
}

Status Store::set_roles(const std::string& name, const std::vector<Role>& roles, const std::string& who,
                        const std::string& why) {
  UserChange change;
  change.roles = roles;
  return change_user(name, change, who, why);
}

Status Store::set_disabled(const std::string& name, bool disabled, const std::string& who, const std::string& why) {
  UserChange change;
  change.disabled = disabled;
  return change_user(name, change, who, why);
}

Status Store::set_password(const std::string& name, const std::string& password_hash, const std::string& who) {
  return impl_->change_identities([&](Txn& txn) -> Status {
    FB_TRY(const int64_t changed,
           txn.db.change("UPDATE users SET password_hash = ? WHERE name = ?", password_hash, name));
    if (changed == 0) return no_user(name);
    FB_TRY_VOID(txn.db.run("DELETE FROM sessions WHERE person = ? COLLATE NOCASE", name));
    return txn.audit(who, "password_changed", name, password_hash.empty() ? "none from now on" : "");
  });
}

Result<std::optional<UserRow>> Store::user(const std::string& name) {
  return remembered<UserRow>(*impl_, impl_->users, name, [&](Sqlite& db) { return one_user(db, name); });
}

Result<std::vector<UserRow>> Store::users() {
  return impl_->readers->with<std::vector<UserRow>>([](Sqlite& db) -> Result<std::vector<UserRow>> {
    std::vector<UserRow> list;
    FB_TRY(Rows rows, db.query(kAllUsers));
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) return list;
      list.push_back(user_of(rows));
    }
  });
}

Status Store::add_key(const KeyRow& key, const std::string& who) {
  return impl_->change_identities([&](Txn& txn) { return insert_key(txn, key, who); });
}

Result<bool> Store::revoke_key(const std::string& id, const std::string& who, const std::string& why) {
  bool revoked = false;
  FB_TRY_VOID(impl_->change_identities([&](Txn& txn) -> Status {
    FB_TRY(const auto person, txn.db.text("SELECT person FROM api_keys WHERE id = ?", id));
    if (!person) return fail(ErrorCode::not_found, "there is no key '" + printable(id) + "'");
    FB_TRY(const int64_t changed,
           txn.db.change("UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at = 0", txn.now_ms, id));
    revoked = changed > 0;
    if (!revoked) return {};
    return txn.audit(who, "key_revoked", id, "of " + *person + because(why));
  }));
  return revoked;
}

Result<std::optional<KeyRow>> Store::key(const std::string& id) {
  return remembered<KeyRow>(*impl_, impl_->keys, id, [&](Sqlite& db) -> Result<std::optional<KeyRow>> {
    FB_TRY(Rows rows, db.query(kOneKey, id));
    FB_TRY(const bool any, rows.next());
    if (!any) return std::optional<KeyRow>();
    FB_TRY(KeyRow key, key_of(rows));
    return std::optional<KeyRow>(std::move(key));
  });
}

Result<std::vector<KeyRow>> Store::keys(const std::string& person) {
  return impl_->readers->with<std::vector<KeyRow>>([&](Sqlite& db) -> Result<std::vector<KeyRow>> {
    std::vector<KeyRow> list;
    FB_TRY(Rows rows, db.query(kAllKeys, person));
    for (;;) {
      FB_TRY(const bool more, rows.next());
      if (!more) return list;
      FB_TRY(KeyRow key, key_of(rows));
      list.push_back(std::move(key));
    }
  });
}

Status Store::take_over_key(const KeyRow& key) {
  return impl_->change_identities([&](Txn& txn) -> Status {
    FB_TRY(const auto known, txn.db.text("SELECT id FROM api_keys WHERE id = ?", key.id));
    if (known) return {};
    FB_TRY(const auto person, txn.db.text("SELECT name FROM users WHERE name = ?", key.person));
    if (!person) {
      UserRow user;
      user.name = key.person;
      user.roles = {Role::admin};
      FB_TRY_VOID(insert_user(txn, user, "service"));
    }
    return insert_key(txn, key, "service");
  });
}

Status Store::add_session(const std::string& token_sha256, const SessionRow& session,
                          const std::optional<std::string>& checked) {
  return impl_->change_identities([&](Txn& txn) -> Status {
    // Between the check of the password and now it may have been changed, which ends all sessions: no new one after it.
    FB_TRY(const std::optional<UserRow> user, one_user(txn.db, session.person));
    if (!user) return fail(ErrorCode::refused, "the person is gone");
    if (user->disabled) return fail(ErrorCode::refused, "the person is disabled");
    if (checked && *checked != user->password_hash) {
      return fail(ErrorCode::refused, "the password was changed meanwhile");
    }
    FB_TRY_VOID(txn.db.run("DELETE FROM sessions WHERE expires_at < ?", txn.now_ms - kKeepSessionsMs));
    FB_TRY_VOID(
        txn.db.run("INSERT INTO sessions(token_sha256, person, created_at, last_seen, expires_at) VALUES(?,?,?,?,?)",
                   token_sha256, session.person, session.created_at_ms, session.last_seen_ms, session.expires_at_ms));
    return txn.audit("user:" + session.person, "logged_in", session.person, "until " + iso8601(session.expires_at_ms));
  });
}

Result<std::optional<SessionRow>> Store::session(const std::string& token_sha256) {
  return remembered<SessionRow>(
      *impl_, impl_->sessions, token_sha256, [&](Sqlite& db) -> Result<std::optional<SessionRow>> {
        FB_TRY(Rows rows,
               db.query("SELECT person, created_at, last_seen, expires_at FROM sessions WHERE token_sha256 = ?",
                        token_sha256));
        FB_TRY(const bool any, rows.next());
        if (!any) return std::optional<SessionRow>();
        return std::optional<SessionRow>(SessionRow{rows.string(0), rows.integer(1), rows.integer(2), rows.integer(3)});
      });
}

Status Store::touch_session(const std::string& token_sha256, int64_t now_ms) {
  return impl_->change_identities([&](Txn& txn) {
    return txn.db.run("UPDATE sessions SET last_seen = ? WHERE token_sha256 = ?", now_ms, token_sha256);
  });
}

Result<bool> Store::end_session(const std::string& token_sha256, const std::string& who) {
  bool ended = false;
  FB_TRY_VOID(impl_->change_identities([&](Txn& txn) -> Status {
    FB_TRY(const int64_t gone, txn.db.change("DELETE FROM sessions WHERE token_sha256 = ?", token_sha256));
    ended = gone > 0;
    if (!ended) return {};
    return txn.audit(who, "logged_out", who.substr(who.find(':') + 1), "");
  }));
  return ended;
}

}  // namespace fb
