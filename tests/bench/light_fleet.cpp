#include "tests/bench/light_fleet.h"

#include <curl/curl.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <chrono>
#include <deque>
#include <memory>
#include <vector>

#include "actions/endpoint/envelope.h"
#include "actions/endpoint/wire.h"

namespace fb::bench {
namespace {

using std::chrono::steady_clock;

constexpr int kWaitS = 50;

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(steady_clock::now().time_since_epoch()).count();
}

class LightFleet {
 public:
  LightFleet(const FleetPlan& plan, int words_fd) : plan_(plan), words_(words_fd) {}
  ~LightFleet() {
    for (auto& agent : agents_) {
      for (const Line* line : {&agent->poll, &agent->talk}) {
        if (line->easy == nullptr) continue;
        curl_multi_remove_handle(multi_, line->easy);
        curl_easy_cleanup(line->easy);
        curl_slist_free_all(line->resolve);
      }
    }
    if (multi_ != nullptr) curl_multi_cleanup(multi_);
    curl_slist_free_all(headers_);
    for (int fd : {epoll_, timer_}) {
      if (fd >= 0) close(fd);
    }
  }

  Status run(int stop_fd) {
    FB_TRY(const auto signer, endpoint::Signer::load(plan_.folder + "/signing.key"));
    trusted_ = {{signer->kid(), signer->public_key()}};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    multi_ = curl_multi_init();
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (multi_ == nullptr || epoll_ < 0 || timer_ < 0) return fail(ErrorCode::internal, "the fleet can't start");
    headers_ = curl_slist_append(curl_slist_append(nullptr, "Expect:"), "Content-Type: application/json");
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(2 * plan_.agents + 100));
    for (const int fd : {timer_, stop_fd}) {
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.fd = fd;
      epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    }
    for (size_t i = 0; i < plan_.agents; ++i) agents_.push_back(std::make_unique<Agent>());
    for (;;) {
      start_more();
      beat();
      epoll_event events[256];
      const int n = epoll_wait(epoll_, events, 256, 20);
      int running = 0;
      for (int i = 0; i < n; ++i) {
        const int fd = events[i].data.fd;
        if (fd == stop_fd) return {};
        if (fd == timer_) {
          uint64_t times = 0;
          if (read(timer_, &times, sizeof times) > 0)
            curl_multi_socket_action(multi_, CURL_SOCKET_TIMEOUT, 0, &running);
          continue;
        }
        const int mask = ((events[i].events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
                         ((events[i].events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                         ((events[i].events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
        curl_multi_socket_action(multi_, fd, mask, &running);
      }
      collect();
    }
  }

 private:
  struct Line {
    CURL* easy = nullptr;
    curl_slist* resolve = nullptr;
    std::string sent;
    std::string got;
    bool busy = false;
  };
  struct Agent {
    Line poll;
    Line talk;
    Isolation state = Isolation::released;
    int64_t generation = 0;
    int64_t epoch = 0;
    int64_t revision = 0;
    int64_t next_beat_ns = 0;
    std::deque<std::string> reports;
    bool heard = false;
  };

  // A name for each agent: libcurl looks for a free connection among all those to one name.
  static std::string name_of(size_t agent) { return "a" + std::to_string(agent) + kFleetDomain; }

  static size_t on_body(char* data, size_t, size_t n, void* user) {
    static_cast<std::string*>(user)->append(data, n);
    return n;
  }
  static int on_socket(CURL*, curl_socket_t socket, int what, void* user, void* known) {
    auto& self = *static_cast<LightFleet*>(user);
    epoll_event event{};
    event.data.fd = socket;
    if (what != CURL_POLL_OUT) event.events |= EPOLLIN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT) event.events |= EPOLLOUT;
    if (what == CURL_POLL_REMOVE) {
      epoll_ctl(self.epoll_, EPOLL_CTL_DEL, socket, nullptr);
    } else {
      epoll_ctl(self.epoll_, known == nullptr ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, socket, &event);
      curl_multi_assign(self.multi_, socket, &self);
    }
    return 0;
  }
  static int on_timer(CURLM*, long ms, void* user) {
    itimerspec at{};
    if (ms >= 0) {
      at.it_value.tv_sec = ms / 1000;
      at.it_value.tv_nsec = ms % 1000 * 1'000'000 + 1;  // 0 would disarm it
    }
    timerfd_settime(static_cast<LightFleet*>(user)->timer_, 0, &at, nullptr);
    return 0;
  }

  void tell(FleetWord::Kind kind, size_t agent, int64_t generation) {
    FleetWord word;
    word.kind = kind;
    word.agent = static_cast<uint32_t>(agent);
    word.generation = generation;
    word.mono_ns = now_ns();
    if (write(words_, &word, sizeof word) != sizeof word) gone_ = true;
  }

  // One request on one of an agent's two lines; an empty body is the poll.
  void ask(size_t agent, bool talk, const std::string& path, std::string body) {
    Line& line = talk ? agents_[agent]->talk : agents_[agent]->poll;
    if (line.easy == nullptr) {
      line.easy = curl_easy_init();
      const std::string here = name_of(agent) + ":" + std::to_string(plan_.port) + ":127.0.0.1";
      line.resolve = curl_slist_append(nullptr, here.c_str());
      curl_easy_setopt(line.easy, CURLOPT_RESOLVE, line.resolve);
      const std::string identity = plan_.folder + "/" + std::to_string(agent) + ".pem";
      curl_easy_setopt(line.easy, CURLOPT_CAINFO, (plan_.folder + "/ca.pem").c_str());
      curl_easy_setopt(line.easy, CURLOPT_SSLCERT, identity.c_str());
      curl_easy_setopt(line.easy, CURLOPT_SSLKEY, identity.c_str());
      curl_easy_setopt(line.easy, CURLOPT_WRITEFUNCTION, on_body);
      curl_easy_setopt(line.easy, CURLOPT_WRITEDATA, &line.got);
      curl_easy_setopt(line.easy, CURLOPT_PRIVATE, reinterpret_cast<void*>(agent * 2 + (talk ? 1 : 0)));
      curl_easy_setopt(line.easy, CURLOPT_HTTPHEADER, headers_);
      curl_easy_setopt(line.easy, CURLOPT_NOSIGNAL, 1L);
      curl_easy_setopt(line.easy, CURLOPT_TCP_NODELAY, 1L);
    }
    line.got.clear();
    line.sent = std::move(body);
    curl_easy_setopt(line.easy, CURLOPT_URL,
                     ("https://" + name_of(agent) + ":" + std::to_string(plan_.port) + path).c_str());
    if (talk) {
      curl_easy_setopt(line.easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(line.sent.size()));
      curl_easy_setopt(line.easy, CURLOPT_POSTFIELDS, line.sent.c_str());
    }
    line.busy = true;
    curl_multi_add_handle(multi_, line.easy);
  }

  void poll(size_t agent) { ask(agent, false, "/v1/commands?wait=" + std::to_string(kWaitS), ""); }

  // The fleet comes up a few at a time; first the heartbeat, then the poll on a second connection.
  void start_more() {
    while (started_ < plan_.agents && started_ - up_ < plan_.at_once) {
      agents_[started_]->next_beat_ns = now_ns();
      waiting_for_beat_.push_back(started_++);
    }
  }

  void beat() {
    const int64_t now = now_ns();
    std::vector<size_t> due;
    due.swap(waiting_for_beat_);
    if (now >= next_round_ns_) {
      next_round_ns_ = now + 20'000'000;
      for (size_t i = 0; i < started_; ++i) {
        if (now >= agents_[i]->next_beat_ns) due.push_back(i);
      }
    }
    for (const size_t i : due) {
      Agent& a = *agents_[i];
      if (a.talk.busy || now < a.next_beat_ns) continue;
      a.next_beat_ns = now + int64_t{plan_.heartbeat_ms} * 1'000'000;
      EndpointReport report;
      report.host_id = "host-" + std::to_string(i);
      report.hostname = "h" + std::to_string(i);
      report.os = "linux";
      report.agent_version = "bench";
      report.simulated = true;
      report.observed = a.state;
      report.generation = a.generation;
      report.epoch = a.epoch;
      report.revision = a.revision;
      report.policy_digest = a.state == Isolation::isolated ? digest(endpoint::CutPolicy{}) : std::string();
      ask(i, true, "/v1/heartbeat", endpoint::write_heartbeat(report));
    }
  }

  void collect() {
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      CURL* easy = message->easy_handle;
      const CURLcode code = message->data.result;
      void* tag = nullptr;
      long status = 0;
      curl_easy_getinfo(easy, CURLINFO_PRIVATE, &tag);
      curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
      curl_multi_remove_handle(multi_, easy);
      const size_t mark = reinterpret_cast<size_t>(tag);
      const size_t agent = mark / 2;
      const bool good = code == CURLE_OK && (status == 200 || status == 204);
      if (!good) tell(FleetWord::Kind::trouble, agent, status);
      mark % 2 == 1 ? talked(agent) : polled(agent, good && status == 200);
    }
  }

  void talked(size_t i) {
    Agent& a = *agents_[i];
    a.talk.busy = false;
    if (a.talk.got.find("\"envelope\"") != std::string::npos) {
      const auto reply = endpoint::read_heartbeat_reply(a.talk.got);
      const auto status = endpoint::open_envelope(reply ? reply->envelope : "", trusted_);
      if (!status || status->agent_id != fleet_agent_id(i)) return tell(FleetWord::Kind::trouble, i, -2);
      a.epoch = status->epoch;
      a.revision = status->revision;
    }
    if (!a.heard) {
      a.heard = true;
      poll(i);
      if (++up_ == plan_.agents) tell(FleetWord::Kind::up, 0, 0);
    }
    next_report(i);
  }

  void next_report(size_t i) {
    Agent& a = *agents_[i];
    if (a.talk.busy || a.reports.empty()) return;
    std::string body = std::move(a.reports.front());
    a.reports.pop_front();
    ask(i, true, "/v1/reports", std::move(body));
  }

  void polled(size_t i, bool has_order) {
    Agent& a = *agents_[i];
    a.poll.busy = false;
    // The next poll first: it shall have the connection that has just become free.
    const std::string body = std::move(a.poll.got);
    poll(i);
    if (has_order) obey(i, body);
  }

  void obey(size_t i, const std::string& body) {
    Agent& a = *agents_[i];
    const auto order = endpoint::read_order(body);
    const auto envelope = order ? endpoint::open_envelope(order->envelope, trusted_)
                                : Result<endpoint::Envelope>(tl::unexpected<Error>(order.error()));
    const bool holds = envelope && envelope->agent_id == fleet_agent_id(i) && envelope->action_id == order->action_id &&
                       envelope->generation == order->generation;
    if (!holds) return tell(FleetWord::Kind::trouble, i, -1);
    tell(FleetWord::Kind::order, i, envelope->generation);
    a.state = envelope->order == endpoint::Order::isolate ? Isolation::isolated : Isolation::released;
    a.generation = envelope->generation;
    Report report;
    report.kind = Report::Kind::done;
    report.action_id = envelope->action_id;
    report.generation = a.generation;
    report.observed = a.state;
    a.reports.push_back(endpoint::write_report(report));
    next_report(i);
  }

  const FleetPlan& plan_;
  const int words_;
  endpoint::KeySet trusted_;
  CURLM* multi_ = nullptr;
  curl_slist* headers_ = nullptr;
  int epoll_ = -1;
  int timer_ = -1;
  std::vector<std::unique_ptr<Agent>> agents_;
  std::vector<size_t> waiting_for_beat_;
  int64_t next_round_ns_ = 0;
  size_t started_ = 0;
  size_t up_ = 0;
  bool gone_ = false;
};

}  // namespace

std::string fleet_agent_id(size_t n) {
  return "agent-" + std::to_string(n);
}

Status run_light_fleet(const FleetPlan& plan, int stop_fd, int words_fd) {
  return LightFleet(plan, words_fd).run(stop_fd);
}

}  // namespace fb::bench
