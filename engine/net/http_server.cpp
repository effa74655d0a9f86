// The only unit that sees Boost.Beast and Asio (they are slow to compile). Beast parses heads and bodies; this file
// owns connections, deadlines, limits and writing. Everything of one connection runs on its strand, so it needs no
// lock.
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
#include <cstring>
#include <ctime>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "engine/net/http.h"
#include "engine/net/uri.h"

namespace fb::net {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using RawSocket = asio::generic::stream_protocol::socket;
using Strand = asio::strand<asio::io_context::executor_type>;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr size_t kReadBytes = 16u << 10;     // one read from the socket
constexpr int kAcceptPauseMs = 50;           // after running out of descriptors or memory
constexpr int kGoodbyeMs = 1000;             // how long a closing connection may take to say so
constexpr size_t kLingerBytes = 256u << 10;  // what a refused client may still send before it is cut off

class Session;

// What the sessions share. Responders keep it alive, so an answer that comes after the server's end finds nothing
// broken.
struct Core {
  asio::io_context io;
  ServerLimits limits;
  Handler handler;
  std::unique_ptr<asio::ssl::context> tls;

  mutable std::mutex mutex;
  std::condition_variable all_gone;
  std::unordered_map<uint64_t, std::weak_ptr<Session>> sessions;
  std::unordered_map<std::string, uint32_t> per_address;
  std::unordered_map<uint64_t, std::shared_ptr<asio::steady_timer>> timers;
  uint64_t next_id = 1;
  std::atomic<bool> stopping{false};

  std::atomic<uint64_t> accepted{0}, refused{0}, accept_errors{0}, timed_out{0}, bad_requests{0};
};

std::string_view reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Status";
  }
}

std::string http_date() {
  const time_t now = time(nullptr);
  tm parts{};
  gmtime_r(&now, &parts);
  char text[40];
  const size_t n = strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return std::string(text, n);
}

// A line break in a header would start another header: such bytes are left out.
void append_header(std::string& out, std::string_view name, std::string_view value) {
  const auto append = [&](std::string_view text) {
    for (char c : text) {
      if (static_cast<uint8_t>(c) >= 0x20 || c == '\t') out += c;
    }
  };
  append(name);
  out += ": ";
  append(value);
  out += "\r\n";
}

std::string head_of(const Response& response, bool keep_alive, bool with_length) {
  std::string out = "HTTP/1.1 " + std::to_string(response.status) + ' ';
  out += reason_of(response.status);
  out += "\r\n";
  append_header(out, "Date", http_date());
  if (!response.body.empty()) append_header(out, "Content-Type", response.content_type);
  for (const auto& [name, value] : response.headers) append_header(out, name, value);
  if (with_length) append_header(out, "Content-Length", std::to_string(response.body.size()));
  append_header(out, "Connection", keep_alive ? "keep-alive" : "close");
  out += "\r\n";
  return out;
}

Response refusal(int status, std::string_view message) {
  Response r;
  r.status = status;
  // The messages are ours and plain ASCII: nothing to escape.
  r.body = "{\"statusCode\":" + std::to_string(status) + ",\"error\":\"" + std::string(reason_of(status)) +
           "\",\"message\":\"" + std::string(message) + "\"}";
  return r;
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = lower(c);
  return out;
}

// One request's answer, given at most once.
class Exchange final : public Responder {
 public:
  Exchange(std::weak_ptr<Session> session, Strand strand, std::shared_ptr<Core> core, uint64_t serial,
           std::shared_ptr<std::atomic<bool>> gone)
      : core_(std::move(core)),
        strand_(std::move(strand)),
        session_(std::move(session)),
        serial_(serial),
        gone_(std::move(gone)) {}
  ~Exchange() override;
  void answer(Response response) override;
  bool gone() const override { return gone_->load(); }

 private:
  std::shared_ptr<Core> core_;  // first: the strand must go before its io_context
  Strand strand_;
  std::weak_ptr<Session> session_;
  uint64_t serial_;
  std::shared_ptr<std::atomic<bool>> gone_;
  std::atomic<bool> answered_{false};
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
  const std::string& peer() const { return peer_; }

  asio::awaitable<void> run() {
    if (tls_) {
      arm(core_->limits.header_deadline_ms, true);
      auto [error] = co_await tls_->async_handshake(asio::ssl::stream_base::server, kTuple);
      if (error) {
        close();
        co_return;
      }
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

  // On the strand: no further request; a connection between requests ends now.
  void drain() {
    if (idle_) kill();
  }

  // On the strand: everything that waits on this connection wakes up with an error.
  void kill() {
    killed_ = true;
    if (gone_) gone_->store(true);
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
  }

  // One absolute deadline at a time: setting one replaces the last. When it passes, the connection is closed.
  void arm(int ms, bool counted) {
    const uint64_t number = ++deadline_number_;
    deadline_.expires_after(std::chrono::milliseconds(ms));
    deadline_.async_wait([weak = weak_from_this(), number, counted](error_code error) {
      const auto self = weak.lock();
      if (error || !self || self->deadline_number_ != number) return;
      if (counted) self->core_->timed_out.fetch_add(1, std::memory_order_relaxed);
      self->kill();
    });
  }
  void disarm() {
    ++deadline_number_;
    deadline_.cancel();
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
    watch_signal_.expires_at(asio::steady_timer::time_point::max());
    const auto space = buffer_.prepare(kReadBytes);
    auto done = [self = shared_from_this()](error_code error, size_t n) {
      self->watching_ = false;
      if (error) {
        self->client_left_ = true;
        if (self->gone_) self->gone_->store(true);
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

  // Reads, calls the handler, writes. False ends the connection.
  asio::awaitable<bool> one_request() {
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
    gone_ = std::make_shared<std::atomic<bool>>(false);
    answer_signal_.expires_at(asio::steady_timer::time_point::max());
    ask(std::move(request));
    if (!answer_) watch();
    while (!answer_ && !killed_) {
      (void)co_await answer_signal_.async_wait(kTuple);
    }
    gone_->store(true);
    if (killed_) co_return false;
    Response response = std::move(*answer_);
    answer_.reset();
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

  void ask(Request request) {
    const auto exchange = std::make_shared<Exchange>(weak_from_this(), strand_, core_, serial_, gone_);
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
    parser.body_limit(limits.max_body_bytes);
    Got got = co_await feed(parser, true, problem);
    if (got != Got::request) co_return got;
    const auto& message = parser.get();
    out.method = std::string(message.method_string());
    if (!read_head(message, out, problem)) co_return Got::refused;
    keep_alive = parser.keep_alive();
    if (!parser.is_done()) {
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
    if (error == http::error::body_limit) return refusal(413, "the body is larger than max_body_bytes");
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
    if (lengths > 1 || codings > 1 || (lengths > 0 && codings > 0)) {
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
  asio::steady_timer deadline_;
  asio::steady_timer answer_signal_;
  asio::steady_timer watch_signal_;
  boost::beast::flat_buffer buffer_;
  const std::string peer_;
  const uint64_t id_;
  std::optional<Response> answer_;
  std::string out_head_;
  std::string out_body_;
  std::shared_ptr<std::atomic<bool>> gone_;
  uint64_t serial_ = 0;
  uint64_t deadline_number_ = 0;
  bool idle_ = false;
  bool killed_ = false;
  bool watching_ = false;
  bool client_left_ = false;
};

void Exchange::answer(Response response) {
  if (answered_.exchange(true)) return;
  // The weak pointer keeps a queued answer from keeping the io_context alive that holds the queue.
  asio::dispatch(strand_, [session = session_, serial = serial_, r = std::move(response)]() mutable {
    if (const auto s = session.lock()) s->take_answer(serial, std::move(r));
  });
}

Exchange::~Exchange() {
  if (!answered_.load()) answer(refusal(500, "the request was dropped without an answer"));
}

class Server final : public HttpServer {
 public:
  explicit Server(const ServerOptions& options) : options_(options), core_(std::make_shared<Core>()) {}
  ~Server() override { stop(0); }

  Status start(Handler handler) {
    core_->limits = options_.limits;
    core_->handler = std::move(handler);
    if (options_.listen.empty() && options_.unix_socket.empty()) {
      return fail(ErrorCode::invalid_argument, "a server needs a listen address or a unix socket");
    }
    if (options_.certificate_file.empty() != options_.private_key_file.empty()) {
      return fail(ErrorCode::invalid_argument, "certificate_file and private_key_file go together");
    }
    try {
      if (!options_.certificate_file.empty()) FB_TRY_VOID(load_tls());
      if (!options_.listen.empty()) FB_TRY_VOID(open_tcp());
      if (!options_.unix_socket.empty()) FB_TRY_VOID(open_unix());
      for (int i = 0; i < std::max(1, options_.threads); ++i) {
        threads_.emplace_back([core = core_] { run(*core); });
      }
    } catch (const std::exception& e) {
      return fail(ErrorCode::io, std::string("cannot start the server: ") + e.what());
    }
    return {};
  }

  uint16_t port() const override { return port_; }

  void stop(int drain_ms) override {
    const std::lock_guard once(stop_mutex_);
    if (stopped_) return;
    stopped_ = true;
    core_->stopping.store(true);
    asio::post(core_->io, [tcp = tcp_, local = unix_] {
      error_code ignored;
      if (tcp) tcp->close(ignored);
      if (local) local->close(ignored);
    });
    if (!unix_path_.empty()) ::unlink(unix_path_.c_str());
    tell_sessions([](Session& s) { s.drain(); });
    if (!threads_.empty()) {
      {
        std::unique_lock lock(core_->mutex);
        core_->all_gone.wait_for(lock, std::chrono::milliseconds(drain_ms), [&] { return core_->sessions.empty(); });
      }
      tell_sessions([](Session& s) { s.kill(); });
      // Killed sessions need only their wake-ups; a handler that is still running is waited for by the join.
      std::unique_lock lock(core_->mutex);
      core_->all_gone.wait_for(lock, std::chrono::seconds(5), [&] { return core_->sessions.empty(); });
    }
    {
      const std::lock_guard lock(core_->mutex);
      for (auto& [id, timer] : core_->timers) timer->cancel();
      core_->timers.clear();
    }
    work_.reset();
    core_->io.stop();
    for (std::thread& t : threads_) t.join();
    threads_.clear();
    // What was cancelled in the last moment still holds its session, and that the io_context: run it out here.
    core_->io.restart();
    core_->io.poll();
    core_->handler = nullptr;  // it may hold its owner, who may hold this server
  }

  void after(int delay_ms, std::function<void()> task) override {
    const std::lock_guard lock(core_->mutex);
    if (core_->stopping.load()) return;
    const uint64_t id = core_->next_id++;
    auto timer = std::make_shared<asio::steady_timer>(core_->io, std::chrono::milliseconds(delay_ms));
    core_->timers[id] = timer;
    timer->async_wait([weak = std::weak_ptr<Core>(core_), id, task = std::move(task)](error_code error) {
      if (const auto core = weak.lock()) {
        const std::lock_guard relock(core->mutex);
        core->timers.erase(id);
      }
      if (!error) task();
    });
  }

  ServerStats stats() const override {
    ServerStats s;
    s.accepted = core_->accepted.load();
    s.refused = core_->refused.load();
    s.accept_errors = core_->accept_errors.load();
    s.timed_out = core_->timed_out.load();
    s.bad_requests = core_->bad_requests.load();
    const std::lock_guard lock(core_->mutex);
    s.connections = static_cast<uint32_t>(core_->sessions.size());
    return s;
  }

 private:
  using Tcp = asio::ip::tcp;
  using Local = asio::local::stream_protocol;

  static void run(Core& core) {
    // An exception here is one handler's (memory, mostly); the other connections go on.
    while (!core.io.stopped()) {
      try {
        core.io.run();
        return;
      } catch (const std::exception&) {
        core.accept_errors.fetch_add(1, std::memory_order_relaxed);
      }
    }
  }

  template <class Action>
  void tell_sessions(Action action) {
    std::vector<std::shared_ptr<Session>> all;
    {
      const std::lock_guard lock(core_->mutex);
      for (const auto& [id, weak] : core_->sessions) {
        if (auto s = weak.lock()) all.push_back(std::move(s));
      }
    }
    for (auto& s : all) {
      const Strand strand = s->strand();
      asio::post(strand, [s = std::move(s), action] { action(*s); });
    }
  }

  Status load_tls() {
    core_->tls = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
    SSL_CTX* raw = core_->tls->native_handle();
    SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
    SSL_CTX_set_options(raw, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS);  // idle connections keep no 32 KiB each
    error_code error;
    core_->tls->use_certificate_chain_file(options_.certificate_file, error);
    if (error)
      return fail(ErrorCode::invalid_argument, "not a usable certificate: " + error.message(),
                  options_.certificate_file);
    core_->tls->use_private_key_file(options_.private_key_file, asio::ssl::context::pem, error);
    if (error) {
      return fail(ErrorCode::invalid_argument, "not the certificate's private key: " + error.message(),
                  options_.private_key_file);
    }
    return {};
  }

  Status open_tcp() {
    FB_TRY(const ListenAddress where, parse_listen_address(options_.listen));
    error_code error;
    const auto address = asio::ip::make_address(where.host, error);
    if (error) {
      return fail(ErrorCode::invalid_argument,
                  "listen address '" + options_.listen + "' is not numeric (nor localhost)");
    }
    const Tcp::endpoint endpoint(address, where.port);
    tcp_ = std::make_shared<Tcp::acceptor>(core_->io);
    tcp_->open(endpoint.protocol(), error);
    if (!error) tcp_->set_option(asio::socket_base::reuse_address(true), error);
    if (!error) tcp_->bind(endpoint, error);
    if (!error) tcp_->listen(1024, error);
    if (error) {
      const bool taken = error == asio::error::address_in_use;
      return fail(taken ? ErrorCode::busy : ErrorCode::io,
                  "cannot listen on " + options_.listen + ": " + error.message());
    }
    port_ = tcp_->local_endpoint(error).port();
    asio::co_spawn(core_->io, accept_loop(core_, tcp_, core_->tls != nullptr), asio::detached);
    return {};
  }

  Status open_unix() {
    const std::string& path = options_.unix_socket;
    if (path.size() >= sizeof(sockaddr_un::sun_path)) {
      return fail(ErrorCode::invalid_argument, "the path of a unix socket has at most 107 bytes", path);
    }
    error_code error;
    const Local::endpoint endpoint(path);
    Local::socket probe(core_->io);
    probe.connect(endpoint, error);
    if (!error) return fail(ErrorCode::busy, "another process listens here", path);
    struct stat facts {};
    if (::lstat(path.c_str(), &facts) == 0) {
      if (!S_ISSOCK(facts.st_mode)) return fail(ErrorCode::already_exists, "is there and is not a socket", path);
      ::unlink(path.c_str());  // left behind by a process that died
    }
    error = {};
    unix_ = std::make_shared<Local::acceptor>(core_->io);
    unix_->open(endpoint.protocol(), error);
    if (!error) unix_->bind(endpoint, error);
    // Between bind and listen nobody can connect, so the mode is right before the first client.
    if (!error && ::chmod(path.c_str(), 0600) != 0) error = error_code(errno, boost::system::system_category());
    if (!error) unix_->listen(1024, error);
    if (error) return fail(ErrorCode::io, "cannot listen: " + error.message(), path);
    unix_path_ = path;
    asio::co_spawn(core_->io, accept_loop(core_, unix_, false), asio::detached);
    return {};
  }

  static std::string peer_of(const RawSocket& socket) {
    error_code error;
    const auto endpoint = socket.remote_endpoint(error);
    if (error) return "";
    Tcp::endpoint tcp;
    if (endpoint.protocol().family() != AF_INET && endpoint.protocol().family() != AF_INET6) return "unix";
    if (endpoint.size() > tcp.capacity()) return "";
    std::memcpy(tcp.data(), endpoint.data(), endpoint.size());
    auto address = tcp.address();
    if (address.is_v6() && address.to_v6().is_v4_mapped()) {
      address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
    }
    return address.to_string();
  }

  template <class Acceptor>
  static asio::awaitable<void> accept_loop(std::shared_ptr<Core> core, std::shared_ptr<Acceptor> acceptor, bool tls) {
    asio::steady_timer pause(core->io);
    while (!core->stopping.load()) {
      const Strand strand = asio::make_strand(core->io.get_executor());
      RawSocket socket{asio::any_io_executor(strand)};
      auto [error] = co_await acceptor->async_accept(socket, kTuple);
      if (error == asio::error::operation_aborted || !acceptor->is_open()) co_return;
      if (error) {
        // Out of descriptors or memory: the connection stays in the backlog and would be reported again at once.
        core->accept_errors.fetch_add(1, std::memory_order_relaxed);
        pause.expires_after(std::chrono::milliseconds(kAcceptPauseMs));
        (void)co_await pause.async_wait(kTuple);
        continue;
      }
      start_session(core, std::move(socket), strand, tls);
    }
  }

  static void start_session(const std::shared_ptr<Core>& core, RawSocket socket, const Strand& strand, bool tls) {
    std::string peer = peer_of(socket);
    if (peer.empty()) return;  // gone already
    const bool local = peer == "unix";
    if (!local) {
      error_code ignored;
      socket.set_option(Tcp::no_delay(true), ignored);
    }
    std::shared_ptr<Session> session;
    {
      const std::lock_guard lock(core->mutex);
      const uint32_t here = local ? 0 : core->per_address[peer];
      if (core->stopping.load() || core->sessions.size() >= core->limits.max_connections ||
          here >= core->limits.max_connections_per_address) {
        if (!local && here == 0) core->per_address.erase(peer);
        core->refused.fetch_add(1, std::memory_order_relaxed);
        return;
      }
      const uint64_t id = core->next_id++;
      session = std::make_shared<Session>(core, std::move(socket), strand, peer, id, tls);
      core->sessions.emplace(id, session);
      if (!local) ++core->per_address[peer];
      core->accepted.fetch_add(1, std::memory_order_relaxed);
    }
    asio::co_spawn(strand, session->run(), [core, session](const std::exception_ptr&) {
      session->kill();
      const std::lock_guard lock(core->mutex);
      core->sessions.erase(session->id());
      const auto at = core->per_address.find(session->peer());
      if (at != core->per_address.end() && --at->second == 0) core->per_address.erase(at);
      if (core->sessions.empty()) core->all_gone.notify_all();
    });
  }

  const ServerOptions options_;
  std::shared_ptr<Core> core_;
  std::shared_ptr<Tcp::acceptor> tcp_;
  std::shared_ptr<Local::acceptor> unix_;
  std::string unix_path_;
  std::vector<std::thread> threads_;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_{std::in_place,
                                                                                  core_->io.get_executor()};
  std::mutex stop_mutex_;
  bool stopped_ = false;
  uint16_t port_ = 0;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> start_http_server(const ServerOptions& options, Handler handler) {
  auto server = std::make_unique<Server>(options);
  FB_TRY_VOID(server->start(std::move(handler)));
  return server;
}

}  // namespace fb::net
