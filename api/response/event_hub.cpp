#include "api/response/event_hub.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "engine/base/log.h"

namespace fb::api {
namespace {

constexpr int64_t kEventsAtOnce = 200;
constexpr size_t kPiecesARound = 4;  // for those that are further behind than one piece

std::string frame(const StreamEvent& event) {
  return "id: " + std::to_string(event.seq) + "\nevent: " + event.kind + "\ndata: " + event.data + "\n\n";
}

}  // namespace

EventHub::EventHub(Store& store, HubLimits limits) : store_(store), limits_(limits) {
  thread_ = std::thread([this] { loop(); });
}

EventHub::~EventHub() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

bool EventHub::has_room() {
  const std::lock_guard lock(mutex_);
  return clients_ < limits_.max_clients;
}

void EventHub::add(std::shared_ptr<net::Responder> client, int64_t after, std::set<std::string> kinds,
                   std::function<bool()> may_follow) {
  const int64_t now = system_clock().mono_ms();
  {
    const std::lock_guard lock(mutex_);
    fresh_.push_back({std::move(client), after, std::move(kinds), now, now, std::move(may_follow), now});
    ++clients_;
  }
  wake_.notify_all();
}

void EventHub::loop() {
  std::vector<Client> clients;
  bool more = false;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      clients_ = clients.size() + fresh_.size();
      const auto has_work = [this] { return stopping_ || !fresh_.empty(); };
      if (clients.empty()) {
        wake_.wait(lock, has_work);
      } else if (!more) {
        wake_.wait_for(lock, std::chrono::milliseconds(limits_.poll_ms), has_work);
      }
      std::move(fresh_.begin(), fresh_.end(), std::back_inserter(clients));
      fresh_.clear();
      if (stopping_) break;
    }
    more = serve(clients);
  }
  for (Client& client : clients) client.responder->finish();
}

// One round, to where the record is now: everybody that is close to it gets what is new, and some of those that are far
// behind get a piece. So one that catches up for minutes keeps nobody waiting. True: the next round has more to give.
bool EventHub::serve(std::vector<Client>& clients) {
  const auto head = store_.stream_head();
  if (!head) {
    log(LogLevel::warn, "stream_not_read", head.error().describe());
    return false;
  }
  // By where they begin and what they are of: most clients are at one place.
  std::map<std::pair<int64_t, std::set<std::string>>, std::vector<StreamEvent>> batches;
  static const std::vector<StreamEvent> kNone;
  const int64_t now = system_clock().mono_ms();
  bool more = false;
  size_t pieces = 0;
  size_t passed_over = clients.size();
  size_t place = 0;
  std::erase_if(clients, [&](Client& client) {
    const size_t here = place++;
    if (client.responder->gone()) return true;
    if (client.may_follow && now - client.asked_ms >= limits_.look_again_ms) {
      client.asked_ms = now;
      if (!client.may_follow()) {
        client.responder->finish();
        return true;
      }
    }
    const std::vector<StreamEvent>* events = &kNone;
    if (client.at < *head && client.responder->backlog() < limits_.max_backlog_bytes) {
      const bool far = *head - client.at > kEventsAtOnce;
      auto at = batches.find({client.at, client.kinds});
      if (at == batches.end() && far && pieces >= kPiecesARound) {
        passed_over = std::min(passed_over, here);
        more = true;
      } else {
        if (at == batches.end()) {
          if (far) ++pieces;
          auto read = store_.stream_events(client.at, kEventsAtOnce, client.kinds);
          if (!read) {
            log(LogLevel::warn, "stream_not_read", read.error().describe());
            return false;
          }
          at = batches.emplace(std::pair(client.at, client.kinds), std::move(*read)).first;
        }
        events = &at->second;
      }
    }
    if (!feed(client, *events, now)) return true;
    more = more || (!events->empty() && client.at < *head);
    return false;
  });
  // Who was passed over comes first next time.
  if (passed_over < clients.size()) {
    std::rotate(clients.begin(), clients.begin() + static_cast<std::ptrdiff_t>(passed_over), clients.end());
  }
  return more;
}

// False: the stream is at its end.
bool EventHub::feed(Client& client, const std::vector<StreamEvent>& events, int64_t now_ms) const {
  std::string text;
  for (const StreamEvent& event : events) {
    if (client.kinds.contains(event.kind) && !event.data.empty()) text += frame(event);
    client.at = event.seq;
    // What is left comes with the next round.
    if (text.size() >= limits_.max_backlog_bytes) break;
  }
  if (text.empty() && now_ms - client.spoke_ms >= limits_.heartbeat_ms) {
    // A comment for whoever looks at the connection; the id lets a client go on from here though nothing was for it.
    text = "id: " + std::to_string(client.at) + "\n: heartbeat\n\n";
  }
  if (!text.empty()) {
    client.spoke_ms = now_ms;
    client.responder->send(std::move(text));
  }
  if (now_ms - client.since_ms < limits_.longest_ms) return true;
  client.responder->finish();
  return false;
}

}  // namespace fb::api
