// How operating commands reach the service: its unix socket when it is there, else a URL with an API key.
#pragma once

#include <memory>
#include <string>

#include "apps/firebreak/options.h"
#include "engine/base/result.h"
#include "engine/net/http.h"

namespace fb::cli {

class ApiClient {
 public:
  // The error says what to give: --socket, --config or --url.
  static Result<ApiClient> connect(const ConnectOptions& options);

  // The body of a 2xx answer; else an error with the service's own message.
  Result<std::string> get(const std::string& path);
  Result<std::string> post(const std::string& path, const std::string& body);
  int last_status() const { return last_status_; }

 private:
  Result<std::string> request(const std::string& method, const std::string& path, const std::string& body);

  std::unique_ptr<net::HttpClient> client_;
  std::string base_;
  std::string authorization_;
  std::string where_;
  int last_status_ = 0;
};

// Of a service on this machine when nothing says otherwise: FIREBREAK_DATA_DIR, else the package's.
std::string default_data_dir();

std::string url_encoded(std::string_view text);

}  // namespace fb::cli
