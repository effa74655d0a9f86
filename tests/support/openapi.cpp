#include "tests/support/openapi.h"

#include <gtest/gtest.h>
#include <re2/re2.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "api/openapi.h"
#include "engine/base/json.h"

namespace fb::test {
namespace {

using Json = nlohmann::json;

// A plain word of YAML is a number, a boolean or null where it looks so; a quoted one is text.
Json from_yaml(const YAML::Node& node) {
  if (node.IsMap()) {
    Json object = Json::object();
    for (const auto& member : node) object[member.first.as<std::string>()] = from_yaml(member.second);
    return object;
  }
  if (node.IsSequence()) {
    Json list = Json::array();
    for (const auto& item : node) list.push_back(from_yaml(item));
    return list;
  }
  if (!node.IsScalar()) return nullptr;
  const std::string text = node.Scalar();
  if (node.Tag() == "!") return text;
  Json plain = parse_json(text);
  return plain.is_number() || plain.is_boolean() || plain.is_null() ? plain : Json(text);
}

std::vector<std::string> pieces(std::string_view path) {
  std::vector<std::string> out;
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    if (end > at) out.emplace_back(path.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

bool is_type(const Json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  if (type == "boolean") return value.is_boolean();
  return false;
}

// Characters, not bytes.
size_t length_of(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

bool has_format(const std::string& text, const std::string& format) {
  static const RE2 time(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d))");
  static const RE2 uuid("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}");
  if (format == "date-time") return RE2::FullMatch(text, time);
  if (format == "uuid") return RE2::FullMatch(text, uuid);
  return true;
}

// The keywords that check() knows; those of the second line only describe.
const std::set<std::string> kKeywords = {
    "$ref",      "type",    "nullable", "enum",    "required", "properties", "additionalProperties",
    "items",     "oneOf",   "anyOf",    "allOf",   "minItems", "maxItems",   "minLength",
    "maxLength", "pattern", "minimum",  "maximum", "format",   "description"};
const std::set<std::string> kFormats = {"date-time", "uuid", "password", "binary"};

// A fixture that calls a route's handler by itself may fill in the path alone.
const std::string& target_of(const net::Request& request) {
  return request.target.empty() ? request.path : request.target;
}

class Document {
 public:
  Document() : root_(from_yaml(YAML::Load(std::string(api::kOpenApi)))) {}

  std::vector<std::string> answer_problems(std::string_view method, std::string_view target,
                                           const net::Response& answer) {
    const std::string path = plain_path(target);
    const std::string name = std::string(method) + " " + path + " -> " + std::to_string(answer.status) + ": ";
    const Json* response = nullptr;
    std::string operation_name;
    if (const Json* operation = find(method, path, operation_name)) {
      const Json& all = operation->at("responses");
      const auto exact = all.find(std::to_string(answer.status));
      if (exact != all.end()) {
        response = &*exact;
      } else if (answer.status >= 400 && all.contains("default")) {
        response = &all["default"];
      } else {
        return {name + "the document has no such status"};
      }
    } else {
      // No such route: what the front says to it has the shape of every error.
      if (answer.status < 400) return {name + "the document has no such operation"};
      response = &root_["components"]["responses"]["Problem"];
    }
    {
      const std::lock_guard lock(mutex_);
      ++answers_;
      if (!operation_name.empty()) operations_.insert(operation_name);
    }
    std::vector<std::string> problems;
    check_content(deref(*response), answer, problems);
    for (std::string& p : problems) p = name + p;
    return problems;
  }

  std::vector<std::string> request_problems(const net::Request& request) const {
    const std::string path = plain_path(target_of(request));
    const std::string name = request.method + " " + path + " with " + request.body.substr(0, 300) + ": ";
    std::string operation_name;
    const Json* operation = find(request.method, path, operation_name);
    if (operation == nullptr) return {name + "the document has no such operation"};
    const auto described = operation->find("requestBody");
    if (described == operation->end()) {
      if (request.body.empty()) return {};
      return {name + "the document gives no body"};
    }
    if (request.body.empty()) {
      if (!described->value("required", false)) return {};
      return {name + "the document wants a body"};
    }
    const Json& contents = described->at("content");
    if (request.body.starts_with("--")) {
      if (contents.contains("multipart/form-data")) return {};
      return {name + "the document does not take a form"};
    }
    const auto content = contents.find("application/json");
    if (content == contents.end()) return {name + "the document does not take JSON"};
    const Json value = Json::parse(request.body, nullptr, false);
    if (value.is_discarded()) return {name + "is not JSON"};
    std::vector<std::string> problems;
    check(value, content->at("schema"), "", problems);
    for (std::string& p : problems) p = name + p;
    return problems;
  }

  std::vector<std::string> value_problems(const std::string& schema_name, const std::string& json) {
    std::vector<std::string> problems;
    const Json value = parse_json(json);
    if (value.is_discarded()) return {"the text is not JSON"};
    check(value, root_["components"]["schemas"].at(schema_name), "", problems);
    return problems;
  }

  std::vector<std::string> unchecked() {
    std::vector<std::string> found;
    for (const auto& [name, schema] : root_["components"]["schemas"].items()) look_at_schema(schema, name, found);
    for (const auto& [path, item] : root_["paths"].items()) {
      for (const auto& [method, operation] : item.items()) {
        if (method == "parameters") continue;
        const std::string name = method + " " + path;
        if (!operation.contains("responses")) found.push_back(name + " has no responses");
        const Json responses = operation.value("responses", Json::object());
        for (const auto& [status, response] : responses.items()) {
          const Json contents = deref(response).value("content", Json::object());
          for (const auto& [media, content] : contents.items()) {
            look_at_schema(content.at("schema"), name + " " + status + " " + media, found);
          }
        }
        if (const auto body = operation.find("requestBody"); body != operation.end()) {
          for (const auto& [media, content] : body->at("content").items()) {
            look_at_schema(content.at("schema"), name + " request", found);
          }
        }
      }
    }
    return found;
  }

  Described so_far() {
    const std::lock_guard lock(mutex_);
    return {answers_, operations_.size()};
  }

 private:
  static std::string plain_path(std::string_view target) {
    target = target.substr(0, target.find_first_of("?#"));
    if (const size_t scheme = target.find("://"); scheme != std::string_view::npos && target.front() != '/') {
      const size_t slash = target.find('/', scheme + 3);
      target = slash == std::string_view::npos ? "/" : target.substr(slash);
    }
    constexpr std::string_view kSpace = "/s/default";
    if (target.starts_with("/s/default/")) target.remove_prefix(kSpace.size());
    return std::string(target);
  }

  // A literal piece goes before a {name}, as in the router.
  const Json* find(std::string_view method, const std::string& path, std::string& name) const {
    const std::string key = method == "HEAD" ? "get" : lower(method);
    const auto wanted = pieces(path);
    const Json* best = nullptr;
    size_t most = 0;
    for (const auto& [pattern, item] : root_["paths"].items()) {
      const auto here = pieces(pattern);
      if (here.size() != wanted.size() || !item.contains(key)) continue;
      size_t literal = 1;
      bool fits = true;
      for (size_t i = 0; i < here.size() && fits; ++i) {
        const bool open = here[i].front() == '{';
        fits = open || here[i] == wanted[i];
        literal += open ? 0 : 1;
      }
      if (!fits || literal <= most) continue;
      most = literal;
      best = &item[key];
      name = key + " " + pattern;
    }
    return best;
  }

  const Json& deref(const Json& node) const {
    const auto ref = node.find("$ref");
    return ref == node.end() ? node : root_.at(Json::json_pointer(ref->get<std::string>().substr(1)));
  }

  void check_content(const Json& response, const net::Response& answer, std::vector<std::string>& problems) const {
    const auto content = response.find("content");
    if (content == response.end()) {
      if (!answer.body.empty()) problems.push_back("has a body, but the document gives none");
      return;
    }
    const std::string media =
        answer.stream ? "text/event-stream" : lower(answer.content_type.substr(0, answer.content_type.find(';')));
    const auto described = content->find(media);
    if (described == content->end()) {
      problems.push_back("the document does not give the media type " + media);
      return;
    }
    if (answer.stream) return;
    const Json& schema = described->at("schema");
    if (media == "application/json") {
      const Json value = parse_json(answer.body);
      if (value.is_discarded()) {
        problems.push_back("the body is not JSON: " + answer.body.substr(0, 200));
      } else {
        check(value, schema, "", problems);
      }
    } else if (media.ends_with("ndjson")) {
      size_t number = 0;
      for (size_t at = 0; at < answer.body.size();) {
        const size_t end = std::min(answer.body.find('\n', at), answer.body.size());
        const std::string line = answer.body.substr(at, end - at);
        // Lines that are texts need not be JSON.
        const bool plain = deref(schema).value("type", "") == "string";
        const Json value = plain ? Json(line) : parse_json(line);
        at = end + 1;
        ++number;
        const std::string place = "line " + std::to_string(number);
        if (value.is_discarded()) {
          problems.push_back(place + " is not JSON");
        } else {
          check(value, schema, place, problems);
        }
      }
    } else {
      check(Json(answer.body), schema, "", problems);
    }
  }

  void check(const Json& value, const Json& schema_or_ref, const std::string& place,
             std::vector<std::string>& problems) const {
    const Json& schema = deref(schema_or_ref);
    const auto bad = [&](const std::string& what) {
      problems.push_back((place.empty() ? "the body" : place) + " " + what + ": " +
                         value.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 300));
    };
    if (value.is_null() && schema.value("nullable", false)) return;
    if (const auto type = schema.find("type"); type != schema.end() && !is_type(value, *type)) {
      return bad("is no " + type->get<std::string>());
    }
    if (const auto words = schema.find("enum"); words != schema.end()) {
      if (std::find(words->begin(), words->end(), value) == words->end()) bad("is none of " + words->dump());
    }
    check_choices(value, schema, place, problems);
    if (value.is_object()) check_object(value, schema, place, problems);
    if (value.is_array()) {
      if (value.size() < schema.value("minItems", size_t{0})) bad("has too few items");
      if (value.size() > schema.value("maxItems", SIZE_MAX)) bad("has too many items");
      if (const auto items = schema.find("items"); items != schema.end()) {
        for (size_t i = 0; i < value.size(); ++i) {
          check(value[i], *items, place + "[" + std::to_string(i) + "]", problems);
        }
      }
    }
    if (value.is_string()) {
      const auto& text = value.get_ref<const std::string&>();
      if (length_of(text) < schema.value("minLength", size_t{0})) bad("is too short");
      if (length_of(text) > schema.value("maxLength", SIZE_MAX)) bad("is too long");
      if (const auto format = schema.find("format"); format != schema.end() && !has_format(text, *format)) {
        bad("is no " + format->get<std::string>());
      }
      if (const auto pattern = schema.find("pattern"); pattern != schema.end()) {
        if (!RE2::PartialMatch(text, RE2(pattern->get<std::string>()))) bad("does not match the pattern");
      }
    }
    if (value.is_number()) {
      const double number = value.get<double>();
      if (schema.contains("minimum") && number < schema["minimum"].get<double>()) bad("is too small");
      if (schema.contains("maximum") && number > schema["maximum"].get<double>()) bad("is too large");
    }
  }

  void check_object(const Json& value, const Json& schema, const std::string& place,
                    std::vector<std::string>& problems) const {
    for (const Json& name : schema.value("required", Json::array())) {
      if (!value.contains(name.get<std::string>())) {
        problems.push_back((place.empty() ? "the body" : place) + " has no " + name.get<std::string>() + ": " +
                           value.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 300));
      }
    }
    const Json properties = schema.value("properties", Json::object());
    const auto others = schema.find("additionalProperties");
    for (const auto& [name, member] : value.items()) {
      const std::string here = place.empty() ? name : place + "." + name;
      if (const auto known = properties.find(name); known != properties.end()) {
        check(member, *known, here, problems);
      } else if (others != schema.end() && others->is_boolean() && !others->get<bool>()) {
        problems.push_back(here + " is not in the document");
      } else if (others != schema.end() && others->is_object()) {
        check(member, *others, here, problems);
      }
    }
  }

  void check_choices(const Json& value, const Json& schema, const std::string& place,
                     std::vector<std::string>& problems) const {
    for (const Json& part : schema.value("allOf", Json::array())) check(value, part, place, problems);
    for (const char* word : {"oneOf", "anyOf"}) {
      const auto choices = schema.find(word);
      if (choices == schema.end()) continue;
      size_t fitting = 0;
      std::vector<std::string> why;
      for (const Json& choice : *choices) {
        std::vector<std::string> wrong;
        check(value, choice, place, wrong);
        fitting += wrong.empty();
        why.insert(why.end(), wrong.begin(), wrong.end());
      }
      const bool good = std::string_view(word) == "oneOf" ? fitting == 1 : fitting > 0;
      if (good) continue;
      problems.push_back(std::string("fits ") + std::to_string(fitting) + " of " + word);
      problems.insert(problems.end(), why.begin(), why.end());
    }
  }

  void look_at_schema(const Json& schema, const std::string& place, std::vector<std::string>& found) const {
    if (!schema.is_object()) return found.push_back(place + " is no schema");
    if (const auto ref = schema.find("$ref"); ref != schema.end()) {
      if (!root_.contains(Json::json_pointer(ref->get<std::string>().substr(1)))) {
        found.push_back(place + " leads nowhere: " + ref->get<std::string>());
      }
    }
    for (const auto& [key, value] : schema.items()) {
      if (!kKeywords.contains(key)) found.push_back(place + " has a keyword that is not checked: " + key);
    }
    if (const auto format = schema.find("format"); format != schema.end() && !kFormats.contains(*format)) {
      found.push_back(place + " has a format that is not checked: " + format->get<std::string>());
    }
    const Json properties = schema.value("properties", Json::object());
    for (const auto& [name, member] : properties.items()) {
      look_at_schema(member, place + "." + name, found);
    }
    if (const auto items = schema.find("items"); items != schema.end()) look_at_schema(*items, place + "[]", found);
    if (const auto more = schema.find("additionalProperties"); more != schema.end() && more->is_object()) {
      look_at_schema(*more, place + ".*", found);
    }
    for (const char* word : {"oneOf", "anyOf", "allOf"}) {
      for (const Json& choice : schema.value(word, Json::array())) look_at_schema(choice, place, found);
    }
  }

  const Json root_;
  std::mutex mutex_;
  size_t answers_ = 0;
  std::set<std::string> operations_;
};

Document& document() {
  static Document one;
  return one;
}

class CheckingResponder final : public net::Responder {
 public:
  CheckingResponder(net::Request request, std::shared_ptr<net::Responder> inner)
      : request_(std::move(request)), inner_(std::move(inner)) {}
  void answer(net::Response response) override {
    expect_described(request_, response);
    inner_->answer(std::move(response));
  }
  bool gone() const override { return inner_->gone(); }
  void start(net::Response head) override { inner_->start(std::move(head)); }
  void send(std::string piece) override { inner_->send(std::move(piece)); }
  void finish() override { inner_->finish(); }
  size_t backlog() const override { return inner_->backlog(); }

 private:
  const net::Request request_;
  const std::shared_ptr<net::Responder> inner_;
};

}  // namespace

std::vector<std::string> openapi_problems(std::string_view method, std::string_view target,
                                          const net::Response& answer) {
  return document().answer_problems(method, target, answer);
}

std::vector<std::string> schema_problems(const std::string& schema_name, const std::string& json) {
  return document().value_problems(schema_name, json);
}

std::vector<std::string> unchecked_parts() {
  return document().unchecked();
}

Described described_so_far() {
  return document().so_far();
}

std::vector<std::string> request_problems(const net::Request& request) {
  return document().request_problems(request);
}

void expect_described(const net::Request& request, const net::Response& answer) {
  for (const std::string& problem : openapi_problems(request.method, target_of(request), answer)) {
    ADD_FAILURE() << "api/openapi.yaml: " << problem;
  }
  if (answer.status >= 300) return;
  for (const std::string& problem : request_problems(request)) {
    ADD_FAILURE() << "api/openapi.yaml, a request that was taken: " << problem;
  }
}

net::Handler described(net::Handler inner) {
  return [inner = std::move(inner)](net::Request request, std::shared_ptr<net::Responder> responder) {
    auto checking = std::make_shared<CheckingResponder>(request, std::move(responder));
    inner(std::move(request), std::move(checking));
  };
}

}  // namespace fb::test
