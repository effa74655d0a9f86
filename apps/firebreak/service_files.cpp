#include "apps/firebreak/service_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "engine/net/tls_files.h"

namespace fb::cli {
namespace {

std::string own_hostname() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
}

}  // namespace

Status set_up_data_dir(const std::string& data_dir, const std::vector<std::string>& names) {
  std::error_code error;
  std::filesystem::create_directories(data_dir, error);
  if (error) return fail(ErrorCode::io, "can't make the data directory: " + error.message(), data_dir);
  if (chmod(data_dir.c_str(), 0700) != 0)
    return fail(ErrorCode::io, "can't set the data directory to mode 0700", data_dir);
  const ServiceFiles files(data_dir);
  if (!std::filesystem::exists(files.ca_certificate, error)) {
    FB_TRY_VOID(net::create_ca(files.ca_certificate, files.ca_key, "Firebreak CA"));
  }
  std::vector<std::string> all = {own_hostname(), "localhost", "127.0.0.1", "::1"};
  all.insert(all.end(), names.begin(), names.end());
  return net::create_server_certificate(files.ca_certificate, files.ca_key, files.certificate, files.key, all);
}

}  // namespace fb::cli
