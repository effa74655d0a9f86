#include "apps/firebreak/front_door.h"

#include <arpa/inet.h>
#include <sys/stat.h>

#include <fstream>

#include "api/api.h"
#include "engine/base/text.h"
#include "engine/net/uri.h"

namespace fb::cli {
namespace {

bool is_loopback(const std::string& host) {
  in_addr four{};
  in6_addr six{};
  if (inet_pton(AF_INET, host.c_str(), &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
  return inet_pton(AF_INET6, host.c_str(), &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

bool speaks_tls(const Config& config) {
  return config.flag("http.tls.enabled") || !config.text("http.tls.certificate_file").empty();
}

net::ServerLimits limits_of(const Config& config) {
  const auto count = [&](const char* key) { return static_cast<uint32_t>(config.integer(key)); };
  const auto ms = [&](const char* key) { return static_cast<int>(*config.duration_ms(key)); };
  net::ServerLimits limits;
  limits.max_header_bytes = count("http.limits.max_header_bytes");
  limits.max_headers = count("http.limits.max_headers");
  limits.max_body_bytes = count("http.limits.max_body_bytes");
  limits.header_deadline_ms = ms("http.limits.header_deadline");
  limits.body_deadline_ms = ms("http.limits.body_deadline");
  limits.idle_deadline_ms = ms("http.limits.idle_deadline");
  limits.write_deadline_ms = ms("http.limits.write_deadline");
  limits.max_connections = count("http.limits.max_connections");
  limits.max_connections_per_address = count("http.limits.max_connections_per_address");
  return limits;
}

// One line of a file that nobody else may read.
Result<std::string> secret_in(const std::string& file) {
  struct stat info {};
  if (stat(file.c_str(), &info) != 0) return fail(ErrorCode::not_found, "can't read the secret", file);
  if ((info.st_mode & 0077) != 0)
    return fail(ErrorCode::refused, "others may read the secret; make it mode 0600", file);
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
  if (line.empty()) return fail(ErrorCode::corrupt, "the file of the secret is empty", file);
  return line;
}

}  // namespace

Status check_front_door(const Config& config) {
  FB_TRY_VOID(oidc_settings(config));
  if (config.text("http.tls.certificate_file").empty() != config.text("http.tls.private_key_file").empty()) {
    return fail(ErrorCode::invalid_argument, "certificate_file and private_key_file go together", "http.tls");
  }
  if (config.text("http.listen").empty()) return {};
  auto where = net::parse_listen_address(config.text("http.listen"));
  if (!where) {
    where.error().context = "http.listen";
    return tl::unexpected<Error>(std::move(where).error());
  }
  if (is_loopback(where->host) || speaks_tls(config)) return {};
  return fail(ErrorCode::refused,
              config.text("http.listen") +
                  " can be reached from other machines and keys would cross the network in the clear; set "
                  "http.tls.enabled: true, or listen on 127.0.0.1",
              "http.listen");
}

Result<api::OidcSettings> oidc_settings(const Config& config) {
  api::OidcSettings settings;
  settings.issuer = config.text("oidc.issuer");
  if (!settings.is_on()) return settings;
  settings.client_id = config.text("oidc.client_id");
  settings.redirect_url = config.text("oidc.redirect_url");
  if (!config.list("oidc.scopes").empty()) settings.scopes = config.list("oidc.scopes");
  settings.name_claim = config.text("oidc.name_claim");
  settings.roles_claim = config.text("oidc.roles_claim");
  for (const auto& [group, word] : config.map("oidc.roles")) {
    const auto role = role_from(word);
    if (!role) {
      return fail(ErrorCode::invalid_argument, "there is no role '" + printable(word) + "'",
                  "oidc.roles." + printable(group));
    }
    settings.roles[group] = *role;
  }
  settings.clock_skew_s = *config.duration_ms("oidc.clock_skew") / 1000;
  settings.ca_file = config.text("oidc.ca_file");
  if (const std::string& file = config.text("oidc.client_secret_file"); !file.empty()) {
    FB_TRY(settings.client_secret, secret_in(file));
  }
  FB_TRY_VOID(api::check_oidc(settings));
  return settings;
}

Result<net::ServerOptions> front_door(const Config& config, const ServiceFiles& files) {
  FB_TRY_VOID(check_front_door(config));
  net::ServerOptions options;
  options.listen = config.text("http.listen");
  options.limits = limits_of(config);
  options.body_limit = api::body_limits(options.limits.max_body_bytes,
                                        static_cast<size_t>(config.integer("http.limits.max_import_bytes")));
  options.threads = kDoorThreads;
  if (!speaks_tls(config)) return options;
  options.certificate_file = config.text("http.tls.certificate_file");
  options.private_key_file = config.text("http.tls.private_key_file");
  if (options.certificate_file.empty()) {
    options.certificate_file = files.certificate;
    options.private_key_file = files.key;
  }
  struct stat info {};
  if (stat(options.private_key_file.c_str(), &info) == 0 && (info.st_mode & 0077) != 0) {
    return fail(ErrorCode::refused, "others may read the private key of the API; make it mode 0600",
                options.private_key_file);
  }
  return options;
}

}  // namespace fb::cli
