#include "engine/net/http_text.h"

#include <ctime>

#include "engine/net/http_status.h"

namespace fb::net {
namespace {

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

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

std::string head_of(const Response& response, bool keep_alive, bool with_length) {
  std::string out = "HTTP/1.1 " + std::to_string(response.status) + ' ';
  out += reason_phrase(response.status);
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
  r.body = "{\"statusCode\":" + std::to_string(status) + ",\"error\":\"" + std::string(reason_phrase(status)) +
           "\",\"message\":\"" + std::string(message) + "\"}";
  return r;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = lower(c);
  return out;
}

}  // namespace fb::net
