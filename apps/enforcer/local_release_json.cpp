#include "apps/enforcer/local_release_json.h"

#include "engine/base/json.h"

namespace fb::agent {
namespace {

constexpr const char* kKey = "local_release";

bool take(const nlohmann::json& json, const char* key, int64_t& to) {
  const auto at = json.find(key);
  if (at == json.end() || !at->is_number_integer() || *at < 0) return false;
  to = at->get<int64_t>();
  return true;
}

bool take(const nlohmann::json& json, const char* key, std::string& to) {
  const auto at = json.find(key);
  if (at == json.end() || !at->is_string()) return false;
  to = at->get<std::string>();
  return true;
}

}  // namespace

void put_local_release(nlohmann::ordered_json& json, const LocalRelease& release) {
  if (release.how.empty()) return;
  nlohmann::ordered_json fields;
  fields["generation"] = release.generation;
  fields["sequence"] = release.sequence;
  fields["how"] = release.how;
  fields["proof"] = release.proof;
  fields["at_ms"] = release.at_ms;
  json[kKey] = std::move(fields);
}

std::optional<LocalRelease> local_release_in(const nlohmann::json& json) {
  LocalRelease release;
  const auto at = json.find(kKey);
  if (at == json.end()) return release;
  const bool whole = at->is_object() && take(*at, "generation", release.generation) &&
                     take(*at, "sequence", release.sequence) && take(*at, "how", release.how) &&
                     take(*at, "proof", release.proof) && take(*at, "at_ms", release.at_ms);
  return whole ? std::optional(release) : std::nullopt;
}

}  // namespace fb::agent
