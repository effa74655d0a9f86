// One connection of the HTTP server: reading, deadlines, limits, answering. Included by http_server.cpp and nothing
// else, since Beast and Asio are slow to compile. Everything of one connection runs on its strand, so it needs no lock.
#pragma once

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "engine/base/address_group.h"
#include "engine/net/http.h"
#include "engine/net/http_text.h"
#include "engine/net/peer_certificate.h"
#include "engine/net/uri.h"

namespace fb::net::detail {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using RawSocket = asio::generic::stream_protocol::socket;
using Strand = asio::strand<asio::io_context::executor_type>;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr size_t kReadBytes = 16u << 10;     // one read from the socket
constexpr size_t kWatchBytes = 512;          // the same while an answer is being made
constexpr int kGoodbyeMs = 1000;             // how long a closing connection may take to say so
constexpr size_t kLingerBytes = 256u << 10;  // what a refused client may still send before it is cut off

class Session;

// What the sessions share. Responders keep it alive, so an answer that comes after the server's end finds nothing
// broken.
struct Core {
  asio::io_context io;
  ServerLimits limits;
  Handler handler;
  std::function<size_t(const Request&)> body_limit;
  std::unique_ptr<asio::ssl::context> tls;

  mutable std::mutex mutex;
  std::condition_variable all_gone;
  std::unordered_map<uint64_t, std::weak_ptr<Session>> sessions;
  std::unordered_map<std::string, uint32_t> per_address;  // by address_group()
  std::unordered_map<std::string, size_t> bodies;         // bytes, by address_group(); without those that have none
  size_t all_bodies = 0;
  std::unordered_map<uint64_t, std::shared_ptr<asio::steady_timer>> timers;
  uint64_t next_id = 1;
  std::atomic<bool> stopping{false};

  // More of a body for this address, or not.
  bool take_body(const std::string& address, size_t bytes) {
    const std::lock_guard lock(mutex);
    const auto at = bodies.find(address);
    const size_t here = at == bodies.end() ? 0 : at->second;
    if (all_bodies + bytes > limits.max_all_bodies_bytes) return false;
    if (address != "unix" && here + bytes > limits.max_bodies_per_address_bytes) return false;
    bodies[address] = here + bytes;
    all_bodies += bytes;
    return true;
  }
  void give_back_body(const std::string& address, size_t bytes) {
    const std::lock_guard lock(mutex);
    all_bodies -= bytes;
    const auto at = bodies.find(address);
    if (at != bodies.end() && (at->second -= bytes) == 0) bodies.erase(at);
  }

  std::atomic<uint64_t> accepted{0}, refused{0}, accept_errors{0}, timed_out{0}, bad_requests{0};
};

// What a connection and the one who answers both look at.
struct Waiting {
  std::atomic<bool> gone{false};
  std::atomic<size_t> backlog{0};
};

// One request's answer, given at most once.
class Exchange final : public Responder, public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(std::weak_ptr<Session> session, Strand strand, std::shared_ptr<Core> core, uint64_t serial,
           std::shared_ptr<Waiting> waiting)
      : core_(std::move(core)),
        strand_(std::move(strand)),
        session_(std::move(session)),
        serial_(serial),
        waiting_(std::move(waiting)) {}
  ~Exchange() override;
  void answer(Response response) override;
  bool gone() const override { return waiting_->gone.load(); }
  void start(Response head) override;
  void send(std::string piece) override;
  void finish() override;
  size_t backlog() const override { return waiting_->backlog.load(); }

 private:
  template <class Action>
  void tell(Action action);

  std::shared_ptr<Core> core_;  // first: the strand must go before its io_context
  Strand strand_;
  std::weak_ptr<Session> session_;
  uint64_t serial_;
  std::shared_ptr<Waiting> waiting_;
  std::atomic<bool> answered_{false};
  std::atomic<bool> streams_{false};
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(std::shared_ptr<Core> core, RawSocket socket, Strand strand, std::string peer, uint64_t id, bool tls)
      : core_(std::move(core)),
        strand_(std::move(strand)),
        socket_(std::move(socket)),
        deadline_(strand_),
        answer_signal_(strand_),
        watch_signal_(strand_),
        buffer_(core_->limits.max_header_bytes + 4 * kReadBytes),
        peer_(std::move(peer)),
        id_(id) {
    if (tls) tls_.emplace(socket_, *core_->tls);
  }

  const Strand& strand() const { return strand_; }
  uint64_t id() const { return id_; }
  const std::string& group() const { return group_; }

  asio::awaitable<void> run() {
    if (tls_) {
      arm(core_->limits.header_deadline_ms, true);
      auto [error] = co_await tls_->async_handshake(asio::ssl::stream_base::server, kTuple);
      if (error) {
        close();
        co_return;
      }
      client_ = client_certificate(tls_->native_handle());
    }
    bool keep = true;
    while (keep && !killed_) keep = co_await one_request();
    if (!killed_) co_await say_goodbye();
    close();
  }

  // On the strand: the answer of request `serial`.
  void take_answer(uint64_t serial, Response response) {
    if (serial != serial_ || answer_) return;
    answer_ = std::move(response);
    answer_signal_.cancel();
  }

  // On the strand, for a request that start() answers: its head, each piece, its end.
  void take_start(uint64_t serial, Response head) {
    if (serial != serial_ || answer_) return;
    streaming_ = true;
    answer_ = std::move(head);
    answer_signal_.cancel();
  }
  void take_piece(uint64_t serial, const std::string& piece) {
    if (serial != serial_ || !streaming_ || ended_ || killed_) return;
    if (waiting_->backlog.load() > core_->limits.max_stream_backlog_bytes) {
      core_->timed_out.fetch_add(1, std::memory_order_relaxed);
      kill();
      return;
    }
    pieces_ += piece;
    answer_signal_.cancel();
  }
  void take_end(uint64_t serial) {
    if (serial != serial_) return;
    ended_ = true;
    answer_signal_.cancel();
  }

  // On the strand: no further request; a connection between requests ends now, a stream after what it has.
  void drain() {
    if (idle_) kill();
    if (streaming_) take_end(serial_);
  }

  // On the strand: everything that waits on this connection wakes up with an error.
  void kill() {
    killed_ = true;
    if (waiting_) waiting_->gone.store(true);
    close();
    answer_signal_.cancel();
    watch_signal_.cancel();
  }

 private:
  enum class Got { request, refused, nothing };

  void close() {
    error_code ignored;
    socket_.close(ignored);
    disarm();
    rings_at_ = kNever;
    deadline_.cancel();
  }

  // One absolute deadline at a time: setting one replaces the last. When it passes, the connection is closed. The timer
  // behind it is only set anew when it would ring too late; when it rings too early it waits for the rest. So it rings
  // once in a while, and a request on a connection that is kept costs no timer.
  using Time = std::chrono::steady_clock::time_point;
  static constexpr Time kNever = Time::max();

  void arm(int ms, bool counted) {
    deadline_at_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
    deadline_counted_ = counted;
    if (deadline_at_ < rings_at_) ring_at(deadline_at_);
  }
  void disarm() { deadline_at_ = kNever; }

  void ring_at(Time at) {
    rings_at_ = at;
    deadline_.expires_at(at);
    deadline_.async_wait([weak = weak_from_this(), at](error_code error) {
      const auto self = weak.lock();
      if (error || !self || self->rings_at_ != at) return;
      self->rings_at_ = kNever;
      if (self->deadline_at_ == kNever) return;
      if (self->deadline_at_ > std::chrono::steady_clock::now()) return self->ring_at(self->deadline_at_);
      if (self->deadline_counted_) self->core_->timed_out.fetch_add(1, std::memory_order_relaxed);
      self->kill();
    });
  }

  asio::awaitable<error_code> fill() {
    if (watching_) {  // a read is under way already: it puts its bytes into the buffer
      while (watching_) {
        (void)co_await watch_signal_.async_wait(kTuple);
        if (killed_) co_return asio::error::operation_aborted;
      }
      co_return client_left_ ? error_code(asio::error::eof) : error_code();
    }
    if (buffer_.size() + kReadBytes > buffer_.max_size()) co_return asio::error::no_buffer_space;
    const auto space = buffer_.prepare(kReadBytes);
    error_code error;
    size_t n = 0;
    if (tls_) {
      std::tie(error, n) = co_await tls_->async_read_some(space, kTuple);
    } else {
      std::tie(error, n) = co_await socket_.async_read_some(space, kTuple);
    }
    if (!error) buffer_.commit(n);
    co_return killed_ ? error_code(asio::error::operation_aborted) : error;
  }

  // While an answer is being made, a read stands ready: it notices that the client left, and keeps what a client sends
  // ahead of its turn.
  void watch() {
    if (watching_ || buffer_.size() > 0) return;
    watching_ = true;
    buffer_.shrink_to_fit();  // thousands may wait at once
    watch_signal_.expires_at(asio::steady_timer::time_point::max());
    const auto space = buffer_.prepare(kWatchBytes);
    auto done = [self = shared_from_this()](error_code error, size_t n) {
      self->watching_ = false;
      if (error) {
        self->client_left_ = true;
        if (self->waiting_) self->waiting_->gone.store(true);
        if (self->streaming_) self->answer_signal_.cancel();
      } else {
        self->buffer_.commit(n);
      }
      self->watch_signal_.cancel();
    };
    if (tls_) {
      tls_->async_read_some(space, std::move(done));
    } else {
      socket_.async_read_some(space, std::move(done));
    }
  }

  // Writes out_head_ and out_body_. They are members and not arguments: g++ 12 destroys temporaries of a co_await
  // expression twice when they were arguments of a coroutine.
  asio::awaitable<error_code> write() {
    arm(core_->limits.write_deadline_ms, true);
    const std::array<asio::const_buffer, 2> parts{asio::buffer(out_head_), asio::buffer(out_body_)};
    error_code error;
    size_t n = 0;
    if (tls_) {
      std::tie(error, n) = co_await asio::async_write(*tls_, parts, kTuple);
    } else {
      std::tie(error, n) = co_await asio::async_write(socket_, parts, kTuple);
    }
    disarm();
    co_return killed_ ? error_code(asio::error::operation_aborted) : error;
  }

  // What the request's body costs, given back with the answer.
  class BodyBytes {
   public:
    explicit BodyBytes(Session& session) : session_(session) {}
    ~BodyBytes() {
      if (session_.body_bytes_ > 0) session_.core_->give_back_body(session_.group_, session_.body_bytes_);
      session_.body_bytes_ = 0;
    }
    BodyBytes(const BodyBytes&) = delete;
    BodyBytes& operator=(const BodyBytes&) = delete;

   private:
    Session& session_;
  };

  bool count_body(size_t size) {
    if (size <= body_bytes_) return true;
    if (!core_->take_body(group_, size - body_bytes_)) return false;
    body_bytes_ = size;
    return true;
  }

  // Reads, calls the handler, writes. False ends the connection.
  asio::awaitable<bool> one_request() {
    const BodyBytes counted(*this);
    Request request;
    Response problem;
    bool keep_alive = false;
    const Got got = co_await read_request(request, keep_alive, problem);
    if (got == Got::nothing) co_return false;
    if (got == Got::refused) {
      core_->bad_requests.fetch_add(1, std::memory_order_relaxed);
      const bool head_only = request.method == "HEAD";
      out_head_ = head_of(problem, false, true);
      out_body_.clear();
      if (!head_only) out_body_ = std::move(problem.body);
      (void)co_await write();
      co_return false;
    }
    const bool head_only = request.method == "HEAD";
    answer_.reset();
    ++serial_;
    waiting_ = std::make_shared<Waiting>();
    answer_signal_.expires_at(asio::steady_timer::time_point::max());
    ask(std::move(request));
    if (!answer_ || streaming_) watch();
    while (!answer_ && !killed_) {
      (void)co_await answer_signal_.async_wait(kTuple);
    }
    if (killed_) co_return false;
    Response response = std::move(*answer_);
    answer_.reset();
    if (streaming_) {
      out_head_ = stream_head_of(std::move(response));
      out_body_.clear();
      co_await stream();
      waiting_->gone.store(true);
      co_return false;
    }
    waiting_->gone.store(true);
    keep_alive = keep_alive && !core_->stopping.load();
    const bool bodyless = response.status == 204 || response.status == 304 || response.status < 200;
    if (bodyless) response.body.clear();
    out_head_ = head_of(response, keep_alive, !bodyless);
    out_body_.clear();
    if (!head_only) out_body_ = std::move(response.body);
    const error_code error = co_await write();
    out_body_ = std::string();  // an idle connection keeps no large answer
    co_return !error && keep_alive;
  }

  std::string stream_head_of(Response head) const {
    head.headers.try_emplace("Content-Type", head.content_type);
    if (!http10_) head.headers["Transfer-Encoding"] = "chunked";
    head.body.clear();
    return head_of(head, false, false);
  }

  // Writes the head that stands in out_head_, then pieces as they come, until the end, or until the client leaves.
  asio::awaitable<void> stream() {
    error_code error = co_await write();
    while (!error && !killed_ && !client_left_) {
      if (pieces_.empty()) {
        if (ended_ || core_->stopping.load()) break;
        (void)co_await answer_signal_.async_wait(kTuple);
        continue;
      }
      out_body_.swap(pieces_);
      pieces_.clear();
      const size_t bytes = out_body_.size();
      out_head_.clear();
      if (!http10_) {
        out_head_ = chunk_size(bytes);
        out_body_ += "\r\n";
      }
      error = co_await write();
      waiting_->backlog.fetch_sub(bytes);
    }
    if (error || killed_ || client_left_ || http10_) co_return;
    out_head_ = "0\r\n\r\n";
    out_body_.clear();
    (void)co_await write();
  }

  static std::string chunk_size(size_t bytes) {
    std::array<char, 20> text{};
    std::snprintf(text.data(), text.size(), "%zx\r\n", bytes);
    return text.data();
  }

  void ask(Request request) {
    const auto exchange = std::make_shared<Exchange>(weak_from_this(), strand_, core_, serial_, waiting_);
    try {
      core_->handler(std::move(request), exchange);
    } catch (const std::exception&) {
      exchange->answer(refusal(500, "the request could not be handled"));
    }
  }

  asio::awaitable<Got> read_request(Request& out, bool& keep_alive, Response& problem) {
    const ServerLimits& limits = core_->limits;
    if (buffer_.size() == 0) {
      if (core_->stopping.load()) co_return Got::nothing;
      idle_ = true;
      arm(limits.idle_deadline_ms, false);
      const error_code error = co_await fill();
      idle_ = false;
      if (error) co_return Got::nothing;
    }
    arm(limits.header_deadline_ms, true);
    http::parser<true, http::string_body> parser;
    parser.header_limit(limits.max_header_bytes);
    parser.body_limit(boost::none);  // the head decides, below
    Got got = co_await feed(parser, true, problem);
    if (got != Got::request) co_return got;
    const auto& message = parser.get();
    out.method = std::string(message.method_string());
    if (!read_head(message, out, problem)) co_return Got::refused;
    http10_ = message.version() == 10;
    keep_alive = parser.keep_alive();
    if (!parser.is_done()) {
      out.peer = peer_;
      const uint64_t most = core_->body_limit ? core_->body_limit(out) : limits.max_body_bytes;
      if (parser.content_length().value_or(0) > most) {
        problem = explain(http::error::body_limit);
        co_return Got::refused;
      }
      parser.body_limit(most);
      arm(limits.body_deadline_ms, true);
      const auto expect = out.headers.find("expect");
      if (expect != out.headers.end()) {
        if (lower(expect->second) != "100-continue") {
          problem = refusal(417, "Expect knows only 100-continue");
          co_return Got::refused;
        }
        out_head_ = "HTTP/1.1 100 Continue\r\n\r\n";
        out_body_.clear();
        const error_code error = co_await write();
        if (error) co_return Got::nothing;
        arm(limits.body_deadline_ms, true);
      }
      parser.eager(true);
      got = co_await feed(parser, false, problem);
      if (got != Got::request) co_return got;
    }
    disarm();
    out.body = std::move(parser.get().body());
    out.peer = peer_;
    out.tls = tls_.has_value();
    out.client_sha256 = client_.sha256;
    out.client_name = client_.name;
    out.client_expired = !client_.sha256.empty() && client_.not_after_s < std::time(nullptr);
    co_return Got::request;
  }

  // Gives the parser what has come until the head (or the whole message) is complete.
  asio::awaitable<Got> feed(http::parser<true, http::string_body>& parser, bool head_only, Response& problem) {
    const auto complete = [&] { return head_only ? parser.is_header_done() : parser.is_done(); };
    while (!complete()) {
      error_code error;
      size_t used = 0;
      if (buffer_.size() > 0) {
        used = parser.put(buffer_.data(), error);
        buffer_.consume(used);
        if (error == http::error::need_more) error = {};
        if (error) {
          problem = explain(error);
          co_return Got::refused;
        }
        if (!head_only && !count_body(parser.get().body().size())) {
          problem = refusal(503, "the bodies of other requests take all there is for them; try again later");
          problem.headers["Retry-After"] = "5";
          co_return Got::refused;
        }
        if (complete()) break;
        if (used > 0 && buffer_.size() > 0) continue;
      }
      const error_code read_error = co_await fill();
      if (read_error == asio::error::no_buffer_space) {
        problem = refusal(head_only ? 431 : 400, "a line of the request is too long");
        co_return Got::refused;
      }
      if (read_error) co_return Got::nothing;
    }
    co_return Got::request;
  }

  static Response explain(error_code error) {
    if (error == http::error::header_limit) return refusal(431, "the header is larger than max_header_bytes");
    if (error == http::error::body_limit) return refusal(413, "the body is larger than this request may have");
    if (error == http::error::bad_version) return refusal(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    return refusal(400, "the request is not well-formed HTTP");
  }

  // Checks what Beast lets pass: a body of two lengths, repeated headers of which only one can hold.
  template <class Message>
  bool read_head(const Message& message, Request& out, Response& problem) {
    uint32_t count = 0, lengths = 0, codings = 0, hosts = 0;
    for (const auto& field : message) {
      if (++count > core_->limits.max_headers) {
        problem = refusal(431, "the request has more than max_headers headers");
        return false;
      }
      const std::string name = lower(std::string_view(field.name_string().data(), field.name_string().size()));
      const std::string_view value(field.value().data(), field.value().size());
      if (name == "content-length") {
        ++lengths;
        if (value.find_first_not_of("0123456789") != std::string_view::npos) lengths += 2;
      }
      if (name == "transfer-encoding") {
        ++codings;
        if (lower(value) != "chunked") {
          problem = refusal(501, "only the transfer coding chunked is known");
          return false;
        }
      }
      if (name == "host") ++hosts;
      const auto [at, fresh] = out.headers.try_emplace(name, value);
      if (fresh) continue;
      if (name == "authorization" || name == "content-type" || name == "expect") {
        problem = refusal(400, "a header that may stand once stands twice");
        return false;
      }
      at->second += name == "cookie" ? "; " : ", ";
      at->second += value;
    }
    // HTTP/1.0 knows no codings: what stands before us may have taken the end of this request for elsewhere.
    if (lengths > 1 || codings > 1 || (lengths > 0 && codings > 0) || (codings > 0 && message.version() == 10)) {
      problem = refusal(400, "the length of the body is given in more than one way");
      return false;
    }
    if (hosts > 1 || (hosts == 0 && message.version() == 11)) {
      problem = refusal(400, "the request needs one Host header");
      return false;
    }
    out.target = std::string(message.target().data(), message.target().size());
    auto target = parse_target(out.target);
    if (!target) {
      problem = refusal(400, target.error().message);
      return false;
    }
    out.path = std::move(target->path);
    out.query = std::move(target->query);
    return true;
  }

  // Closing with bytes unread would reset the connection and could take the answer away from the client: our side is
  // shut first and what still comes is read and thrown away, up to a bound.
  asio::awaitable<void> say_goodbye() {
    arm(kGoodbyeMs, false);
    if (tls_ && !watching_) {
      (void)co_await tls_->async_shutdown(kTuple);
    }
    error_code error;
    socket_.shutdown(RawSocket::shutdown_send, error);
    size_t thrown_away = 0;
    while (!error && !killed_ && !watching_ && thrown_away < kLingerBytes) {
      std::array<char, 4096> sink;
      size_t n = 0;
      std::tie(error, n) = co_await socket_.async_read_some(asio::buffer(sink), kTuple);
      thrown_away += n;
    }
  }

  std::shared_ptr<Core> core_;  // first: everything below must go before its io_context
  Strand strand_;
  RawSocket socket_;
  std::optional<asio::ssl::stream<RawSocket&>> tls_;
  ClientCertificate client_;
  asio::steady_timer deadline_;
  asio::steady_timer answer_signal_;
  asio::steady_timer watch_signal_;
  boost::beast::flat_buffer buffer_;
  const std::string peer_;
  const std::string group_ = address_group(peer_);
  const uint64_t id_;
  size_t body_bytes_ = 0;  // counted in core_
  std::optional<Response> answer_;
  std::string out_head_;
  std::string out_body_;
  std::string pieces_;  // of an answer that goes on, not written yet
  std::shared_ptr<Waiting> waiting_;
  uint64_t serial_ = 0;
  Time deadline_at_ = kNever;
  Time rings_at_ = kNever;  // the timer
  bool deadline_counted_ = false;
  bool http10_ = false;
  bool streaming_ = false;
  bool ended_ = false;
  bool idle_ = false;
  bool killed_ = false;
  bool watching_ = false;
  bool client_left_ = false;
};

// The weak pointer keeps what is queued from keeping the io_context alive that holds the queue.
template <class Action>
void Exchange::tell(Action action) {
  asio::dispatch(strand_, [session = session_, action = std::move(action)]() mutable {
    if (const auto s = session.lock()) action(*s);
  });
}

inline void Exchange::answer(Response response) {
  if (response.stream) {
    const auto go_on = std::move(response.stream);
    go_on(shared_from_this());
    return;
  }
  if (answered_.exchange(true)) return;
  tell([serial = serial_, r = std::move(response)](Session& s) mutable { s.take_answer(serial, std::move(r)); });
}

inline void Exchange::start(Response head) {
  if (answered_.exchange(true)) return;
  streams_.store(true);
  tell([serial = serial_, h = std::move(head)](Session& s) mutable { s.take_start(serial, std::move(h)); });
}

inline void Exchange::send(std::string piece) {
  if (!streams_.load() || piece.empty() || gone()) return;
  waiting_->backlog.fetch_add(piece.size());
  tell([serial = serial_, p = std::move(piece)](Session& s) { s.take_piece(serial, p); });
}

inline void Exchange::finish() {
  if (!streams_.exchange(false)) return;
  tell([serial = serial_](Session& s) { s.take_end(serial); });
}

inline Exchange::~Exchange() {
  if (!answered_.load()) {
    answered_.store(true);
    tell([serial = serial_, r = refusal(500, "the request was dropped without an answer")](Session& s) mutable {
      s.take_answer(serial, std::move(r));
    });
  }
  finish();
}

}  // namespace fb::net::detail
