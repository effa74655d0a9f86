#include "actions/notify/http_post.h"

namespace fb::notify {
namespace {

constexpr int kConnectMs = 10'000;
constexpr int kTotalMs = 30'000;
constexpr size_t kMaxReplyBytes = 64 << 10;  // nobody reads it

}  // namespace

HttpPost::HttpPost(std::string url, const SinkContext& context)
    : url_(std::move(url)), rules_(context.rules), resolve_(context.resolve), ca_file_(context.ca_file) {}

Status HttpPost::post(const std::map<std::string, std::string>& headers, const std::string& body) {
  FB_TRY(const net::GuardedUrl target, net::guard_url(url_, rules_, resolve_));
  net::ClientOptions options;
  options.ca_file = ca_file_;
  options.connect_to = target.connect_to;
  options.connect_timeout_ms = kConnectMs;
  options.total_timeout_ms = kTotalMs;
  options.max_reply_bytes = kMaxReplyBytes;
  const auto client = std::make_shared<net::HttpClient>(options);
  {
    const std::lock_guard lock(mutex_);
    if (cancelled_) return fail(ErrorCode::unavailable, "the request was cancelled");
    running_ = client;
  }
  auto reply = client->request("POST", target.url, headers, body);
  {
    const std::lock_guard lock(mutex_);
    running_.reset();
  }
  if (!reply) {
    Error e = reply.error();
    e.context = target.host;  // the URL may be a secret itself
    return tl::unexpected<Error>(std::move(e));
  }
  if (reply->status >= 200 && reply->status < 300) return {};
  const bool later = reply->status == 408 || reply->status == 429 || reply->status >= 500;
  return fail(later ? ErrorCode::unavailable : ErrorCode::refused,
              target.host + " answered " + std::to_string(reply->status) +
                  (reply->status >= 300 && reply->status < 400 ? "; a redirect is not followed" : ""),
              "", later ? Retry::yes : Retry::no);
}

void HttpPost::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  if (running_) running_->cancel();
}

}  // namespace fb::notify
