// Where people and programs reach the API over TCP: address, certificate, limits, as the config says. Pure but for
// looking at the files it names.
#pragma once

#include "api/oidc/provider.h"
#include "apps/firebreak/service_files.h"
#include "engine/base/result.h"
#include "engine/config/config.h"
#include "engine/net/http.h"

namespace fb::cli {

// Threads that serve the API, each over TCP and over the local socket: a request that takes long leaves some for a
// release or the kill switch.
inline constexpr int kDoorThreads = 4;

// What the config says of http.* can't be: keys would go over a network in the clear, or half of a certificate is
// given.
Status check_front_door(const Config& config);

// How people log in through an OpenID provider; is_on() is false where the config names none. The error names the key.
Result<api::OidcSettings> oidc_settings(const Config& config);

// For the API's TCP side; http.listen is not empty. The error names the config key.
Result<net::ServerOptions> front_door(const Config& config, const ServiceFiles& files);

}  // namespace fb::cli
