// Mail by libcurl: smtp:// with STARTTLS, or smtps://. Header injection can't happen: addresses are checked when the
// sink is made, the subject is one encoded line, and the body is base64.
#include <curl/curl.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <ctime>

#include "actions/notify/sink.h"
#include "engine/base/digest.h"
#include "engine/base/text.h"

namespace fb::notify {
namespace {

constexpr long kConnectMs = 10'000;
constexpr long kTotalMs = 30'000;
constexpr size_t kMaxSubject = 120;  // bytes, before it is encoded
constexpr size_t kBodyLine = 76;

struct SmtpSettings {
  std::string server;  // "smtp://mail.example.com:587"
  std::string from;
  std::vector<std::string> to;
  std::string user;
  std::string password;
  bool starttls = true;
  std::string ca_file;
  std::string hostname;
};

// "name@host" of plain characters: no quoting, no comments, nothing that could end a line or an address.
bool is_address(const std::string& text) {
  const size_t at = text.find('@');
  if (at == 0 || at == std::string::npos || at + 1 == text.size() || text.size() > 254) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("!#$%&'*+-/=?^_`{|}~.").find(c) != std::string_view::npos;
    if (!plain && i != at) return false;
  }
  return text.front() != '-';
}

// The date as mail writes it, in English whatever the locale.
std::string mail_date(int64_t wall_ms) {
  static constexpr std::array<const char*, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = static_cast<std::time_t>(wall_ms / 1000);
  std::tm t{};
  gmtime_r(&seconds, &t);
  char out[64];
  std::snprintf(out, sizeof(out), "%s, %02d %s %04d %02d:%02d:%02d +0000", kDays[static_cast<size_t>(t.tm_wday)],
                t.tm_mday, kMonths[static_cast<size_t>(t.tm_mon)], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
  return out;
}

// Encoded words of at most 75 characters, each a whole number of code points, folded.
std::string encoded_words(const std::string& text) {
  constexpr size_t kMaxRaw = 42;
  std::string out;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(at + kMaxRaw, text.size());
    while (end < text.size() && end > at + 1 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) --end;
    out += (out.empty() ? "" : "\r\n ") + ("=?UTF-8?B?" + base64(std::string_view(text).substr(at, end - at)) + "?=");
    at = end;
  }
  return out;
}

std::string body_text(const Notification& n) {
  std::string out = n.text + "\r\n\r\n";
  const auto line = [&](const char* name, const std::string& value) {
    if (!value.empty()) out += std::string(name) + ": " + printable(value) + "\r\n";
  };
  line("Kind", n.kind);
  line("Severity", std::string(to_string(n.level)));
  line("Time", n.at);
  line("Host", n.hostname);
  line("Endpoint", n.endpoint_id);
  line("Command", n.command);
  line("Action", n.action_id);
  line("Rule", n.rule_id);
  line("Verdict", n.verdict);
  line("Guard", n.guard);
  line("Comment", n.comment);
  line("Detail", n.detail);
  line("By", n.who);
  for (const auto& [kind, count] : n.counts) line(kind.c_str(), std::to_string(count));
  for (const std::string& sample : n.samples) out += "- " + printable(sample) + "\r\n";
  return out;
}

std::string mail(const Notification& n, const SmtpSettings& s, int64_t now_ms) {
  std::string subject = "[Firebreak] " + printable(n.text);
  if (subject.size() > kMaxSubject) {
    size_t at = kMaxSubject;
    while (at > 0 && (static_cast<uint8_t>(subject[at]) & 0xC0) == 0x80) --at;
    subject.resize(at);
  }
  std::string to;
  for (const std::string& address : s.to) to += (to.empty() ? "" : ",\r\n ") + ("<" + address + ">");
  std::string out = "Date: " + mail_date(now_ms) + "\r\nFrom: Firebreak <" + s.from + ">\r\nTo: " + to +
                    "\r\nMessage-ID: <" + n.id + "." + hex(sha256(n.at + n.text)).substr(0, 16) + "@" +
                    s.from.substr(s.from.find('@') + 1) + ">\r\nSubject: " + encoded_words(subject) +
                    "\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
                    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n";
  const std::string body = base64(to_utf8(body_text(n)));
  for (size_t at = 0; at < body.size(); at += kBodyLine) out += body.substr(at, kBodyLine) + "\r\n";
  return out;
}

struct Upload {
  const std::string& text;
  size_t at = 0;
};

size_t give(char* buffer, size_t, size_t room, void* user) {
  auto& up = *static_cast<Upload*>(user);
  const size_t n = std::min(room, up.text.size() - up.at);
  std::memcpy(buffer, up.text.data() + up.at, n);
  up.at += n;
  return n;
}

int asked_to_stop(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<std::atomic<bool>*>(user)->load() ? 1 : 0;
}

// 4xx answers and broken connections may be tried again; a 5xx answer or a failed login will not change by itself.
Error error_of(CURLcode code, long answer, const char* detail) {
  const bool refused = (answer >= 500 && answer < 600) || code == CURLE_LOGIN_DENIED ||
                       code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_USE_SSL_FAILED;
  std::string message = detail[0] != '\0' ? detail : curl_easy_strerror(code);
  return {refused ? ErrorCode::refused : ErrorCode::unavailable, refused ? Retry::no : Retry::yes, printable(message),
          ""};
}

class Smtp final : public Sink {
 public:
  Smtp(SmtpSettings settings, const Clock& clock) : s_(std::move(settings)), clock_(clock) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    for (const std::string& address : s_.to)
      recipients_ = curl_slist_append(recipients_, ("<" + address + ">").c_str());
  }
  ~Smtp() override {
    curl_slist_free_all(recipients_);
    curl_global_cleanup();
  }
  Smtp(const Smtp&) = delete;
  Smtp& operator=(const Smtp&) = delete;

  Status send(const Notification& n) override {
    if (cancelled_.load()) return fail(ErrorCode::unavailable, "the request was cancelled");
    CURL* easy = curl_easy_init();
    if (easy == nullptr) return fail(ErrorCode::internal, "libcurl cannot be started");
    const std::string text = mail(n, s_, clock_.wall_ms());
    Upload upload{text};
    char error_text[CURL_ERROR_SIZE] = "";
    const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(easy, option, value); };
    set(CURLOPT_URL, s_.server.c_str());
    set(CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    set(CURLOPT_PROXY, "");
    set(CURLOPT_USE_SSL, static_cast<long>(s_.starttls ? CURLUSESSL_ALL : CURLUSESSL_NONE));
    set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!s_.ca_file.empty()) set(CURLOPT_CAINFO, s_.ca_file.c_str());
    if (!s_.user.empty()) {
      set(CURLOPT_USERNAME, s_.user.c_str());
      set(CURLOPT_PASSWORD, s_.password.c_str());
    }
    const std::string from = "<" + s_.from + ">";
    set(CURLOPT_MAIL_FROM, from.c_str());
    set(CURLOPT_MAIL_RCPT, recipients_);
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_READFUNCTION, give);
    set(CURLOPT_READDATA, static_cast<void*>(&upload));
    set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(text.size()));
    set(CURLOPT_CONNECTTIMEOUT_MS, kConnectMs);
    set(CURLOPT_TIMEOUT_MS, kTotalMs);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_XFERINFOFUNCTION, asked_to_stop);
    set(CURLOPT_XFERINFODATA, static_cast<void*>(&cancelled_));
    set(CURLOPT_ERRORBUFFER, error_text);
    const CURLcode code = curl_easy_perform(easy);
    long answer = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer);
    curl_easy_cleanup(easy);
    if (code == CURLE_OK) return {};
    return tl::unexpected<Error>(error_of(code, answer, error_text));
  }
  void cancel() override { cancelled_.store(true); }

 private:
  const SmtpSettings s_;
  const Clock& clock_;
  curl_slist* recipients_ = nullptr;
  std::atomic<bool> cancelled_{false};
};

}  // namespace

Result<std::unique_ptr<Sink>> make_smtp_sink(const SinkContext& context) {
  SmtpSettings s;
  s.server = context.text("smtp.server");
  s.from = context.text("smtp.from");
  s.to = context.list("smtp.to");
  s.user = context.text("smtp.user");
  const std::string password_file = context.text("smtp.password_file");
  if (s.server.empty()) {
    if (s.from.empty() && s.to.empty()) return std::unique_ptr<Sink>();
    return fail(ErrorCode::invalid_argument, "there is no server");
  }
  const bool whole_tls = s.server.starts_with("smtps://");
  if (!whole_tls && !s.server.starts_with("smtp://")) {
    return fail(ErrorCode::invalid_argument, "server begins with smtp:// or smtps://");
  }
  // The path would be the name in EHLO, and a user belongs into its own key.
  const std::string host = s.server.substr(s.server.find("://") + 3);
  if (host.empty() || host.find_first_of("/?#@ \t\r\n\\") != std::string::npos) {
    return fail(ErrorCode::invalid_argument, "server holds only a host and a port");
  }
  if (!is_address(s.from)) return fail(ErrorCode::invalid_argument, "from is not an address such as a@example.com");
  if (s.to.empty()) return fail(ErrorCode::invalid_argument, "there is nobody in to");
  for (const std::string& address : s.to) {
    if (!is_address(address)) {
      return fail(ErrorCode::invalid_argument, "'" + printable(address) + "' in to is not an address");
    }
  }
  if (s.user.empty() != password_file.empty()) {
    return fail(ErrorCode::invalid_argument, "user and password_file come together");
  }
  if (!password_file.empty()) {
    FB_TRY(s.password, read_secret_file(password_file));
  }
  s.starttls = whole_tls || context.text("smtp.starttls") != "never";
  if (!s.starttls && !s.user.empty()) {
    return fail(ErrorCode::invalid_argument, "a password is not sent without TLS: starttls is never");
  }
  s.ca_file = context.ca_file;
  return std::unique_ptr<Sink>(std::make_unique<Smtp>(std::move(s), *context.clock));
}

}  // namespace fb::notify
