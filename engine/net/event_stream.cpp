#include "engine/net/event_stream.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <utility>

namespace fb::net {

bool EventParser::feed(std::string_view piece, const std::function<bool(const ServerEvent&)>& take) {
  while (!piece.empty()) {
    if (after_return_ && piece.front() == '\n') {
      after_return_ = false;
      piece.remove_prefix(1);
      continue;
    }
    after_return_ = false;
    const size_t end = piece.find_first_of("\r\n");
    rest_ += piece.substr(0, end);
    if (rest_.size() + event_.data.size() > max_bytes_) {
      too_large_ = true;
      return false;
    }
    if (end == std::string_view::npos) return true;
    after_return_ = piece[end] == '\r';
    piece.remove_prefix(end + 1);
    const std::string whole = std::exchange(rest_, {});
    if (!line(whole, take)) return false;
  }
  return true;
}

bool EventParser::line(std::string_view line, const std::function<bool(const ServerEvent&)>& take) {
  if (line.empty()) {
    bool go_on = true;
    event_.id = id_;
    if (has_data_) {
      event_.data.pop_back();  // the last line feed
      if (event_.name.empty()) event_.name = "message";
      go_on = take(event_);
    }
    event_.name.clear();
    event_.data.clear();
    has_data_ = false;
    return go_on;
  }
  const size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "data") {
    event_.data += value;
    event_.data += '\n';
    has_data_ = true;
  } else if (field == "event") {
    event_.name = value;
  } else if (field == "id") {
    id_ = value;
  } else if (field == "retry") {
    int ms = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), ms);
    if (error == std::errc() && end == value.data() + value.size() && ms >= 0) retry_ms_ = ms;
  }
  return true;
}

namespace {

constexpr size_t kMaxProblemBytes = 64u << 10;

struct Answer {
  CURL* easy = nullptr;
  const std::function<bool(std::string_view)>* take = nullptr;
  std::string* problem = nullptr;
  bool stopped = false;
};

size_t on_piece(char* data, size_t, size_t n, void* user) {
  auto& answer = *static_cast<Answer*>(user);
  long status = 0;
  curl_easy_getinfo(answer.easy, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) {
    if (answer.problem->size() < kMaxProblemBytes) answer.problem->append(data, n);
    return n;
  }
  if ((*answer.take)(std::string_view(data, n))) return n;
  answer.stopped = true;
  return 0;
}

}  // namespace

Result<int> follow(const ClientOptions& options, const StreamRequest& request,
                   const std::function<bool(std::string_view piece)>& take, std::string* problem) {
  // Starts libcurl, once for the process.
  const HttpClient starts(ClientOptions{});
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy(curl_easy_init(), curl_easy_cleanup);
  if (easy == nullptr) return fail(ErrorCode::internal, "libcurl cannot be started");
  curl_slist* list = nullptr;
  for (const auto& [name, value] : request.headers) {
    const std::string line = name + ": " + value;
    if (line.find_first_of("\r\n") != std::string::npos) {
      curl_slist_free_all(list);
      return fail(ErrorCode::invalid_argument, "a request header has a line break", name);
    }
    list = curl_slist_append(list, line.c_str());
  }
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(list, curl_slist_free_all);
  Answer answer{easy.get(), &take, problem};
  char error_text[CURL_ERROR_SIZE] = "";
  const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(easy.get(), option, value); };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_PROXY, "");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout_ms));
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(std::max(1, request.silence_ms / 1000)));
  set(CURLOPT_ERRORBUFFER, error_text);
  set(CURLOPT_WRITEFUNCTION, on_piece);
  set(CURLOPT_WRITEDATA, &answer);
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!options.unix_socket.empty()) set(CURLOPT_UNIX_SOCKET_PATH, options.unix_socket.c_str());
  if (!options.ca_file.empty()) {
    set(CURLOPT_CAINFO, options.ca_file.c_str());
    set(CURLOPT_CAPATH, static_cast<char*>(nullptr));
  }
  const CURLcode code = curl_easy_perform(easy.get());
  if (answer.stopped) return 0;
  const std::string why = error_text[0] != '\0' ? error_text : curl_easy_strerror(code);
  if (code == CURLE_PEER_FAILED_VERIFICATION) {
    return fail(ErrorCode::refused, "the server's certificate is not trusted: " + why, request.url);
  }
  if (code != CURLE_OK) return tl::unexpected<Error>(Error{ErrorCode::unavailable, Retry::yes, why, request.url});
  long status = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
  return static_cast<int>(status);
}

}  // namespace fb::net
