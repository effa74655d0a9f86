#include <curl/curl.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <mutex>
#include <utility>

#include "engine/base/digest.h"
#include "engine/net/http.h"

namespace fb::net {
namespace {

void start_curl_once() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

// OpenSSL writes to a socket without MSG_NOSIGNAL: a peer that is gone would raise SIGPIPE in a program that does not
// ignore it. It is held back on this thread for the time of a request.
class HoldSigpipe {
 public:
  HoldSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~HoldSigpipe() {
    const timespec now{0, 0};
    if (!was_pending_) sigtimedwait(&pipe_, nullptr, &now);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  HoldSigpipe(const HoldSigpipe&) = delete;
  HoldSigpipe& operator=(const HoldSigpipe&) = delete;

 private:
  sigset_t pipe_{};
  sigset_t before_{};
  bool was_pending_ = false;
};

std::string fingerprint_of(X509* cert) {
  Sha256 digest{};
  unsigned size = static_cast<unsigned>(digest.size());
  if (X509_digest(cert, EVP_sha256(), digest.data(), &size) != 1) return "";
  return hex(digest);
}

// Trusts exactly the certificate of the server's chain that has the pinned fingerprint, and lets OpenSSL verify the
// chain up to it. The host name is checked by libcurl afterwards, as always.
int verify_pinned(X509_STORE_CTX* context, void* argument) {
  const auto& pinned = *static_cast<const std::string*>(argument);
  STACK_OF(X509)* chain = X509_STORE_CTX_get0_untrusted(context);
  X509* anchor = nullptr;
  for (int i = 0; chain != nullptr && i < sk_X509_num(chain) && anchor == nullptr; ++i) {
    X509* cert = sk_X509_value(chain, i);
    if (equal_secret(fingerprint_of(cert), pinned)) anchor = cert;
  }
  if (anchor == nullptr) {
    X509_STORE_CTX_set_error(context, X509_V_ERR_CERT_UNTRUSTED);
    return 0;
  }
  STACK_OF(X509)* trusted = sk_X509_new_null();
  if (trusted == nullptr || sk_X509_push(trusted, anchor) <= 0) {
    sk_X509_free(trusted);
    return 0;
  }
  X509_STORE_CTX_set0_trusted_stack(context, trusted);
  X509_STORE_CTX_set_flags(context, X509_V_FLAG_PARTIAL_CHAIN);
  const int verified = X509_verify_cert(context);
  sk_X509_free(trusted);
  return verified;
}

CURLcode pin(CURL*, void* ssl_context, void* argument) {
  SSL_CTX_set_cert_verify_callback(static_cast<SSL_CTX*>(ssl_context), verify_pinned, argument);
  return CURLE_OK;
}

struct Incoming {
  ClientReply reply;
  size_t max_bytes = 0;
  size_t bytes = 0;  // headers and body together
  bool too_large = false;

  bool take(size_t n) {
    bytes += n;
    too_large = too_large || bytes > max_bytes;
    return !too_large;
  }
};

size_t on_body(char* data, size_t, size_t n, void* user) {
  auto& in = *static_cast<Incoming*>(user);
  if (!in.take(n)) return 0;
  in.reply.body.append(data, n);
  return n;
}

size_t on_header(char* data, size_t, size_t n, void* user) {
  auto& in = *static_cast<Incoming*>(user);
  if (!in.take(n)) return 0;
  std::string_view line(data, n);
  if (line.starts_with("HTTP/")) {  // the head of the final reply replaces that of a 100 Continue
    in.reply.headers.clear();
    return n;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return n;
  std::string name(line.substr(0, colon));
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == '\r' || value.back() == '\n' || value.back() == ' '))
    value.remove_suffix(1);
  in.reply.headers[name] = std::string(value);
  return n;
}

// libcurl tells how long it took, to the millisecond. The same problem reads the same each time, so that it is told
// once.
std::string without_time(std::string text) {
  constexpr std::string_view kAfter = " after ";
  for (const std::string_view unit : {" milliseconds", " ms"}) {
    const size_t end = text.find(unit);
    if (end == std::string::npos || end == 0) continue;
    const size_t digits = text.find_last_not_of("0123456789", end - 1) + 1;
    if (digits == end || digits < kAfter.size()) continue;
    const size_t begin = digits - kAfter.size();
    if (text.compare(begin, kAfter.size(), kAfter) == 0) text.erase(begin, end + unit.size() - begin);
  }
  return text;
}

Error error_of(CURLcode code, const char* detail, const std::string& url) {
  std::string message = without_time(detail[0] != '\0' ? detail : curl_easy_strerror(code));
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return {ErrorCode::timeout, Retry::yes, std::move(message), url};
    case CURLE_PEER_FAILED_VERIFICATION:
      return {ErrorCode::refused, Retry::no, "the server's certificate is not trusted: " + message, url};
    case CURLE_SSL_CACERT_BADFILE:
      return {ErrorCode::invalid_argument, Retry::no, "the CA file cannot be used: " + message, url};
    case CURLE_SSL_CERTPROBLEM:
      return {ErrorCode::invalid_argument, Retry::no, "the client certificate cannot be used: " + message, url};
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return {ErrorCode::invalid_argument, Retry::no, std::move(message), url};
    case CURLE_OUT_OF_MEMORY:
      return {ErrorCode::internal, Retry::yes, std::move(message), url};
    default:
      return {ErrorCode::unavailable, Retry::yes, std::move(message), url};
  }
}

// "host:port" of a URL, IPv6 in brackets; "" when it has none.
std::string authority_of(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parts(curl_url(), curl_url_cleanup);
  if (parts == nullptr || curl_url_set(parts.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return "";
  std::string authority;
  for (const auto& [part, flags] :
       {std::pair{CURLUPART_HOST, 0u}, std::pair{CURLUPART_PORT, unsigned{CURLU_DEFAULT_PORT}}}) {
    char* text = nullptr;
    if (curl_url_get(parts.get(), part, &text, flags) != CURLUE_OK) return "";
    authority += (authority.empty() ? "" : ":") + std::string(text);
    curl_free(text);
  }
  return authority;
}

// The name of the server was not looked up (in time).
bool has_no_address(CURL* easy, CURLcode code) {
  if (code == CURLE_COULDNT_RESOLVE_HOST) return true;
  curl_off_t looked_up_us = 0;
  return code == CURLE_OPERATION_TIMEDOUT &&
         curl_easy_getinfo(easy, CURLINFO_NAMELOOKUP_TIME_T, &looked_up_us) == CURLE_OK && looked_up_us == 0;
}

std::string first_line(const std::string& file) {
  std::string line;
  std::ifstream in(file);
  std::getline(in, line);
  return line.substr(0, 600);
}

}  // namespace

struct HttpClient::Impl {
  explicit Impl(ClientOptions o) : options(std::move(o)) {
    start_curl_once();
    multi = curl_multi_init();
    easy = curl_easy_init();
    if (!options.connect_to.empty()) connect_to = curl_slist_append(nullptr, options.connect_to.c_str());
    for (char& c : options.pinned_fingerprint) c = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  ~Impl() {
    if (easy != nullptr) curl_easy_cleanup(easy);
    if (multi != nullptr) curl_multi_cleanup(multi);
    curl_slist_free_all(connect_to);
    curl_slist_free_all(last_good);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  ClientOptions options;
  curl_slist* connect_to = nullptr;
  curl_slist* last_good = nullptr;  // in use since the name could not be looked up
  std::string kept;                 // what stands in address_file, as far as this client knows
  CURLM* multi = nullptr;
  CURL* easy = nullptr;  // the multi handle keeps the connection between requests
  std::atomic<bool> cancelled{false};

  void set_options(const std::string& method, const std::string& url, const std::string& body, Incoming* in,
                   curl_slist* headers, char* error_text) {
    curl_easy_reset(easy);
    const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(easy, option, value); };
    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_CUSTOMREQUEST, method.c_str());
    if (method == "HEAD") {
      set(CURLOPT_NOBODY, 1L);
    } else if (!body.empty() || method == "POST" || method == "PUT" || method == "PATCH") {
      set(CURLOPT_POSTFIELDS, body.c_str());
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    }
    set(CURLOPT_HTTPHEADER, headers);
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_PROXY, "");
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_TCP_NODELAY, 1L);
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout_ms));
    set(CURLOPT_TIMEOUT_MS, static_cast<long>(options.total_timeout_ms));
    set(CURLOPT_ERRORBUFFER, error_text);
    set(CURLOPT_WRITEFUNCTION, on_body);
    set(CURLOPT_WRITEDATA, in);
    set(CURLOPT_HEADERFUNCTION, on_header);
    set(CURLOPT_HEADERDATA, in);
    set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    set(CURLOPT_SSL_VERIFYPEER, 1L);
    set(CURLOPT_SSL_VERIFYHOST, 2L);
    if (!options.client_certificate_file.empty()) {
      set(CURLOPT_SSLCERT, options.client_certificate_file.c_str());
      set(CURLOPT_SSLKEY, options.client_key_file.c_str());
    }
    if (!options.unix_socket.empty()) set(CURLOPT_UNIX_SOCKET_PATH, options.unix_socket.c_str());
    if (connect_to != nullptr) set(CURLOPT_RESOLVE, connect_to);
    if (last_good != nullptr) set(CURLOPT_CONNECT_TO, last_good);
    if (!options.pinned_fingerprint.empty()) {
      set(CURLOPT_CAINFO, static_cast<char*>(nullptr));
      set(CURLOPT_CAPATH, static_cast<char*>(nullptr));
      set(CURLOPT_SSL_CTX_FUNCTION, pin);
      set(CURLOPT_SSL_CTX_DATA, static_cast<void*>(&options.pinned_fingerprint));
      set(CURLOPT_SSL_SESSIONID_CACHE, 0L);
    } else if (!options.ca_file.empty()) {
      set(CURLOPT_CAINFO, options.ca_file.c_str());
      set(CURLOPT_CAPATH, static_cast<char*>(nullptr));
    }
  }

  CURLcode perform() {
    const HoldSigpipe hold;
    if (curl_multi_add_handle(multi, easy) != CURLM_OK) return CURLE_FAILED_INIT;
    const CURLcode code = run();
    curl_multi_remove_handle(multi, easy);
    return code;
  }

  // An answer came: where from is worth keeping, for the day when nobody answers for the name.
  void keep_address(const std::string& url) {
    char* address = nullptr;
    const std::string authority = authority_of(url);
    if (authority.empty() || curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &address) != CURLE_OK || address == nullptr ||
        address[0] == '\0') {
      return;
    }
    const std::string port = authority.substr(authority.rfind(':') + 1);
    const bool v6 = std::strchr(address, ':') != nullptr;
    const std::string line = authority + ":" + (v6 ? "[" : "") + address + (v6 ? "]:" : ":") + port;
    if (line == kept) return;
    kept = line;
    if (first_line(options.address_file) == line) return;
    const std::string fresh = options.address_file + "." + hex(random_bytes(4));
    {
      std::ofstream out(fresh);
      out << line << '\n';
      if (!out.flush()) {
        std::remove(fresh.c_str());
        return;
      }
    }
    if (std::rename(fresh.c_str(), options.address_file.c_str()) != 0) std::remove(fresh.c_str());
  }

  // True when there is an address to try instead.
  bool fall_back(const std::string& url) {
    const std::string authority = authority_of(url);
    const std::string line = first_line(options.address_file);
    if (authority.empty() || !line.starts_with(authority + ":")) return false;
    last_good = curl_slist_append(nullptr, line.c_str());
    return last_good != nullptr;
  }

  // Runs the added handle to its end.
  CURLcode run() {
    for (;;) {
      int running = 0;
      if (curl_multi_perform(multi, &running) != CURLM_OK) return CURLE_FAILED_INIT;
      int left = 0;
      while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
        if (message->msg == CURLMSG_DONE) return message->data.result;
      }
      if (cancelled.load()) return CURLE_ABORTED_BY_CALLBACK;
      if (curl_multi_poll(multi, nullptr, 0, 1000, nullptr) != CURLM_OK) return CURLE_FAILED_INIT;
      if (cancelled.load()) return CURLE_ABORTED_BY_CALLBACK;
    }
  }
};

HttpClient::HttpClient(ClientOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
HttpClient::~HttpClient() = default;

Result<ClientReply> HttpClient::request(const std::string& method, const std::string& url,
                                        const std::map<std::string, std::string>& headers, const std::string& body) {
  Impl& c = *impl_;
  if (c.multi == nullptr || c.easy == nullptr) return fail(ErrorCode::internal, "libcurl cannot be started");
  if (c.cancelled.load()) return fail(ErrorCode::unavailable, "the request was cancelled", url);
  curl_slist* list = curl_slist_append(nullptr, "Expect:");  // no 100-continue: it costs a round trip
  for (const auto& [name, value] : headers) {
    const std::string line = value.empty() ? name + ";" : name + ": " + value;
    if (line.find_first_of("\r\n") != std::string::npos) {
      curl_slist_free_all(list);
      return fail(ErrorCode::invalid_argument, "a request header has a line break", name);
    }
    list = curl_slist_append(list, line.c_str());
  }
  Incoming in;
  in.max_bytes = c.options.max_reply_bytes;
  char error_text[CURL_ERROR_SIZE] = "";
  c.set_options(method, url, body, &in, list, error_text);
  CURLcode code = c.perform();
  if (!c.options.address_file.empty()) {
    if (code == CURLE_OK && c.last_good == nullptr) {
      c.keep_address(url);
    } else if (c.last_good == nullptr && has_no_address(c.easy, code) && c.fall_back(url)) {
      c.set_options(method, url, body, &in, list, error_text);
      code = c.perform();
    }
    // The server may have moved: next time its name is asked for again.
    if (code != CURLE_OK && c.last_good != nullptr) curl_slist_free_all(std::exchange(c.last_good, nullptr));
  }
  curl_slist_free_all(list);
  if (in.too_large) {
    return fail(ErrorCode::limit, "the reply is larger than " + std::to_string(in.max_bytes) + " bytes", url);
  }
  if (code == CURLE_ABORTED_BY_CALLBACK) return fail(ErrorCode::unavailable, "the request was cancelled", url);
  if (code != CURLE_OK) return tl::unexpected<Error>(error_of(code, error_text, url));
  long status = 0;
  curl_easy_getinfo(c.easy, CURLINFO_RESPONSE_CODE, &status);
  in.reply.status = static_cast<int>(status);
  return std::move(in.reply);
}

void HttpClient::cancel() {
  impl_->cancelled.store(true);
  if (impl_->multi != nullptr) curl_multi_wakeup(impl_->multi);
}

}  // namespace fb::net
