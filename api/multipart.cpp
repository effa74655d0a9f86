#include "api/multipart.h"

#include <algorithm>
#include <optional>

#include "engine/base/text.h"

namespace fb::api {
namespace {

constexpr size_t kMaxParts = 16;
constexpr size_t kMaxPartHeader = 4096;
constexpr size_t kMaxBoundary = 70;  // RFC 2046

tl::unexpected<Error> bad(std::string what) {
  return fail(ErrorCode::invalid_argument, "the form is not well-formed: " + std::move(what));
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// The value of `name=` among `; name=value; name="value"`. Quoted values may hold \" and \\ (browsers write %22).
std::optional<std::string> parameter(std::string_view header, std::string_view name) {
  size_t at = header.find(';');
  while (at != std::string_view::npos && at < header.size()) {
    ++at;
    const size_t equals = header.find('=', at);
    if (equals == std::string_view::npos) return std::nullopt;
    const bool wanted = lower(trimmed(header.substr(at, equals - at))) == name;
    std::string value;
    size_t v = equals + 1;
    while (v < header.size() && header[v] == ' ') ++v;
    if (v < header.size() && header[v] == '"') {
      for (++v; v < header.size() && header[v] != '"'; ++v) {
        if (header[v] == '\\' && v + 1 < header.size() && (header[v + 1] == '"' || header[v + 1] == '\\')) ++v;
        value += header[v];
      }
      if (v >= header.size()) return std::nullopt;  // the quote is never closed
      at = header.find(';', v);
    } else {
      at = header.find(';', v);
      value = trimmed(header.substr(v, at == std::string_view::npos ? at : at - v));
    }
    if (wanted) return value;
  }
  return std::nullopt;
}

bool is_boundary(std::string_view text) {
  constexpr std::string_view kOthers = "'()+_,-./:=? ";
  return !text.empty() && text.size() <= kMaxBoundary && text.back() != ' ' &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  kOthers.find(c) != std::string_view::npos;
         });
}

// Header lines of one part, without the empty line that ends them.
Result<FormPart> part_of(std::string_view headers) {
  FormPart part;
  bool named = false;
  while (!headers.empty()) {
    const size_t end = headers.find("\r\n");
    const std::string_view line = headers.substr(0, end);
    headers.remove_prefix(end == std::string_view::npos ? headers.size() : end + 2);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return bad("a header of a part has no ':'");
    const std::string key = lower(trimmed(line.substr(0, colon)));
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (key == "content-transfer-encoding") {
      const std::string how = lower(value);
      if (how != "binary" && how != "8bit" && how != "7bit") return bad("parts must not be encoded");
    }
    if (key != "content-disposition") continue;
    if (named) return bad("a part says twice what it is");
    if (lower(trimmed(value.substr(0, value.find(';')))) != "form-data") return bad("a part is not form-data");
    const auto name = parameter(value, "name");
    if (!name || name->empty()) return bad("a part has no name");
    part.name = *name;
    if (const auto file = parameter(value, "filename")) {
      part.file_name = *file;
      part.is_file = true;
    }
    named = true;
  }
  if (!named) return bad("a part does not say what it is");
  if (!is_utf8(part.name) || !is_utf8(part.file_name)) return bad("a name is not UTF-8");
  return part;
}

}  // namespace

Result<std::vector<FormPart>> parse_form(std::string_view content_type, std::string_view body) {
  if (lower(trimmed(content_type.substr(0, content_type.find(';')))) != "multipart/form-data") {
    return fail(ErrorCode::invalid_argument, "the body must be multipart/form-data");
  }
  const auto boundary = parameter(content_type, "boundary");
  if (!boundary || !is_boundary(*boundary)) return bad("the boundary is missing or not one");
  const std::string first = "--" + *boundary;
  const std::string delimiter = "\r\n" + first;
  if (body.substr(0, first.size()) != first) return bad("it does not begin with its boundary");
  size_t at = first.size();
  std::vector<FormPart> parts;
  for (;;) {
    // After a delimiter: "--" ends the form, an end of line begins a part.
    if (body.substr(at, 2) == "--") {
      const std::string_view rest = body.substr(at + 2);
      if (!rest.empty() && rest != "\r\n") return bad("there is something after its end");
      return parts;
    }
    if (body.substr(at, 2) != "\r\n") return bad("a boundary is not followed by an end of line");
    at += 2;
    if (parts.size() == kMaxParts) return bad("more than " + std::to_string(kMaxParts) + " parts");
    const size_t blank = body.substr(at, kMaxPartHeader).find("\r\n\r\n");
    if (blank == std::string_view::npos) return bad("the headers of a part do not end");
    FB_TRY(FormPart part, part_of(body.substr(at, blank)));
    at += blank + 4;
    // The content may be empty: then the delimiter's own line end is the one that ends the headers.
    const size_t end = body.find(delimiter, at - 2);
    if (end == std::string_view::npos) return bad("a part does not end");
    part.content = end < at ? std::string_view() : body.substr(at, end - at);
    parts.push_back(std::move(part));
    at = end + delimiter.size();
  }
}

Result<FormPart> uploaded_file(const net::Request& request) {
  const auto type = request.headers.find("content-type");
  if (type == request.headers.end()) {
    return fail(ErrorCode::invalid_argument, "the body must be multipart/form-data");
  }
  FB_TRY(const std::vector<FormPart> parts, parse_form(type->second, request.body));
  const FormPart* file = nullptr;
  for (const FormPart& part : parts) {
    if (part.name != "file") continue;
    if (file != nullptr) return fail(ErrorCode::invalid_argument, "there are several parts named 'file'");
    file = &part;
  }
  if (file == nullptr || !file->is_file) {
    return fail(ErrorCode::invalid_argument, "the form has no file in a part named 'file'");
  }
  return *file;
}

Result<std::string_view> uploaded_ndjson(const net::Request& request) {
  FB_TRY(const FormPart file, uploaded_file(request));
  constexpr std::string_view kEnding = ".ndjson";
  if (!lower(file.file_name).ends_with(kEnding)) {
    const size_t dot = file.file_name.rfind('.');
    return fail(ErrorCode::invalid_argument,
                "Invalid file extension " +
                    (dot == std::string::npos ? std::string() : printable(file.file_name.substr(dot, 20))));
  }
  return file.content;
}

}  // namespace fb::api
