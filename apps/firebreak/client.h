// How operating commands reach the service: what is named (--socket, -c, --url with a key, --profile), else its unix
// socket when it is there, else the current profile.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "apps/firebreak/options.h"
#include "engine/base/result.h"
#include "engine/net/event_stream.h"
#include "engine/net/http.h"

namespace fb::cli {

// Which service is meant.
struct Target {
  enum class By : uint8_t { nothing, socket, config, url, profile };
  By by = By::nothing;
  std::string name;  // the path, the URL, the profile
};
// The first that is named, in the order of `By`; what only the environment says (FIREBREAK_URL, FIREBREAK_PROFILE)
// comes after all that the command line says, so that no command acts on another service than the one it names.
Target target_of(const ConnectOptions& options);

class ApiClient {
 public:
  static constexpr int kTimeoutMs = 30'000;  // of one request

  // The error says what to give.
  static Result<ApiClient> connect(const ConnectOptions& options, int timeout_ms = kTimeoutMs);

  // The body of a 2xx answer; else an error with the service's own message.
  Result<std::string> get(const std::string& path);
  Result<std::string> post(const std::string& path, const std::string& body);
  Result<std::string> remove(const std::string& path);  // DELETE
  // One file as a form's part `file`.
  Result<std::string> upload(const std::string& path, const std::string& file_name, const std::string& content);
  Result<std::string> send(const std::string& method, const std::string& path, const std::string& body);
  // Server-sent events from after `last_id` on ("" = what is new), until `take` says false or the connection is lost
  // (Retry::yes: connect again); last_id is kept up to date, retry_ms is what the service asks to wait first.
  Status follow(const std::string& path, std::string& last_id, int& retry_ms,
                const std::function<bool(const net::ServerEvent&)>& take);
  int last_status() const { return last_status_; }
  const std::string& where() const { return where_; }  // the socket or the URL

 private:
  Result<std::string> request(const std::string& method, const std::string& path, const std::string& body,
                              const std::string& content_type = "application/json");

  static Error refusal(int status, const std::string& body);

  std::unique_ptr<net::HttpClient> client_;
  net::ClientOptions options_;
  std::string base_;
  std::string authorization_;
  std::string where_;
  int last_status_ = 0;
};

// Of a service on this machine when nothing says otherwise: FIREBREAK_DATA_DIR, else the package's.
std::string default_data_dir();

std::string url_encoded(std::string_view text);

}  // namespace fb::cli
