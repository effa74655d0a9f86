#include "apps/firebreak/client.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/firebreak/service_files.h"
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
                                            " (give -c CONFIG or --socket PATH, or --url URL with --api-key)");
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

Result<ApiClient> ApiClient::connect(const ConnectOptions& options) {
  ApiClient client;
  net::ClientOptions http;
  FB_TRY(const std::string socket, socket_path(options));
  if (options.url.empty() || !options.socket.empty()) {
    FB_TRY_VOID(check_socket(socket));
    http.unix_socket = socket;
    client.base_ = "http://localhost";
    client.where_ = socket;
  } else {
    if (options.api_key.empty()) {
      return fail(ErrorCode::invalid_argument, "--url needs --api-key (or FIREBREAK_API_KEY)");
    }
    client.base_ = options.url;
    while (!client.base_.empty() && client.base_.back() == '/') client.base_.pop_back();
    client.authorization_ = "ApiKey " + options.api_key;
    client.where_ = options.url;
    http.ca_file = options.ca_file;
  }
  client.client_ = std::make_unique<net::HttpClient>(http);
  return client;
}

Result<std::string> ApiClient::get(const std::string& path) {
  return request("GET", path, "");
}
Result<std::string> ApiClient::post(const std::string& path, const std::string& body) {
  return request("POST", path, body);
}

Result<std::string> ApiClient::request(const std::string& method, const std::string& path, const std::string& body) {
  std::map<std::string, std::string> headers;
  if (!authorization_.empty()) headers["Authorization"] = authorization_;
  if (!body.empty()) headers["Content-Type"] = "application/json";
  auto reply = client_->request(method, base_ + path, headers, body);
  if (!reply) {
    Error e = reply.error();
    e.context = where_;
    return tl::unexpected<Error>(std::move(e));
  }
  last_status_ = reply->status;
  if (reply->status >= 200 && reply->status < 300) return std::move(reply->body);
  const auto json = nlohmann::json::parse(reply->body, nullptr, false);
  const std::string message = json.is_object() ? json.value("message", reply->body) : reply->body;
  const ErrorCode code = reply->status == 404   ? ErrorCode::not_found
                         : reply->status == 409 ? ErrorCode::conflict
                         : reply->status < 500  ? ErrorCode::refused
                                                : ErrorCode::unavailable;
  return fail(code, message.empty() ? "the service answered " + std::to_string(reply->status) : message);
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
