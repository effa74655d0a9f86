// Plain request and response types, and the two ends: HttpServer (TLS or plain, TCP or unix socket; the only unit that
// sees Boost.Beast) and HttpClient (libcurl). Front limits per server, all named.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"

namespace fb::net {

struct Request {
  std::string method;                          // upper case
  std::string target;                          // as sent
  std::string path;                            // decoded, without the query
  std::map<std::string, std::string> query;    // decoded; the last of repeated names
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::string peer;  // address of the other side; "unix" for a unix socket
  bool tls = false;
  // The client's certificate, when the server asks for one (client_ca_file) and the client showed one that this CA
  // signed; "" = none. Whether it may still be used is the handler's to judge: an expired one passes the handshake.
  std::string client_sha256;  // lower-case hex of the certificate
  std::string client_name;    // what the CA calls the client (tls_files.h)
  bool client_expired = false;
};

class Responder;

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::map<std::string, std::string> headers;
  std::string body;
  // For an answer that goes on: answering with this set calls it with the responder, which it start()s then or later.
  // The rest of the Response is not used.
  std::function<void(std::shared_ptr<Responder>)> stream;
};

// Answers once, from any thread, now or later (long poll). Dropping it unanswered answers 500. The connection may be
// gone by then: answering is always safe.
class Responder {
 public:
  virtual ~Responder() = default;
  virtual void answer(Response response) = 0;
  // True once the client is gone (a long poll may be forgotten).
  virtual bool gone() const = 0;

  // Instead of answer(), for an answer without a known end (server-sent events): the head, then pieces, then the end,
  // each from any thread, none of them waits. The connection closes with the end. A client that takes no bytes for
  // write_deadline_ms, or leaves max_stream_backlog_bytes untaken, is dropped: gone() says so.
  virtual void start(Response /*head*/) {}
  virtual void send(std::string /*piece*/) {}
  virtual void finish() {}
  // Bytes of send() that were not written yet: who has more to say waits while this is high.
  virtual size_t backlog() const { return 0; }
};
using Handler = std::function<void(Request, std::shared_ptr<Responder>)>;

struct ServerLimits {
  uint32_t max_header_bytes = 16u << 10;       // http.limits.max_header_bytes
  uint32_t max_headers = 100;                  // http.limits.max_headers
  size_t max_body_bytes = 1u << 20;            // http.limits.max_body_bytes
  int header_deadline_ms = 10'000;             // http.limits.header_deadline: whole header, from the first byte on
  int body_deadline_ms = 30'000;               // http.limits.body_deadline
  int idle_deadline_ms = 60'000;               // http.limits.idle_deadline: between requests
  int write_deadline_ms = 30'000;              // http.limits.write_deadline
  size_t max_stream_backlog_bytes = 4u << 20;  // of an answer that goes on
  // Bodies of requests that are not answered yet: of all connections, and of one address. What would be more is
  // answered 503; a body counts before anybody knows whose it is.
  size_t max_all_bodies_bytes = 256u << 20;
  size_t max_bodies_per_address_bytes = 64u << 20;
  uint32_t max_connections = 4096;             // http.limits.max_connections
  uint32_t max_connections_per_address = 512;  // http.limits.max_connections_per_address
};

// What a server did so far.
struct ServerStats {
  uint64_t accepted = 0;
  uint64_t refused = 0;  // over max_connections or max_connections_per_address: closed at once
  uint64_t accept_errors = 0;
  uint64_t timed_out = 0;     // a deadline closed the connection (idle ones are not counted)
  uint64_t bad_requests = 0;  // answered 4xx or 5xx by the server itself
  uint32_t connections = 0;   // open now
};

struct ServerOptions {
  std::string listen;            // "127.0.0.1:8770", "0.0.0.0:8771", "[::1]:0"; "" = none
  std::string unix_socket;       // path, mode 0600; "" = none
  std::string certificate_file;  // PEM; with private_key_file: TLS 1.2 or later on the TCP side
  std::string private_key_file;
  std::string client_ca_file;  // PEM; clients may show a certificate of this CA; "" = none is asked for
  ServerLimits limits;
  // How large the body may be of a request with this head (its body is empty yet); asked on a server thread. Empty:
  // max_body_bytes for all.
  std::function<size_t(const Request& head)> body_limit;
  int threads = 1;
};

class HttpServer {
 public:
  virtual ~HttpServer() = default;
  virtual uint16_t port() const = 0;  // the TCP port it got
  // Stops accepting, lets running answers finish for up to drain_ms, closes. Idempotent.
  virtual void stop(int drain_ms) = 0;
  // Runs a task on a server thread after delay_ms (for long-poll deadlines).
  // A task that is not due by then is dropped by stop().
  virtual void after(int delay_ms, std::function<void()> task) = 0;
  virtual ServerStats stats() const = 0;
};
// The handler runs on a server thread: it must not block for long (one thread serves many connections), and it may
// answer before it returns. What it throws is answered 500. Destroying the server stops it without a drain; never
// destroy or stop it from its own handler.
Result<std::unique_ptr<HttpServer>> start_http_server(const ServerOptions& options, Handler handler);

struct ClientOptions {
  std::string unix_socket;              // connect here instead of the URL's host
  std::string ca_file;                  // PEM; "" = the system's
  std::string pinned_fingerprint;       // hex SHA-256 of the server certificate or of its CA (enrolment); "" = none
  std::string client_certificate_file;  // PEM, shown when the server asks; with client_key_file
  std::string client_key_file;
  // A file that keeps the address where the server was last reached; when its name can't be looked up any more, that
  // one is used (the certificate is still checked against the name). "" = none.
  std::string address_file;
  std::string connect_to;  // "host:port:address[,address]" (guard_url): this host is not looked up; "" = none
  int connect_timeout_ms = 10'000;
  int total_timeout_ms = 30'000;
  size_t max_reply_bytes = 64u << 20;
};
struct ClientReply {
  int status = 0;
  std::map<std::string, std::string> headers;
  std::string body;
};
// One keep-alive connection; one thread at a time. Follows no redirects and heeds no proxy of the environment.
class HttpClient {
 public:
  explicit HttpClient(ClientOptions options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  Result<ClientReply> request(const std::string& method, const std::string& url,
                              const std::map<std::string, std::string>& headers, const std::string& body);
  // From another thread: makes the running request end soon with ErrorCode::unavailable, and every later one at once.
  void cancel();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fb::net
