// The notification as JSON to a URL, signed so that the receiver knows who sent it and when.
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "actions/notify/http_post.h"
#include "actions/notify/sink.h"
#include "engine/base/digest.h"

namespace fb::notify {
namespace {

std::string hmac_sha256_hex(const std::string& key, const std::string& text) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
       text.size(), out, &size);
  return hex(std::string_view(reinterpret_cast<const char*>(out), size));
}

class Webhook final : public Sink {
 public:
  Webhook(std::string url, std::string secret, const SinkContext& context)
      : post_(std::move(url), context), secret_(std::move(secret)), clock_(*context.clock) {}

  Status send(const Notification& n) override {
    const std::string body = json_body(n);
    std::map<std::string, std::string> headers{
        {"Content-Type", "application/json"}, {"User-Agent", "firebreak"}, {"X-Firebreak-Event", n.kind}};
    if (!secret_.empty()) {
      const std::string t = std::to_string(clock_.wall_ms() / 1000);
      headers["X-Firebreak-Signature"] = "t=" + t + ",v1=" + hmac_sha256_hex(secret_, t + "." + body);
    }
    return post_.post(headers, body);
  }
  void cancel() override { post_.cancel(); }

 private:
  HttpPost post_;
  const std::string secret_;
  const Clock& clock_;
};

}  // namespace

Result<std::unique_ptr<Sink>> make_webhook_sink(const SinkContext& context) {
  const std::string url = context.text("webhook.url");
  const std::string secret_file = context.text("webhook.secret_file");
  if (url.empty() && secret_file.empty()) return std::unique_ptr<Sink>();
  if (url.empty()) return fail(ErrorCode::invalid_argument, "there is a secret but no url");
  std::string secret;
  if (!secret_file.empty()) {
    FB_TRY(secret, read_secret_file(secret_file));
  }
  return std::unique_ptr<Sink>(std::make_unique<Webhook>(url, std::move(secret), context));
}

}  // namespace fb::notify
