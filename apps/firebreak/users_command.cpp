// firebreak users add|list|set-roles|disable|enable|passwd, firebreak keys create|list|revoke.
#include <cstdio>

#include "apps/firebreak/answers.h"
#include "apps/firebreak/client.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/terminal.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/text.h"

namespace fb::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& line, const char* key) {
  const auto it = line.find(key);
  if (it == line.end() || it->is_null()) return "";
  if (!it->is_array()) return it->is_string() ? it->get<std::string>() : it->dump();
  std::string list;
  for (const Json& item : *it) list += (list.empty() ? "" : ",") + (item.is_string() ? item.get<std::string>() : "");
  return list;
}

template <class Row>
int print_lines(const ConnectOptions& connect, Format format, const std::string& path, Table table, const Row& row) {
  auto client = ApiClient::connect(connect);
  if (!client) return complain(client.error(), kCantRun);
  const auto body = client->get(path);
  if (!body) return give_up(*client, body.error());
  if (format == Format::json) {
    std::fwrite(body->data(), 1, body->size(), stdout);
    return kDone;
  }
  for (size_t at = 0; at < body->size();) {
    const size_t end = std::min(body->find('\n', at), body->size());
    const Json line = parse_ordered_json(std::string_view(*body).substr(at, end - at));
    at = end + 1;
    if (line.is_object()) table.row(row(line));
  }
  table.print();
  return kDone;
}

// Sends one change and shows the answer.
int change(const ConnectOptions& connect, Format format, const char* method, const std::string& path, const Json& body,
           const std::function<void(const Json&)>& show) {
  auto client = ApiClient::connect(connect);
  if (!client) return complain(client.error(), kCantRun);
  const auto answer = client->send(method, path, body.is_null() ? "" : dumped(body));
  if (!answer) return give_up(*client, answer.error());
  return show_answer(format, *answer, show);
}

void show_user(const Json& user) {
  std::printf("%s: %s%s\n", printable(text_of(user, "name")).c_str(), text_of(user, "roles").c_str(),
              text_of(user, "disabled") == "true" ? ", disabled" : "");
}

std::string path_of(const std::string& name) {
  return "/api/firebreak/users/" + url_encoded(name);
}

}  // namespace

int run_users_add(const UsersOptions& options) {
  Json body{{"name", options.name}, {"roles", options.roles}};
  if (!options.no_password) body["password"] = read_secret("password");
  return change(options.connect, options.format, "POST", "/api/firebreak/users", body, show_user);
}

int run_users_list(const UsersOptions& options) {
  return print_lines(options.connect, options.format, "/api/firebreak/users",
                     Table({"NAME", "ROLES", "STATE", "PASSWORD", "ADDED", "BY"}), [](const Json& u) {
                       return std::vector<std::string>{printable(text_of(u, "name")),
                                                       text_of(u, "roles"),
                                                       text_of(u, "disabled") == "true" ? "disabled" : "active",
                                                       text_of(u, "has_password") == "true" ? "yes" : "no",
                                                       text_of(u, "created_at"),
                                                       printable(text_of(u, "created_by"))};
                     });
}

int run_users_set_roles(const UsersOptions& options) {
  return change(options.connect, options.format, "PATCH", path_of(options.name),
                {{"roles", options.roles}, {"comment", options.comment}}, show_user);
}

int run_users_disable(bool disable, const UsersOptions& options) {
  return change(options.connect, options.format, "PATCH", path_of(options.name),
                {{"disabled", disable}, {"comment", options.comment}}, show_user);
}

int run_users_passwd(const UsersOptions& options) {
  return change(options.connect, options.format, "PUT", path_of(options.name) + "/password",
                {{"password", read_secret("new password")}}, [](const Json& user) {
                  std::printf("%s has a new password; their sessions ended\n",
                              printable(text_of(user, "name")).c_str());
                });
}

int run_keys_create(const KeysOptions& options) {
  Json body{{"name", options.name}};
  if (!options.user.empty()) body["user"] = options.user;
  if (!options.scopes.empty()) body["scopes"] = options.scopes;
  if (!options.expires_in.empty()) body["expires_in"] = options.expires_in;
  return change(options.connect, options.format, "POST", "/api/firebreak/keys", body, [](const Json& key) {
    // The key alone on standard output.
    std::printf("%s\n", text_of(key, "api_key").c_str());
    std::fprintf(stderr, "key %s of %s, shown this once\n", text_of(key, "id").c_str(),
                 printable(text_of(key, "user")).c_str());
  });
}

int run_keys_list(const KeysOptions& options) {
  const std::string path = "/api/firebreak/keys" + (options.user.empty() ? "" : "?user=" + url_encoded(options.user));
  return print_lines(options.connect, options.format, path,
                     Table({"ID", "BEGINS", "USER", "NAME", "SCOPES", "UNTIL", "REVOKED"}), [](const Json& k) {
                       const std::string scopes = text_of(k, "scopes"), until = text_of(k, "expires_at");
                       return std::vector<std::string>{text_of(k, "id"),
                                                       printable(text_of(k, "prefix")),
                                                       printable(text_of(k, "user")),
                                                       shortened(printable(text_of(k, "name")), 30),
                                                       scopes.empty() ? "all of the roles" : scopes,
                                                       until.empty() ? "for good" : until,
                                                       text_of(k, "revoked_at")};
                     });
}

int run_keys_revoke(const KeysOptions& options) {
  const std::string path = "/api/firebreak/keys/" + url_encoded(options.id) +
                           (options.comment.empty() ? "" : "?comment=" + url_encoded(options.comment));
  return change(options.connect, options.format, "DELETE", path, nullptr, [&](const Json& answer) {
    std::printf("%s: %s\n", printable(options.id).c_str(),
                text_of(answer, "was_revoked") == "true" ? "was revoked already" : "revoked");
  });
}

}  // namespace fb::cli
