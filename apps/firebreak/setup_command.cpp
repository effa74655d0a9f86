// firebreak setup, config check, config schema.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "api/api_keys.h"
#include "apps/firebreak/load_config.h"
#include "apps/firebreak/notifications.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/service_files.h"
#include "apps/firebreak/terminal.h"
#include "engine/base/clock.h"
#include "engine/net/tls_files.h"
#include "engine/respond/guard_settings.h"

namespace fb::cli {
namespace {

// Set up by root in a folder of the service's user: the files are that user's too, or the service could not read them.
Status hand_over(const ServiceFiles& files) {
  struct stat folder {};
  if (::geteuid() != 0 || ::stat(files.folder.c_str(), &folder) != 0 || folder.st_uid == 0) return {};
  for (const std::string& path : {files.ca_certificate, files.ca_key, files.certificate, files.key, files.api_keys,
                                  files.break_glass_secret, files.folder + "/signing.key"}) {
    const int file = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0 && errno == ENOENT) continue;
    struct stat facts {};
    // A second name could be another's file.
    const bool given = file >= 0 && ::fstat(file, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_nlink == 1 &&
                       ::fchown(file, folder.st_uid, folder.st_gid) == 0;
    if (file >= 0) ::close(file);
    if (!given) return fail(ErrorCode::io, "cannot be given to the owner of its folder", path);
  }
  return {};
}

}  // namespace

int run_setup(const std::string& config_file) {
  auto config = load_config(config_file);
  if (!config) return config.error();
  const std::string& data_dir = config->text("data_dir");
  const ServiceFiles files(data_dir);
  std::error_code error;
  const bool first = !std::filesystem::exists(files.ca_certificate, error);
  if (const Status done = set_up_data_dir(data_dir, config->list("agents.names")); !done)
    return complain(done.error(), kCantRun);
  std::printf("%s %s\n", first ? "made" : "kept", files.ca_certificate.c_str());
  std::printf("made %s for the agent gateway\n", files.certificate.c_str());
  const auto fingerprint = net::certificate_fingerprint(files.ca_certificate);
  if (!fingerprint) return complain(fingerprint.error(), kCantRun);
  std::printf("%s the signing key and the break-glass secret\n", first ? "made" : "kept");
  std::printf("CA fingerprint (SHA-256): %s\n", fingerprint->c_str());
  if (!std::filesystem::exists(files.api_keys, error)) {
    const auto key = api::create_key_in_file(files.api_keys, "admin");
    if (!key) return complain(key.error(), kCantRun);
    std::printf("API key of the administrator, shown this once:\n  %s\n", key->c_str());
  } else {
    std::printf("kept %s; no new API key was made\n", files.api_keys.c_str());
  }
  if (const Status done = hand_over(files); !done) return complain(done.error(), kCantRun);
  std::printf("next: firebreak run -c %s\n", config_file.c_str());
  return kDone;
}

int run_config_check(const std::string& config_file) {
  if (!can_read_config(config_file)) return kCantRun;
  auto config = load_config(config_file);
  if (!config) return config.error() == kCantRun ? kFound : config.error();
  if (const Status sinks = check_notifications(*config, system_clock()); !sinks) {
    return complain(config_file + ": " + sinks.error().describe(), kFound);
  }
  std::printf("%s is good\n", config_file.c_str());
  return kDone;
}

int run_config_schema() {
  std::fputs(config_schema().c_str(), stdout);
  return kDone;
}

}  // namespace fb::cli
