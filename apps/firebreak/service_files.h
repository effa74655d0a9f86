// Where the service keeps things in its data directory; one place for the names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "actions/endpoint/order_desk.h"
#include "engine/base/result.h"

namespace fb::cli {

struct ServiceFiles {
  explicit ServiceFiles(const std::string& data_dir)
      : ca_certificate(data_dir + "/ca.pem"),
        ca_key(data_dir + "/ca.key"),
        certificate(data_dir + "/service.pem"),
        key(data_dir + "/service.key"),
        api_keys(data_dir + "/api_keys"),
        socket(data_dir + "/firebreak.sock"),
        database(data_dir + "/firebreak.db"),
        break_glass_secret(data_dir + "/break_glass.secret"),
        folder(data_dir) {}

  std::string ca_certificate;
  std::string ca_key;
  std::string certificate;  // the gateway's, signed by the CA
  std::string key;
  std::string api_keys;
  std::string socket;
  std::string database;
  std::string break_glass_secret;  // 32 random bytes
  std::string folder;              // signing.key, and a signing-<ms>.key for each rotation
};

// The keys that sign orders, newest first: every signing*.key of the data directory.
Result<endpoint::Signers> load_signers(const ServiceFiles& files);
// One more, which signs from now on.
Status add_signing_key(const ServiceFiles& files, int64_t now_ms);
Result<std::string> load_break_glass_secret(const ServiceFiles& files);
// Makes the signing key and the break-glass secret where they are missing: of a data directory of before they were.
Status make_missing_secrets(const ServiceFiles& files);

// Makes (or completes) a data directory: mode 0700, CA, gateway certificate for these names besides the host's own, and
// the secrets above.
Status set_up_data_dir(const std::string& data_dir, const std::vector<std::string>& names);

}  // namespace fb::cli
