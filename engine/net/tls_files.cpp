#include "engine/net/tls_files.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>

#include "engine/base/digest.h"
#include "engine/net/client_name.h"

namespace fb::net {
namespace {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* p) const {
    Free(p);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Cert = std::unique_ptr<X509, Deleter<X509_free>>;
using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Names = std::unique_ptr<GENERAL_NAMES, Deleter<GENERAL_NAMES_free>>;

tl::unexpected<Error> openssl_failed(const std::string& doing, const std::string& file = {}) {
  const unsigned long code = ERR_peek_last_error();
  char text[256] = "no reason given";
  if (code != 0) ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return fail(ErrorCode::internal, doing + ": " + text, file);
}

tl::unexpected<Error> io_failed(const std::string& doing, const std::string& file) {
  const int error = errno;
  const ErrorCode code = error == EEXIST   ? ErrorCode::already_exists
                         : error == ENOENT ? ErrorCode::not_found
                         : error == ENOSPC ? ErrorCode::no_space
                                           : ErrorCode::io;
  return fail(code, doing + ": " + std::strerror(error), file);
}

// Written beside the target, synced, then moved over it (or linked, when nothing may be replaced).
Status write_file(const std::string& file, const std::string& text, bool replace) {
  const std::string temporary = file + ".new";
  ::unlink(temporary.c_str());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return io_failed("cannot create", temporary);
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      auto failed = io_failed("cannot write", temporary);
      ::close(fd);
      ::unlink(temporary.c_str());
      return failed;
    }
    done += static_cast<size_t>(n);
  }
  const bool synced = ::fsync(fd) == 0;
  ::close(fd);
  if (!synced) return io_failed("cannot sync", temporary);
  const int moved = replace ? ::rename(temporary.c_str(), file.c_str()) : ::link(temporary.c_str(), file.c_str());
  if (moved != 0) {
    auto failed = io_failed("cannot create", file);
    ::unlink(temporary.c_str());
    return failed;
  }
  if (!replace) ::unlink(temporary.c_str());
  const size_t slash = file.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : file.substr(0, slash + 1);
  const int dir = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir >= 0) {
    ::fsync(dir);
    ::close(dir);
  }
  return {};
}

Result<std::string> pem_of(const Key& key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return openssl_failed("cannot write a private key as PEM");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

Result<std::string> pem_of(const Cert& cert) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_X509(bio.get(), cert.get()) != 1)
    return openssl_failed("cannot write a certificate as PEM");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

Result<Cert> read_certificate(const std::string& file) {
  const Bio bio(BIO_new_file(file.c_str(), "r"));
  if (!bio) {
    ERR_clear_error();
    return io_failed("cannot read the certificate", file);
  }
  Cert cert(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!cert) return openssl_failed("not a PEM certificate", file);
  return cert;
}

Result<Key> read_key(const std::string& file) {
  const Bio bio(BIO_new_file(file.c_str(), "r"));
  if (!bio) {
    ERR_clear_error();
    return io_failed("cannot read the private key", file);
  }
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  if (!key) return openssl_failed("not a PEM private key", file);
  return key;
}

bool extend(X509* cert, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr) return false;
  const bool added = X509_add_ext(cert, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

// The parts that both kinds of certificate have. The start lies an hour back for clocks that are a little behind.
Result<Cert> start_certificate(EVP_PKEY* key, const std::string& common_name, int days) {
  Cert cert(X509_new());
  if (!cert || X509_set_version(cert.get(), X509_VERSION_3) != 1) return openssl_failed("cannot make a certificate");
  std::string serial = random_bytes(16);
  serial[0] = static_cast<char>((static_cast<uint8_t>(serial[0]) & 0x3f) | 0x40);  // positive, never short
  BIGNUM* number = BN_bin2bn(reinterpret_cast<const uint8_t*>(serial.data()), static_cast<int>(serial.size()), nullptr);
  const bool numbered = number != nullptr && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert.get())) != nullptr;
  BN_free(number);
  X509_NAME* name = X509_get_subject_name(cert.get());
  const bool named =
      X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, reinterpret_cast<const uint8_t*>(common_name.data()),
                                 static_cast<int>(common_name.size()), -1, 0) == 1;
  const bool dated = X509_gmtime_adj(X509_getm_notBefore(cert.get()), -3600) != nullptr &&
                     X509_time_adj_ex(X509_getm_notAfter(cert.get()), days, 0, nullptr) != nullptr;
  if (!numbered || !named || !dated || X509_set_pubkey(cert.get(), key) != 1) {
    return openssl_failed("cannot fill in a certificate");
  }
  return cert;
}

bool is_address(const std::string& name) {
  ASN1_OCTET_STRING* address = a2i_IPADDRESS(name.c_str());
  const bool yes = address != nullptr;
  ASN1_OCTET_STRING_free(address);
  ERR_clear_error();
  return yes;
}

// A name goes into an OpenSSL extension string, where a comma or a colon would mean something else.
bool is_dns_name(const std::string& name) {
  if (name.empty() || name.size() > 253) return false;
  for (char c : name) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                    c == '.' || c == '_' || c == '*';
    if (!ok) return false;
  }
  return true;
}

}  // namespace

Status create_ca(const std::string& certificate_file, const std::string& private_key_file,
                 const std::string& common_name, int days) {
  for (const std::string& file : {certificate_file, private_key_file}) {
    if (::access(file.c_str(), F_OK) == 0) return fail(ErrorCode::already_exists, "is there already", file);
  }
  const Key key(EVP_EC_gen("P-256"));
  if (!key) return openssl_failed("cannot make a key");
  FB_TRY(const Cert cert, start_certificate(key.get(), common_name, days));
  X509* c = cert.get();
  if (X509_set_issuer_name(c, X509_get_subject_name(c)) != 1 ||
      !extend(c, c, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !extend(c, c, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !extend(c, c, NID_subject_key_identifier, "hash") || X509_sign(c, key.get(), EVP_sha256()) == 0) {
    return openssl_failed("cannot sign the CA certificate");
  }
  FB_TRY(const std::string key_pem, pem_of(key));
  FB_TRY(const std::string cert_pem, pem_of(cert));
  FB_TRY_VOID(write_file(private_key_file, key_pem, false));
  return write_file(certificate_file, cert_pem, false);
}

Status create_server_certificate(const std::string& ca_certificate_file, const std::string& ca_private_key_file,
                                 const std::string& certificate_file, const std::string& private_key_file,
                                 const std::vector<std::string>& names, int days) {
  if (names.empty()) return fail(ErrorCode::invalid_argument, "a server certificate needs at least one name");
  std::string alternatives;
  for (const std::string& name : names) {
    const bool address = is_address(name);
    if (!address && !is_dns_name(name)) {
      return fail(ErrorCode::invalid_argument, "'" + name + "' is neither a DNS name nor an address");
    }
    if (!alternatives.empty()) alternatives += ',';
    alternatives += (address ? "IP:" : "DNS:") + name;
  }
  FB_TRY(const Cert ca, read_certificate(ca_certificate_file));
  FB_TRY(const Key ca_key, read_key(ca_private_key_file));
  if (X509_check_private_key(ca.get(), ca_key.get()) != 1) {
    ERR_clear_error();
    return fail(ErrorCode::invalid_argument, "is not the key of " + ca_certificate_file, ca_private_key_file);
  }
  const Key key(EVP_EC_gen("P-256"));
  if (!key) return openssl_failed("cannot make a key");
  const std::string common_name = names.front().substr(0, 64);  // X.509's own bound on a common name
  FB_TRY(const Cert cert, start_certificate(key.get(), common_name, days));
  X509* c = cert.get();
  if (X509_set_issuer_name(c, X509_get_subject_name(ca.get())) != 1 ||
      !extend(c, ca.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !extend(c, ca.get(), NID_key_usage, "critical,digitalSignature") ||
      !extend(c, ca.get(), NID_ext_key_usage, "serverAuth") ||
      !extend(c, ca.get(), NID_subject_key_identifier, "hash") ||
      !extend(c, ca.get(), NID_authority_key_identifier, "keyid") ||
      !extend(c, ca.get(), NID_subject_alt_name, alternatives) || X509_sign(c, ca_key.get(), EVP_sha256()) == 0) {
    return openssl_failed("cannot sign the server certificate");
  }
  FB_TRY(const std::string key_pem, pem_of(key));
  FB_TRY(const std::string cert_pem, pem_of(cert));
  FB_TRY(const std::string ca_pem, pem_of(ca));
  FB_TRY_VOID(write_file(private_key_file, key_pem, true));
  return write_file(certificate_file, cert_pem + ca_pem, true);
}

namespace {

using CertRequest = std::unique_ptr<X509_REQ, Deleter<X509_REQ_free>>;

Result<CertRequest> read_request(const std::string& pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  CertRequest request(bio ? PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr) : nullptr);
  ERR_clear_error();
  if (!request) return fail(ErrorCode::invalid_argument, "not a certificate request (PEM)");
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  char group[32] = "";
  size_t size = 0;
  const bool good = key != nullptr && EVP_PKEY_get_group_name(key, group, sizeof group, &size) == 1 &&
                    std::string_view(group) == "prime256v1" && X509_REQ_verify(request.get(), key) == 1;
  ERR_clear_error();
  if (!good) return fail(ErrorCode::invalid_argument, "the certificate request is not signed with its P-256 key");
  return request;
}

// Names come from agents' ids: printable ASCII.
bool name_client(X509* cert, const std::string& name) {
  const std::string uri = std::string(detail::kClientUri) + name;
  GENERAL_NAME* entry = GENERAL_NAME_new();
  ASN1_IA5STRING* text = ASN1_IA5STRING_new();
  GENERAL_NAMES* list = GENERAL_NAMES_new();
  const bool made = entry != nullptr && text != nullptr && list != nullptr &&
                    ASN1_STRING_set(text, uri.data(), static_cast<int>(uri.size())) == 1;
  if (!made) {
    GENERAL_NAME_free(entry);
    ASN1_IA5STRING_free(text);
    GENERAL_NAMES_free(list);
    return false;
  }
  GENERAL_NAME_set0_value(entry, GEN_URI, text);
  const Names owner(list);
  if (sk_GENERAL_NAME_push(list, entry) <= 0) {
    GENERAL_NAME_free(entry);
    return false;
  }
  return X509_add1_ext_i2d(cert, NID_subject_alt_name, list, 0, X509V3_ADD_DEFAULT) == 1;
}

}  // namespace

Result<std::string> make_certificate_request(const std::string& private_key_file) {
  Key key;
  if (::access(private_key_file.c_str(), F_OK) == 0) {
    FB_TRY(key, read_key(private_key_file));
  } else {
    key.reset(EVP_EC_gen("P-256"));
    if (!key) return openssl_failed("cannot make a key");
    FB_TRY(const std::string pem, pem_of(key));
    FB_TRY_VOID(write_file(private_key_file, pem, false));
  }
  const CertRequest request(X509_REQ_new());
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!request || !bio || X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) == 0 ||
      PEM_write_bio_X509_REQ(bio.get(), request.get()) != 1) {
    return openssl_failed("cannot make a certificate request", private_key_file);
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

Result<std::string> request_key_id(const std::string& request_pem) {
  FB_TRY(const CertRequest request, read_request(request_pem));
  uint8_t* der = nullptr;
  const int size = i2d_PUBKEY(X509_REQ_get0_pubkey(request.get()), &der);
  if (size <= 0) return openssl_failed("cannot write the public key");
  const std::string bytes(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return hex(sha256(bytes));
}

Result<ClientCertificatePem> sign_client_certificate(const std::string& ca_certificate_file,
                                                     const std::string& ca_private_key_file,
                                                     const std::string& request_pem, const std::string& name,
                                                     int64_t not_after_ms) {
  if (name.empty()) return fail(ErrorCode::invalid_argument, "a client certificate needs a name");
  FB_TRY(const CertRequest request, read_request(request_pem));
  FB_TRY(const Cert ca, read_certificate(ca_certificate_file));
  FB_TRY(const Key ca_key, read_key(ca_private_key_file));
  FB_TRY(const Cert cert, start_certificate(X509_REQ_get0_pubkey(request.get()), name.substr(0, 64), 1));
  X509* c = cert.get();
  if (ASN1_TIME_set(X509_getm_notAfter(c), static_cast<time_t>(not_after_ms / 1000)) == nullptr ||
      X509_set_issuer_name(c, X509_get_subject_name(ca.get())) != 1 ||
      !extend(c, ca.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !extend(c, ca.get(), NID_key_usage, "critical,digitalSignature") ||
      !extend(c, ca.get(), NID_ext_key_usage, "clientAuth") ||
      !extend(c, ca.get(), NID_authority_key_identifier, "keyid") || !name_client(c, name) ||
      X509_sign(c, ca_key.get(), EVP_sha256()) == 0) {
    return openssl_failed("cannot sign the client certificate");
  }
  Sha256 digest{};
  unsigned size = static_cast<unsigned>(digest.size());
  if (X509_digest(c, EVP_sha256(), digest.data(), &size) != 1) return openssl_failed("cannot hash the certificate");
  ClientCertificatePem out;
  FB_TRY(out.pem, pem_of(cert));
  out.sha256 = hex(digest);
  return out;
}

Status write_private_file(const std::string& file, const std::string& text) {
  return write_file(file, text, true);
}

Result<std::string> certificate_fingerprint(const std::string& certificate_file) {
  FB_TRY(const Cert cert, read_certificate(certificate_file));
  Sha256 digest{};
  unsigned size = static_cast<unsigned>(digest.size());
  if (X509_digest(cert.get(), EVP_sha256(), digest.data(), &size) != 1) {
    return openssl_failed("cannot hash the certificate", certificate_file);
  }
  return hex(digest);
}

Result<CertificateFacts> certificate_facts(const std::string& certificate_file) {
  FB_TRY(const Cert cert, read_certificate(certificate_file));
  CertificateFacts facts;
  tm begin{};
  tm end{};
  if (ASN1_TIME_to_tm(X509_get0_notBefore(cert.get()), &begin) != 1 ||
      ASN1_TIME_to_tm(X509_get0_notAfter(cert.get()), &end) != 1) {
    return openssl_failed("cannot read the certificate's life", certificate_file);
  }
  facts.not_before_ms = static_cast<int64_t>(timegm(&begin)) * 1000;
  facts.not_after_ms = static_cast<int64_t>(timegm(&end)) * 1000;
  const Names names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(cert.get(), NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    const ASN1_STRING* text = name->type == GEN_DNS     ? name->d.dNSName
                              : name->type == GEN_IPADD ? name->d.iPAddress
                                                        : nullptr;
    if (text == nullptr) continue;
    const std::string bytes(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                            static_cast<size_t>(ASN1_STRING_length(text)));
    char address[INET6_ADDRSTRLEN] = "";
    if (name->type == GEN_IPADD)
      inet_ntop(bytes.size() == 4 ? AF_INET : AF_INET6, bytes.data(), address, sizeof address);
    facts.names.push_back(name->type == GEN_DNS ? bytes : address);
  }
  return facts;
}

}  // namespace fb::net
