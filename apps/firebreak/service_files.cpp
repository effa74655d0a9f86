#include "apps/firebreak/service_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "engine/base/digest.h"
#include "engine/net/tls_files.h"

namespace fb::cli {
namespace {

std::string own_hostname() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
}

constexpr const char* kFirstKey = "signing.key";
constexpr const char* kKeyPrefix = "signing-";
constexpr size_t kSecretBytes = 32;

// By when they were made, the first being 0.
Result<std::map<int64_t, std::string>> signing_key_files(const ServiceFiles& files) {
  std::map<int64_t, std::string> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(files.folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name == kFirstKey) found.emplace(0, entry.path().string());
    if (!name.starts_with(kKeyPrefix) || !name.ends_with(".key")) continue;
    int64_t made = 0;
    const char* begin = name.data() + std::string_view(kKeyPrefix).size();
    const auto [end, wrong] = std::from_chars(begin, name.data() + name.size() - 4, made);
    if (wrong == std::errc() && std::string_view(end) == ".key") found.emplace(made, entry.path().string());
  }
  if (error) return fail(ErrorCode::io, "can't look for signing keys: " + error.message(), files.folder);
  return found;
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
  FB_TRY_VOID(make_missing_secrets(files));
  return net::create_server_certificate(files.ca_certificate, files.ca_key, files.certificate, files.key, all);
}

Status make_missing_secrets(const ServiceFiles& files) {
  std::error_code error;
  FB_TRY(const auto keys, signing_key_files(files));
  if (keys.empty()) FB_TRY_VOID(endpoint::Signer::create(files.folder + "/" + kFirstKey));
  if (std::filesystem::exists(files.break_glass_secret, error)) return {};
  return net::write_private_file(files.break_glass_secret, random_bytes(kSecretBytes));
}

Result<endpoint::Signers> load_signers(const ServiceFiles& files) {
  FB_TRY(const auto keys, signing_key_files(files));
  endpoint::Signers signers;
  for (auto at = keys.rbegin(); at != keys.rend(); ++at) {
    FB_TRY(auto signer, endpoint::Signer::load(at->second));
    signers.push_back(std::move(signer));
  }
  if (signers.empty()) return fail(ErrorCode::not_found, "there is no signing*.key", files.folder);
  if (signers.size() > endpoint::kMaxSigningKeys) {
    return fail(ErrorCode::limit,
                "there are more than " + std::to_string(endpoint::kMaxSigningKeys) +
                    " signing*.key, which no host would trust; remove the oldest",
                files.folder);
  }
  return signers;
}

Status add_signing_key(const ServiceFiles& files, int64_t now_ms) {
  FB_TRY(const auto keys, signing_key_files(files));
  if (keys.size() >= endpoint::kMaxSigningKeys) {
    return fail(
        ErrorCode::conflict,
        "there are " + std::to_string(keys.size()) + " signing keys, and a host trusts no more; remove the oldest",
        files.folder);
  }
  return endpoint::Signer::create(files.folder + "/" + kKeyPrefix + std::to_string(now_ms) + ".key");
}

Result<std::string> load_break_glass_secret(const ServiceFiles& files) {
  std::ifstream in(files.break_glass_secret, std::ios::binary);
  std::string secret((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (!in.is_open() || secret.size() != kSecretBytes) {
    return fail(ErrorCode::corrupt, "the break-glass secret is not 32 bytes", files.break_glass_secret);
  }
  return secret;
}

}  // namespace fb::cli
