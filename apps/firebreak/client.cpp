#include "apps/firebreak/client.h"

#include <arpa/inet.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "apps/firebreak/profile.h"
#include "apps/firebreak/service_files.h"
#include "engine/base/digest.h"
#include "engine/base/json.h"
#include "engine/base/text.h"
#include "engine/config/config.h"

namespace fb::cli {
namespace {

constexpr const char* kDefaultDataDir = "/var/lib/firebreak";

// Whose the file (or else its folder) is: "" when that can't be seen either.
std::string owner_of(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0 && stat(std::filesystem::path(path).parent_path().c_str(), &info) != 0) {
    return {};
  }
  std::string text(4096, '\0');
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(info.st_uid, &entry, text.data(), text.size(), &found) != 0 || found == nullptr) {
    return "user " + std::to_string(info.st_uid);
  }
  return found->pw_name;
}

Status check_socket(const std::string& path) {
  struct stat info {};
  const bool seen = stat(path.c_str(), &info) == 0;
  const bool closed = seen ? S_ISSOCK(info.st_mode) && access(path.c_str(), W_OK) != 0 : errno == EACCES;
  if (closed) {
    const std::string owner = owner_of(path);
    return fail(ErrorCode::refused, "you may not use the service's socket " + path + ": run this as root" +
                                        (owner.empty() || owner == "root" ? "" : " or as " + owner) +
                                        ", or give --url URL with --api-key");
  }
  if (!seen || !S_ISSOCK(info.st_mode)) {
    return fail(ErrorCode::unavailable, "no service is running here: there is no socket " + path +
                                            " (give -c CONFIG or --socket PATH, or --url URL with an API key, or use "
                                            "firebreak login)");
  }
  return {};
}

Result<std::string> socket_path(const ConnectOptions& options) {
  if (!options.socket.empty()) return options.socket;
  if (options.config.empty()) return ServiceFiles(default_data_dir()).socket;
  const Config::Loaded loaded = Config::load(options.config);
  if (!loaded.ok()) {
    const Diagnostic& d = loaded.problems[0];
    return fail(ErrorCode::invalid_argument, d.message,
                d.file + ":" + std::to_string(d.line) + ":" + std::to_string(d.column));
  }
  return ServiceFiles(loaded.config.text("data_dir")).socket;
}

}  // namespace

std::string default_data_dir() {
  const char* dir = std::getenv("FIREBREAK_DATA_DIR");
  return dir != nullptr ? dir : kDefaultDataDir;
}

namespace {

// Only a key over TLS, or to this very machine.
Status check_url(const std::string& url) {
  if (url.starts_with("https://")) return {};
  if (!url.starts_with("http://")) {
    return fail(ErrorCode::invalid_argument, "--url begins with https:// (or http:// on this machine)");
  }
  const std::string_view rest = std::string_view(url).substr(7);
  const std::string_view authority = rest.substr(0, rest.find('/'));
  const std::string_view host = authority.starts_with('[') ? authority.substr(0, authority.find(']') + 1)
                                                           : authority.substr(0, authority.find(':'));
  in_addr four{};
  const bool is_address = inet_pton(AF_INET, std::string(host).c_str(), &four) == 1;
  if (host == "localhost" || host == "[::1]" || (is_address && (ntohl(four.s_addr) >> 24) == 127)) return {};
  return fail(ErrorCode::refused, "the key would cross the network in the clear; use https://");
}

// Where to, and with what, once everything that was said is weighed.
struct Way {
  std::string socket;  // "" = by url
  std::string url;
  std::string api_key;
  std::string ca_file;
};

Result<Way> by_profile(const Profile& profile, const ConnectOptions& options, std::string api_key) {
  Way way{"", profile.url, api_key.empty() ? profile.api_key : std::move(api_key),
          options.ca_file.empty() ? profile.ca_file : options.ca_file};
  if (way.api_key.empty()) {
    return fail(ErrorCode::invalid_argument, "the profile has no API key (firebreak login)", profile.name);
  }
  return way;
}

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

struct Key {
  std::string text;
  bool from_environment = false;
};

Result<Key> key_of(const ConnectOptions& options) {
  Key key{options.api_key, false};
  if (!options.api_key_file.empty()) {
    FB_TRY(key.text, key_in_file(options.api_key_file));
  } else if (key.text.empty()) {
    key = {from_environment("FIREBREAK_API_KEY"), true};
  }
  return key;
}

Result<Way> find_way(const ConnectOptions& options) {
  FB_TRY(const Key key, key_of(options));
  const Target target = target_of(options);
  if (target.by == Target::By::url) {
    if (key.text.empty()) {
      return fail(ErrorCode::invalid_argument, "--url needs --api-key-file or --api-key (or FIREBREAK_API_KEY)");
    }
    return Way{"", target.name, key.text, options.ca_file};
  }
  if (target.by == Target::By::profile) {
    FB_TRY(const Profiles profiles, load_profiles(profiles_file()));
    const Profile* profile = profiles.find(target.name);
    if (profile == nullptr) {
      return fail(ErrorCode::not_found,
                  "there is no profile '" + printable(target.name) + "' (firebreak profiles list)");
    }
    // A key that stands in the environment beside a URL is that service's, and no other one's to see.
    const bool of_another = key.from_environment && !from_environment("FIREBREAK_URL").empty();
    return by_profile(*profile, options, of_another ? std::string() : key.text);
  }
  FB_TRY(const std::string socket, socket_path(options));
  const Status open = check_socket(socket);
  if (open) return Way{socket, "", "", ""};
  if (target.by == Target::By::nothing) {
    FB_TRY(const Profiles profiles, load_profiles(profiles_file()));
    if (const Profile* profile = profiles.find(profiles.current)) return by_profile(*profile, options, key.text);
  }
  return tl::unexpected<Error>(open.error());
}

// What to try, where the way to the service is the likely reason.
std::string hint_for(const std::string& message, const std::string& url, bool names_ca) {
  const auto says = [&](const char* words) { return message.find(words) != std::string::npos; };
  if (says("is not trusted") && !names_ca)
    return " (--ca-file names the CA; the service's own is ca.pem in its data_dir)";
  if (says("wrong version number") && url.starts_with("https:")) return " (no TLS is spoken there: http://?)";
  if (says("Empty reply") && url.starts_with("http:")) return " (is TLS spoken there? https://)";
  return "";
}

}  // namespace

Target target_of(const ConnectOptions& options) {
  using By = Target::By;
  const std::string url = from_environment("FIREBREAK_URL");
  const std::string profile = from_environment("FIREBREAK_PROFILE");
  for (const auto& [by, name] : {std::pair<By, const std::string&>{By::socket, options.socket},
                                 {By::config, options.config},
                                 {By::url, options.url},
                                 {By::profile, options.profile},
                                 {By::url, url},
                                 {By::profile, profile}}) {
    if (!name.empty()) return {by, name};
  }
  return {};
}

Result<ApiClient> ApiClient::connect(const ConnectOptions& options, int timeout_ms) {
  FB_TRY(const Way way, find_way(options));
  ApiClient client;
  net::ClientOptions http;
  http.total_timeout_ms = timeout_ms;
  if (!way.socket.empty()) {
    http.unix_socket = way.socket;
    client.base_ = "http://localhost";
    client.where_ = way.socket;
  } else {
    FB_TRY_VOID(check_url(way.url));
    client.base_ = way.url;
    while (!client.base_.empty() && client.base_.back() == '/') client.base_.pop_back();
    client.authorization_ = "ApiKey " + way.api_key;
    client.where_ = way.url;
    http.ca_file = way.ca_file;
  }
  client.client_ = std::make_unique<net::HttpClient>(http);
  client.options_ = http;
  return client;
}

Result<std::string> ApiClient::get(const std::string& path) {
  return request("GET", path, "");
}
Result<std::string> ApiClient::post(const std::string& path, const std::string& body) {
  return request("POST", path, body);
}

Result<std::string> ApiClient::send(const std::string& method, const std::string& path, const std::string& body) {
  return request(method, path, body);
}
Result<std::string> ApiClient::remove(const std::string& path) {
  return request("DELETE", path, "");
}

Result<std::string> ApiClient::upload(const std::string& path, const std::string& file_name,
                                      const std::string& content) {
  // Random, so that no content can end the part.
  const std::string boundary = "firebreak-" + hex(random_bytes(16));
  const std::string body = "--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" +
                           file_name + "\"\r\nContent-Type: application/x-ndjson\r\n\r\n" + content + "\r\n--" +
                           boundary + "--\r\n";
  return request("POST", path, body, "multipart/form-data; boundary=" + boundary);
}

Result<std::string> ApiClient::request(const std::string& method, const std::string& path, const std::string& body,
                                       const std::string& content_type) {
  std::map<std::string, std::string> headers;
  if (!authorization_.empty()) headers["Authorization"] = authorization_;
  if (!body.empty()) headers["Content-Type"] = content_type;
  auto reply = client_->request(method, base_ + path, headers, body);
  if (!reply) {
    Error e = reply.error();
    e.message += hint_for(e.message, base_, !options_.ca_file.empty());
    e.context = where_;
    return tl::unexpected<Error>(std::move(e));
  }
  last_status_ = reply->status;
  if (reply->status >= 200 && reply->status < 300) return std::move(reply->body);
  return tl::unexpected<Error>(refusal(reply->status, reply->body));
}

Error ApiClient::refusal(int status, const std::string& body) {
  const auto json = parse_json(body);
  const auto told = json.is_object() ? json.find("message") : json.end();
  std::string message = body;
  if (json.is_object() && told != json.end()) {
    message.clear();
    for (const auto& one : told->is_array() ? *told : nlohmann::json::array({*told})) {
      message += (message.empty() ? "" : "; ") + (one.is_string() ? one.get<std::string>() : one.dump());
    }
  }
  if (status == 401) {
    return {ErrorCode::refused, Retry::no, "the service does not take this API key: it is wrong, expired or revoked",
            ""};
  }
  const ErrorCode code = status == 404   ? ErrorCode::not_found
                         : status == 409 ? ErrorCode::conflict
                         : status < 500  ? ErrorCode::refused
                                         : ErrorCode::unavailable;
  return {code, Retry::no, message.empty() ? "the service answered " + std::to_string(status) : message, ""};
}

Status ApiClient::follow(const std::string& path, std::string& last_id, int& retry_ms,
                         const std::function<bool(const net::ServerEvent&)>& take) {
  net::StreamRequest request;
  request.url = base_ + path;
  if (!authorization_.empty()) request.headers["Authorization"] = authorization_;
  if (!last_id.empty()) request.headers["Last-Event-ID"] = last_id;
  net::EventParser parser;
  std::string problem;
  const auto ended = net::follow(
      options_, request, [&](std::string_view piece) { return parser.feed(piece, take); }, &problem);
  if (!parser.last_id().empty()) last_id = parser.last_id();
  if (parser.retry_ms() > 0) retry_ms = parser.retry_ms();
  if (!ended) {
    Error e = ended.error();
    e.context = where_;
    return tl::unexpected<Error>(std::move(e));
  }
  last_status_ = *ended;
  if (parser.too_large()) return fail(ErrorCode::limit, "an event of the stream is too large", where_);
  if (*ended == 0) return {};
  if (*ended == 200) return fail(ErrorCode::unavailable, "the stream ended", where_, Retry::yes);
  Error e = refusal(*ended, problem);
  if (*ended == 503) e.retry = Retry::yes;
  return tl::unexpected<Error>(std::move(e));
}

std::string url_encoded(std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += kDigits[static_cast<uint8_t>(c) >> 4];
      out += kDigits[static_cast<uint8_t>(c) & 15];
    }
  }
  return out;
}

}  // namespace fb::cli
