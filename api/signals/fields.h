// Fields of an alert's document, whatever mixture of dots and nesting spells them. Pure, thread-safe.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace fb::api {

// What an alert's document calls the field that a client names: `_id`, and the names that alerts had in Elastic's first
// versions (signal.rule.name). Every name that comes in goes through here. A pattern whose beginning says which fields
// it is about is led to them as well.
std::string alert_field(std::string_view name);

// The values at a dotted path. Lists are taken apart; null and objects are no values.
std::vector<nlohmann::ordered_json> values_of(const nlohmann::ordered_json& doc, std::string_view field);

// The names of all leaves that fit: a name, an object's (`process`), or a pattern with *. In the document's order; a
// pattern of old names (signal.*) finds old names.
std::vector<std::string> fields_like(const nlohmann::ordered_json& doc, std::string_view pattern);

// Does the pattern say this name? A pattern without * says everything below it, too.
bool name_fits(std::string_view pattern, std::string_view name);

}  // namespace fb::api
