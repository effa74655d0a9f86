#include "api/front.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "engine/base/json.h"

namespace fb::api {
namespace {

constexpr std::string_view kSpace = "/s/";
constexpr std::string_view kDefaultSpace = "default";

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

// "name:port", "[::1]:port" -> the name in lower case, without brackets and a dot at its end.
std::string name_of(std::string_view authority) {
  if (authority.starts_with('[')) return lower(authority.substr(1, authority.find(']') - 1));
  std::string name = lower(authority.substr(0, authority.find(':')));
  if (name.ends_with('.')) name.pop_back();
  return name;
}

bool is_address(const std::string& name) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, name.c_str(), bytes) == 1 || inet_pton(AF_INET6, name.c_str(), bytes) == 1;
}

const std::string& own_name() {
  static const std::string name = [] {
    char text[256] = {};
    return gethostname(text, sizeof text - 1) == 0 ? lower(text) : std::string();
  }();
  return name;
}

// Sees a JSON text as it is read and keeps the first key that its object has already.
class RepeatedKey final : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::optional<std::string> found;

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override {
    open_.emplace_back();
    return true;
  }
  bool key(string_t& name) override {
    if (!open_.back().insert(name).second && !found) found = name;
    return true;
  }
  bool end_object() override {
    open_.pop_back();
    return true;
  }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception&) override { return false; }

 private:
  std::vector<std::set<std::string>> open_;
};

const std::string* header(const net::Request& request, const char* name) {
  const auto it = request.headers.find(name);
  return it == request.headers.end() ? nullptr : &it->second;
}

}  // namespace

std::optional<std::string> path_in_space(std::string_view target) {
  if (!target.starts_with('/')) {
    const size_t scheme = target.find("://");
    const size_t path = scheme == std::string_view::npos ? scheme : target.find('/', scheme + 3);
    target = path == std::string_view::npos ? std::string_view("/") : target.substr(path);
  }
  target = target.substr(0, target.find_first_of("?#"));
  if (!target.starts_with(kSpace)) return std::string(target);
  const std::string_view rest = target.substr(kSpace.size());
  const std::string_view space = rest.substr(0, rest.find('/'));
  if (space != kDefaultSpace) return std::nullopt;
  return space.size() == rest.size() ? std::string("/") : std::string(rest.substr(space.size()));
}

bool is_our_host(std::string_view host_header, const std::vector<std::string>& names) {
  const std::string name = name_of(host_header);
  if (name == "localhost" || is_address(name) || (!name.empty() && name == own_name())) return true;
  return std::any_of(names.begin(), names.end(), [&](const std::string& ours) { return name_of(ours) == name; });
}

bool is_cross_origin(const net::Request& request) {
  if (const std::string* site = header(request, "sec-fetch-site")) {
    if (*site != "same-origin" && *site != "none") return true;
  }
  const std::string* origin = header(request, "origin");
  if (origin == nullptr) return false;
  const std::string* host = header(request, "host");
  const size_t scheme = origin->find("://");
  // "null" is what a sandboxed page says.
  if (scheme == std::string::npos || host == nullptr) return true;
  return lower(origin->substr(scheme + 3)) != lower(*host);
}

bool takes_media(const net::Request& request) {
  const std::string* coding = header(request, "content-encoding");
  if (coding != nullptr && !coding->empty() && lower(*coding) != "identity") return false;
  const std::string* type = header(request, "content-type");
  if (type == nullptr) return true;
  std::string media = lower(std::string_view(*type).substr(0, type->find(';')));
  while (!media.empty() && (media.back() == ' ' || media.back() == '\t')) media.pop_back();
  static constexpr std::string_view kTaken[] = {"",
                                                "application/json",
                                                "application/x-ndjson",
                                                "application/ndjson",
                                                "application/octet-stream",
                                                "application/x-www-form-urlencoded",
                                                "multipart/form-data"};
  return media.ends_with("+json") || std::find(std::begin(kTaken), std::end(kTaken), media) != std::end(kTaken);
}

std::optional<std::string> repeated_key(std::string_view json) {
  RepeatedKey reader;
  if (!nlohmann::json::sax_parse(json, &reader)) return std::nullopt;
  return std::move(reader.found);
}

std::string_view host_in_target(std::string_view target) {
  const size_t scheme = target.starts_with('/') ? std::string_view::npos : target.find("://");
  if (scheme == std::string_view::npos) return {};
  target.remove_prefix(scheme + 3);
  return target.substr(0, target.find_first_of("/?#"));
}

bool may_be_json(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && (text[first] == '{' || text[first] == '[');
}

}  // namespace fb::api
