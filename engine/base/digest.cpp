#include "engine/base/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <cstdlib>
#include <memory>

namespace fb {
namespace {

// One digest context a thread: making one costs more than a short hash.
EVP_MD_CTX* thread_context() {
  struct Free {
    void operator()(EVP_MD_CTX* c) const { EVP_MD_CTX_free(c); }
  };
  thread_local const std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
  return context.get();
}

void must(bool ok) {
  if (!ok) std::abort();  // SHA-256 and the system's random generator do not fail on a sane machine
}

// Looked up once: EVP_sha256() makes OpenSSL look for the implementation at each use, under a lock.
const EVP_MD* sha256_method() {
  static const EVP_MD* const method = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  must(method != nullptr);
  return method;
}

}  // namespace

Sha256 sha256_parts(std::initializer_list<std::string_view> parts) {
  EVP_MD_CTX* c = thread_context();
  must(EVP_DigestInit_ex(c, sha256_method(), nullptr) == 1);
  for (std::string_view part : parts) {
    uint8_t length[8];
    const uint64_t n = part.size();
    for (int i = 0; i < 8; ++i) length[i] = static_cast<uint8_t>(n >> (56 - 8 * i));
    must(EVP_DigestUpdate(c, length, sizeof length) == 1);
    must(EVP_DigestUpdate(c, part.data(), part.size()) == 1);
  }
  Sha256 out{};
  must(EVP_DigestFinal_ex(c, out.data(), nullptr) == 1);
  return out;
}

Sha256 sha256(std::string_view bytes) {
  EVP_MD_CTX* c = thread_context();
  Sha256 out{};
  must(EVP_DigestInit_ex(c, sha256_method(), nullptr) == 1);
  must(EVP_DigestUpdate(c, bytes.data(), bytes.size()) == 1);
  must(EVP_DigestFinal_ex(c, out.data(), nullptr) == 1);
  return out;
}

std::string hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (char c : bytes) {
    const auto b = static_cast<uint8_t>(c);
    out += kDigits[b >> 4];
    out += kDigits[b & 15];
  }
  return out;
}

std::string hex(const Sha256& digest) {
  return hex(std::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

std::string base64(std::string_view bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int n = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<size_t>(n));
  return out;
}

std::optional<std::string> unbase64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  uint32_t bits = 0;
  int count = 0;
  size_t pad = 0;
  for (char c : text) {
    int v = -1;
    if (c >= 'A' && c <= 'Z') v = c - 'A';
    if (c >= 'a' && c <= 'z') v = c - 'a' + 26;
    if (c >= '0' && c <= '9') v = c - '0' + 52;
    if (c == '+') v = 62;
    if (c == '/') v = 63;
    if (c == '=') {
      ++pad;
      v = 0;
    } else if (pad > 0) {
      return std::nullopt;
    }
    if (v < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(v);
    if (++count == 4) {
      for (int shift = 16; shift >= 0; shift -= 8) out += static_cast<char>(bits >> shift & 0xff);
      count = 0;
      bits = 0;
    }
  }
  if (pad > 2) return std::nullopt;
  out.resize(out.size() - pad);
  return out;
}

std::string random_bytes(size_t count) {
  std::string out(count, '\0');
  must(RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(count)) == 1);
  return out;
}

bool equal_secret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace fb
