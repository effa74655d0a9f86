#include "read_all_strings.h"

#include <simdjson.h>

namespace fb::bench {

namespace {

namespace ondemand = simdjson::ondemand;

// Depth is bounded by simdjson's own limit.
size_t strings_of(ondemand::value value);

size_t strings_of(ondemand::object object) {
  size_t out = 0;
  for (auto field : object) out += strings_of(field.value().value());
  return out;
}

size_t strings_of(ondemand::value value) {
  switch (value.type().value()) {
    case ondemand::json_type::object:
      return strings_of(value.get_object().value());
    case ondemand::json_type::array: {
      size_t out = 0;
      for (auto item : value.get_array().value()) out += strings_of(item.value());
      return out;
    }
    case ondemand::json_type::string:
      return std::string_view(value.get_string().value()).size();
    default:
      return 0;
  }
}

}  // namespace

struct StringReader::Impl {
  ondemand::parser parser;
};

StringReader::StringReader() : impl_(std::make_unique<Impl>()) {}
StringReader::~StringReader() = default;

size_t StringReader::read(std::string_view json) {
  try {
    auto document = impl_->parser.iterate(json.data(), json.size(), json.size() + simdjson::SIMDJSON_PADDING).value();
    return strings_of(document.get_object().value());
  } catch (const simdjson::simdjson_error&) {
    return 0;
  }
}

}  // namespace fb::bench
