#include "actions/endpoint/envelope.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "engine/base/digest.h"

namespace fb::endpoint {
namespace {

constexpr std::string_view kMagic = "fb-order-1\n";
constexpr std::string_view kTextMagic = "fbe1.";
constexpr size_t kSignatureBytes = 64;
constexpr size_t kNonceBytes = 16;
constexpr std::string_view kOrders[] = {"isolate", "release", "update_allow_set", "renew", "status"};

using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using ContextPtr = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

// --- canonical bytes

class Pen {
 public:
  void number(int64_t n) {
    for (int shift = 56; shift >= 0; shift -= 8) out_ += static_cast<char>(static_cast<uint64_t>(n) >> shift);
  }
  void text(std::string_view t) {
    number(static_cast<int64_t>(t.size()));
    out_ += t;
  }
  void flag(bool f) { out_ += f ? '\1' : '\0'; }
  void list(const std::vector<std::string>& texts) {
    number(static_cast<int64_t>(texts.size()));
    for (const std::string& t : texts) text(t);
  }
  void raw(std::string_view bytes) { out_ += bytes; }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

// Reads what a Pen wrote. After the first thing that does not fit every further read gives nothing, and done() is
// false.
class Lens {
 public:
  explicit Lens(std::string_view bytes) : rest_(bytes) {}

  int64_t number() {
    if (rest_.size() < 8) return fail_here();
    uint64_t n = 0;
    for (int i = 0; i < 8; ++i) n = n << 8 | static_cast<uint8_t>(rest_[static_cast<size_t>(i)]);
    rest_.remove_prefix(8);
    if (n > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return fail_here();
    return static_cast<int64_t>(n);
  }
  std::string text() {
    const int64_t size = number();
    if (!ok_ || static_cast<uint64_t>(size) > rest_.size()) {
      fail_here();
      return {};
    }
    std::string t(rest_.substr(0, static_cast<size_t>(size)));
    rest_.remove_prefix(static_cast<size_t>(size));
    return t;
  }
  bool flag() {
    if (rest_.empty() || static_cast<uint8_t>(rest_[0]) > 1) return fail_here() != 0;
    const bool f = rest_[0] == '\1';
    rest_.remove_prefix(1);
    return f;
  }
  std::vector<std::string> list() {
    const int64_t count = number();
    std::vector<std::string> texts;
    // Every entry has at least its length, so a false count can't ask for memory that the bytes don't pay for.
    if (!ok_ || static_cast<uint64_t>(count) > rest_.size() / 8) {
      fail_here();
      return texts;
    }
    for (int64_t i = 0; i < count && ok_; ++i) texts.push_back(text());
    return texts;
  }
  bool magic(std::string_view expected) {
    if (!rest_.starts_with(expected)) return false;
    rest_.remove_prefix(expected.size());
    return true;
  }
  bool done() const { return ok_ && rest_.empty(); }
  bool ok() const { return ok_; }

 private:
  int64_t fail_here() {
    ok_ = false;
    rest_ = {};
    return 0;
  }
  std::string_view rest_;
  bool ok_ = true;
};

void write_policy(Pen& pen, const CutPolicy& policy) {
  pen.list(policy.exceptions);
  pen.list(policy.services);
  pen.list(policy.dns);
  pen.flag(policy.dhcp);
  pen.flag(policy.rollback);
  pen.text(policy.message);
}

CutPolicy read_policy(Lens& lens) {
  CutPolicy policy;
  policy.exceptions = lens.list();
  policy.services = lens.list();
  policy.dns = lens.list();
  policy.dhcp = lens.flag();
  policy.rollback = lens.flag();
  policy.message = lens.text();
  return policy;
}

std::string_view view(const PublicKey& key) {
  return {reinterpret_cast<const char*>(key.data()), key.size()};
}

// --- keys

class FileSigner final : public Signer {
 public:
  FileSigner(KeyPtr key, const PublicKey& public_key)
      : key_(std::move(key)), public_key_(public_key), kid_(key_id(public_key)) {}

  const std::string& kid() const override { return kid_; }
  const PublicKey& public_key() const override { return public_key_; }

  std::string sign(const Envelope& envelope) const override {
    const std::string bytes = canonical_bytes(envelope);
    std::string signature(kSignatureBytes, '\0');
    size_t size = signature.size();
    const ContextPtr context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    const bool ok = context != nullptr &&
                    EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()) == 1 &&
                    EVP_DigestSign(context.get(), reinterpret_cast<uint8_t*>(signature.data()), &size,
                                   reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()) == 1 &&
                    size == kSignatureBytes;
    if (!ok) return {};  // an envelope that no host will take
    return std::string(kTextMagic) + kid_ + "." + base64(bytes) + "." + base64(signature);
  }

 private:
  KeyPtr key_;
  PublicKey public_key_;
  std::string kid_;
};

bool verifies(const PublicKey& key, std::string_view bytes, std::string_view signature) {
  const KeyPtr pkey(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.data(), key.size()), EVP_PKEY_free);
  const ContextPtr context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  return pkey != nullptr && context != nullptr &&
         EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, pkey.get()) == 1 &&
         EVP_DigestVerify(context.get(), reinterpret_cast<const uint8_t*>(signature.data()), signature.size(),
                          reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()) == 1;
}

std::string without_grouping(std::string_view code) {
  std::string out;
  for (char c : code) {
    if (c == '-' || c == ' ' || c == '\n' || c == '\r' || c == '\t') continue;
    out += c >= 'a' && c <= 'z' ? static_cast<char>(c - ('a' - 'A')) : c;
  }
  return out;
}

}  // namespace

std::string_view to_string(Order order) {
  return kOrders[static_cast<size_t>(order)];
}

std::string digest(const CutPolicy& policy) {
  Pen pen;
  write_policy(pen, policy);
  return hex(sha256(pen.take()));
}

std::string canonical_bytes(const Envelope& e) {
  Pen pen;
  pen.raw(kMagic);
  pen.text(to_string(e.order));
  pen.text(e.agent_id);
  pen.text(e.action_id);
  pen.number(e.generation);
  pen.number(e.epoch);
  pen.number(e.revision);
  pen.number(e.issued_at_ms);
  pen.number(e.expires_at_ms);
  pen.number(e.lease_ms);
  pen.text(e.nonce);
  pen.text(e.comment);
  pen.text(e.break_glass_sha256);
  write_policy(pen, e.policy);
  pen.number(static_cast<int64_t>(e.trust.size()));
  for (const auto& [kid, key] : e.trust) {
    pen.text(kid);
    pen.text(view(key));
  }
  return pen.take();
}

Result<Envelope> read_canonical(std::string_view bytes) {
  Lens lens(bytes);
  if (!lens.magic(kMagic)) return fail(ErrorCode::unsupported, "the order is of another version");
  Envelope e;
  const std::string order = lens.text();
  bool known = false;
  for (size_t i = 0; i < std::size(kOrders); ++i) {
    if (kOrders[i] != order) continue;
    e.order = static_cast<Order>(i);
    known = true;
  }
  e.agent_id = lens.text();
  e.action_id = lens.text();
  e.generation = lens.number();
  e.epoch = lens.number();
  e.revision = lens.number();
  e.issued_at_ms = lens.number();
  e.expires_at_ms = lens.number();
  e.lease_ms = lens.number();
  e.nonce = lens.text();
  e.comment = lens.text();
  e.break_glass_sha256 = lens.text();
  e.policy = read_policy(lens);
  const int64_t keys = lens.number();
  for (int64_t i = 0; i < keys && lens.ok(); ++i) {
    const std::string kid = lens.text();
    const std::string bytes_of_key = lens.text();
    PublicKey key{};
    if (!lens.ok() || bytes_of_key.size() != key.size()) return fail(ErrorCode::corrupt, "the order has a broken key");
    std::memcpy(key.data(), bytes_of_key.data(), key.size());
    if (kid != key_id(key) || !e.trust.emplace(kid, key).second) {
      return fail(ErrorCode::corrupt, "the order has a key under a wrong name");
    }
  }
  if (!lens.done()) return fail(ErrorCode::corrupt, "the order's bytes end in the wrong place");
  if (!known) return fail(ErrorCode::unsupported, "the order's verb is not known");
  if (e.agent_id.empty() || e.nonce.size() != kNonceBytes) return fail(ErrorCode::corrupt, "the order lacks a field");
  // One spelling for one meaning: keys out of order, for instance, would be read and not written again.
  if (canonical_bytes(e) != bytes) return fail(ErrorCode::corrupt, "the order is not in its canonical form");
  return e;
}

Status Signer::create(const std::string& private_key_file) {
  const KeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), EVP_PKEY_free);
  if (key == nullptr) return fail(ErrorCode::internal, "cannot make an Ed25519 key");
  const std::unique_ptr<BIO, decltype(&BIO_free)> pem(BIO_new(BIO_s_mem()), BIO_free);
  char* data = nullptr;
  if (pem == nullptr || PEM_write_bio_PrivateKey(pem.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return fail(ErrorCode::internal, "cannot write the signing key", private_key_file);
  }
  const long size = BIO_get_mem_data(pem.get(), &data);
  const int fd = ::open(private_key_file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    const ErrorCode code = errno == EEXIST ? ErrorCode::already_exists : ErrorCode::io;
    return fail(code, std::string("cannot make the signing key: ") + std::strerror(errno), private_key_file);
  }
  const bool written = ::write(fd, data, static_cast<size_t>(size)) == size && ::fsync(fd) == 0;
  ::close(fd);
  if (written) return {};
  ::unlink(private_key_file.c_str());
  return fail(ErrorCode::io, "cannot write the signing key", private_key_file);
}

Result<std::shared_ptr<const Signer>> Signer::load(const std::string& private_key_file) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> file(BIO_new_file(private_key_file.c_str(), "r"), BIO_free);
  if (file == nullptr) return fail(ErrorCode::not_found, "cannot open the signing key", private_key_file);
  KeyPtr key(PEM_read_bio_PrivateKey(file.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
  PublicKey public_key{};
  size_t size = public_key.size();
  if (key == nullptr || EVP_PKEY_get_id(key.get()) != EVP_PKEY_ED25519 ||
      EVP_PKEY_get_raw_public_key(key.get(), public_key.data(), &size) != 1 || size != public_key.size()) {
    return fail(ErrorCode::corrupt, "this file holds no Ed25519 private key", private_key_file);
  }
  return std::make_shared<const FileSigner>(std::move(key), public_key);
}

Result<Envelope> open_envelope(std::string_view text, const KeySet& trusted) {
  if (text.size() > kMaxEnvelopeText) return fail(ErrorCode::limit, "the envelope is too long");
  if (!text.starts_with(kTextMagic)) return fail(ErrorCode::unsupported, "the envelope is of another version");
  text.remove_prefix(kTextMagic.size());
  const size_t first = text.find('.');
  const size_t second = first == std::string_view::npos ? first : text.find('.', first + 1);
  if (second == std::string_view::npos) return fail(ErrorCode::corrupt, "the envelope has too few parts");
  const std::string_view payload = text.substr(first + 1, second - first - 1);
  const std::string_view signed_with = text.substr(second + 1);
  const auto bytes = unbase64(payload);
  const auto signature = unbase64(signed_with);
  // One spelling here too: the last base64 letter has bits that stand for nothing.
  if (!bytes || !signature || signature->size() != kSignatureBytes || base64(*bytes) != payload ||
      base64(*signature) != signed_with) {
    return fail(ErrorCode::corrupt, "the envelope's parts can't be read");
  }
  const auto key = trusted.find(std::string(text.substr(0, first)));
  if (key == trusted.end()) return fail(ErrorCode::refused, "the envelope is signed with a key that is not trusted");
  if (!verifies(key->second, *bytes, *signature)) {
    return fail(ErrorCode::refused, "the envelope's signature does not hold");
  }
  return read_canonical(*bytes);
}

std::string key_id(const PublicKey& key) {
  return hex(sha256(view(key))).substr(0, 16);
}

std::string break_glass_code(std::string_view secret, std::string_view agent_id, int64_t generation) {
  Pen pen;
  pen.text("fb-break-glass-1");
  pen.text(agent_id);
  pen.number(generation);
  const std::string message = pen.take();
  uint8_t mac[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), reinterpret_cast<const uint8_t*>(message.data()),
       message.size(), mac, &size);
  // Base32 without the letters that are taken for digits.
  constexpr std::string_view kLetters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  std::string code;
  uint32_t bits = 0;
  int held = 0;
  size_t at = 0;
  for (int i = 0; i < 26; ++i) {
    if (held < 5) {
      bits = (bits & 0x1f) << 8 | mac[at++];
      held += 8;
    }
    held -= 5;
    if (i > 0 && i % 5 == 0) code += '-';
    code += kLetters[(bits >> held) & 31u];
  }
  return code;
}

std::string break_glass_hash(std::string_view code, std::string_view agent_id, int64_t generation) {
  return hex(sha256_parts({"fb-break-glass-hash-1", without_grouping(code), agent_id, std::to_string(generation)}));
}

}  // namespace fb::endpoint
