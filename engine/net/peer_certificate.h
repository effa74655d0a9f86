// The certificate that a TLS client shows: asked for in the handshake, read after it. Only the HTTP server sees this
// file. Pure but for the CA file.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <string>

#include "engine/base/result.h"

namespace fb::net::detail {

struct ClientCertificate {
  std::string sha256;  // lower-case hex; "" = the client showed none
  std::string name;
  int64_t not_after_s = 0;  // Unix seconds
};

// From now on the server asks each client for a certificate of this CA. Showing none is no error; one that the CA did
// not sign, or not for clients, ends the handshake. One that is past its end passes.
Status ask_for_client_certificate(SSL_CTX* context, const std::string& ca_file);
ClientCertificate client_certificate(SSL* connection);

}  // namespace fb::net::detail
