// Where the service keeps things in its data directory; one place for the names.
#pragma once

#include <string>
#include <vector>

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
        database(data_dir + "/firebreak.db") {}

  std::string ca_certificate;
  std::string ca_key;
  std::string certificate;  // the gateway's, signed by the CA
  std::string key;
  std::string api_keys;
  std::string socket;
  std::string database;
};

// Makes (or completes) a data directory: mode 0700, CA, gateway certificate for these names besides the host's own.
Status set_up_data_dir(const std::string& data_dir, const std::vector<std::string>& names);

}  // namespace fb::cli
