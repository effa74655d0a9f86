// Server-sent events of alerts, actions and endpoint changes; Last-Event-ID goes on where a client was.
#include <charconv>
#include <mutex>

#include "api/api.h"
#include "api/authenticator.h"
#include "api/response/event_hub.h"
#include "api/response/query_values.h"
#include "api/router.h"
#include "api/routes/answers.h"

namespace fb::api {
namespace {

// Made with the first client; ends with the routes, that is with the servers.
class Hub {
 public:
  EventHub& of(const Parts& parts) {
    const std::lock_guard lock(mutex_);
    if (hub_ == nullptr) hub_ = std::make_unique<EventHub>(parts.store, HubLimits{});
    return *hub_;
  }

 private:
  std::mutex mutex_;
  std::unique_ptr<EventHub> hub_;
};

// What the caller may see of what it asks for; nothing asked for is all.
Result<std::set<std::string>> kinds_of(const Call& call, const QueryValues& query) {
  FB_TRY(const auto asked, query.list_of("events", {"alert", "action", "endpoint"}));
  std::set<std::string> kinds(asked.begin(), asked.end());
  if (kinds.empty()) kinds = {"alert", "action", "endpoint"};
  if (!call.who.may(Privilege::alerts_read)) kinds.erase("alert");
  if (!call.who.may(Privilege::actions_read)) kinds.erase("action");
  return kinds;
}

// The number after which to go on: the header, ?after= for clients that can't set it, else only what is new.
Result<int64_t> start_of(const Call& call, const QueryValues& query) {
  FB_TRY(const int64_t head, call.parts.store.stream_head());
  std::string text = query.text("after");
  if (const auto it = call.request.headers.find("last-event-id"); it != call.request.headers.end()) text = it->second;
  if (text.empty()) return head;
  int64_t after = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), after);
  if (error != std::errc() || end != text.data() + text.size() || after < 0) {
    return fail(ErrorCode::invalid_argument, "Last-Event-ID is a number that this stream gave");
  }
  // A number of another record (one that was restored): what is new is all that can be told.
  return std::min(after, head);
}

// A stream goes on for minutes: what let its client in, and to these kinds, may be taken away meanwhile.
Result<std::function<bool()>> still_may(const Call& call, const std::set<std::string>& kinds) {
  if (call.access == nullptr) return std::function<bool()>();
  std::vector<Privilege> needed = {Privilege::endpoints_read};
  if (kinds.contains("alert")) needed.push_back(Privilege::alerts_read);
  if (kinds.contains("action")) needed.push_back(Privilege::actions_read);
  FB_TRY(const auto standing, call.access->standing(call.who, call.session_sha256));
  return std::function<bool()>(
      [access = call.access, standing, needed] { return access->still_may(standing, needed); });
}

net::Response follow(const Call& call, Hub& hubs) {
  const auto query = QueryValues::read(call.request.target, {"events", "after"});
  if (!query) return failed(query.error());
  auto kinds = kinds_of(call, *query);
  if (!kinds) return failed(kinds.error());
  const auto after = start_of(call, *query);
  if (!after) return failed(after.error());
  net::Response head;
  head.content_type = "text/event-stream";
  head.headers = {{"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}, {"X-Content-Type-Options", "nosniff"}};
  if (call.request.method == "HEAD") return head;
  EventHub& hub = hubs.of(call.parts);
  if (!hub.has_room()) return problem(503, "as many clients follow the stream as there may be");
  net::Response r;
  auto may_follow = still_may(call, *kinds);
  if (!may_follow) return failed(may_follow.error());
  r.stream = [&hub, head, after = *after, kinds = std::move(*kinds),
              may_follow = std::move(*may_follow)](const std::shared_ptr<net::Responder>& client) {
    client->start(head);
    client->send("retry: 2000\nid: " + std::to_string(after) + "\n: following\n\n");
    hub.add(client, after, kinds, may_follow);
  };
  return r;
}

}  // namespace

void add_stream_routes(Router& router) {
  router.add("GET", "/api/stream", Privilege::endpoints_read,
             [hubs = std::make_shared<Hub>()](const Call& call) { return follow(call, *hubs); });
}

}  // namespace fb::api
