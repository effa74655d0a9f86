#include "engine/net/peer_certificate.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <memory>

#include "engine/base/digest.h"
#include "engine/net/client_name.h"

namespace fb::net::detail {
namespace {

// Everything that OpenSSL finds wrong stays wrong, but for the end of the client's own certificate: with an expired one
// an isolated host can still ask for its release and renew itself. What it may ask for is judged for each request.
int let_expired_pass(int good, X509_STORE_CTX* context) {
  if (good == 1) return 1;
  const bool expired = X509_STORE_CTX_get_error(context) == X509_V_ERR_CERT_HAS_EXPIRED;
  if (!expired || X509_STORE_CTX_get_error_depth(context) != 0) return 0;
  X509_STORE_CTX_set_error(context, X509_V_OK);
  return 1;
}

}  // namespace

Status ask_for_client_certificate(SSL_CTX* context, const std::string& ca_file) {
  STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(ca_file.c_str());
  if (names == nullptr || SSL_CTX_load_verify_locations(context, ca_file.c_str(), nullptr) != 1) {
    sk_X509_NAME_pop_free(names, X509_NAME_free);
    ERR_clear_error();
    return fail(ErrorCode::invalid_argument, "not a usable CA certificate", ca_file);
  }
  SSL_CTX_set_client_CA_list(context, names);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, let_expired_pass);
  // A resumed session would stand on a check of long ago.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(context, 0);
  return {};
}

ClientCertificate client_certificate(SSL* connection) {
  ClientCertificate out;
  const std::unique_ptr<X509, decltype(&X509_free)> cert(SSL_get1_peer_certificate(connection), X509_free);
  if (cert == nullptr || SSL_get_verify_result(connection) != X509_V_OK) return out;
  Sha256 digest{};
  unsigned size = static_cast<unsigned>(digest.size());
  tm end{};
  if (X509_digest(cert.get(), EVP_sha256(), digest.data(), &size) != 1 ||
      ASN1_TIME_to_tm(X509_get0_notAfter(cert.get()), &end) != 1) {
    ERR_clear_error();
    return out;
  }
  out.sha256 = hex(digest);
  out.name = client_name_of(cert.get());
  out.not_after_s = static_cast<int64_t>(timegm(&end));
  return out;
}

}  // namespace fb::net::detail
