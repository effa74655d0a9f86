// The server around the connections: listening, accepting, counting, stopping. The only unit that sees Boost.Beast and
// Asio.
#include "engine/base/address_group.h"
#include "engine/net/http_session.h"

namespace fb::net {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using detail::Core;
using detail::kTuple;
using detail::RawSocket;
using detail::Session;
using detail::Strand;

constexpr int kAcceptPauseMs = 50;  // after running out of descriptors or memory

class Server final : public HttpServer {
 public:
  explicit Server(const ServerOptions& options) : options_(options), core_(std::make_shared<Core>()) {}
  ~Server() override { stop(0); }

  Status start(Handler handler) {
    core_->limits = options_.limits;
    core_->body_limit = options_.body_limit;
    core_->handler = std::move(handler);
    if (options_.listen.empty() && options_.unix_socket.empty()) {
      return fail(ErrorCode::invalid_argument, "a server needs a listen address or a unix socket");
    }
    if (options_.certificate_file.empty() != options_.private_key_file.empty()) {
      return fail(ErrorCode::invalid_argument, "certificate_file and private_key_file go together");
    }
    if (!options_.client_ca_file.empty() && options_.certificate_file.empty()) {
      return fail(ErrorCode::invalid_argument, "client certificates need TLS: give certificate_file");
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
    if (options_.client_ca_file.empty()) return {};
    return detail::ask_for_client_certificate(raw, options_.client_ca_file);
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
    const std::string peer = peer_of(socket);
    if (peer.empty()) return;  // gone already
    const std::string group = address_group(peer);
    const bool local = peer == "unix";
    if (!local) {
      error_code ignored;
      socket.set_option(Tcp::no_delay(true), ignored);
    }
    std::shared_ptr<Session> session;
    {
      const std::lock_guard lock(core->mutex);
      const uint32_t here = local ? 0 : core->per_address[group];
      if (core->stopping.load() || core->sessions.size() >= core->limits.max_connections ||
          here >= core->limits.max_connections_per_address) {
        if (!local && here == 0) core->per_address.erase(group);
        core->refused.fetch_add(1, std::memory_order_relaxed);
        return;
      }
      const uint64_t id = core->next_id++;
      session = std::make_shared<Session>(core, std::move(socket), strand, peer, id, tls);
      core->sessions.emplace(id, session);
      if (!local) ++core->per_address[group];
      core->accepted.fetch_add(1, std::memory_order_relaxed);
    }
    asio::co_spawn(strand, session->run(), [core, session](const std::exception_ptr&) {
      session->kill();
      const std::lock_guard lock(core->mutex);
      core->sessions.erase(session->id());
      const auto at = core->per_address.find(session->group());
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
