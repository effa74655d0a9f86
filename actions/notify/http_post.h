// A POST to a configured URL under the address guard; shared by the sinks that speak HTTP. One thread at a time, but
// for cancel().
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "actions/notify/sink.h"
#include "engine/net/http.h"

namespace fb::notify {

class HttpPost {
 public:
  HttpPost(std::string url, const SinkContext& context);
  // Any 2xx is a delivery; a redirect is not followed and is no delivery.
  Status post(const std::map<std::string, std::string>& headers, const std::string& body);
  void cancel();

 private:
  const std::string url_;
  const net::AddressRules rules_;
  const net::Resolve resolve_;
  const std::string ca_file_;
  std::mutex mutex_;
  std::shared_ptr<net::HttpClient> running_;
  bool cancelled_ = false;
};

}  // namespace fb::notify
