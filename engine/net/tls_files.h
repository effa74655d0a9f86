// Makes and reads the certificate files of a service: its own certificate authority (P-256), server certificates and
// client certificates signed by it, fingerprints. Files are written with mode 0600, complete or not at all. Pure
// functions over files; call them from one thread per file. Errors name the file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/result.h"

namespace fb::net {

// A new certificate authority. Refuses to replace a file that is there (already_exists): everything trusts it.
Status create_ca(const std::string& certificate_file, const std::string& private_key_file,
                 const std::string& common_name, int days = 3650);

// A server certificate for these names (DNS names or numeric addresses; at least one), signed by the CA.
// certificate_file gets the whole chain: the certificate first, then the CA's, so that a client that knows only the
// CA's fingerprint can verify it. Replaces what is there.
Status create_server_certificate(const std::string& ca_certificate_file, const std::string& ca_private_key_file,
                                 const std::string& certificate_file, const std::string& private_key_file,
                                 const std::vector<std::string>& names, int days = 825);

// Lower-case hex SHA-256 of the first certificate in a PEM file.
Result<std::string> certificate_fingerprint(const std::string& certificate_file);

// A client's side of getting a certificate: a private key (P-256) in `private_key_file`, made when it is not there, and
// a request for it (PEM). The key never leaves the file.
Result<std::string> make_certificate_request(const std::string& private_key_file);
// Lower-case hex SHA-256 of the public key in a request: the same for every request of one key. Errors when the request
// is not signed with that key, or the key is not P-256.
Result<std::string> request_key_id(const std::string& request_pem);

struct ClientCertificatePem {
  std::string pem;
  std::string sha256;  // lower-case hex of the certificate: what a server's Request tells of it
};
// The CA's side: a certificate for that key and for nothing but proving, as a client, to be `name`. The CA chooses the
// name; what the request says of it does not count.
Result<ClientCertificatePem> sign_client_certificate(const std::string& ca_certificate_file,
                                                     const std::string& ca_private_key_file,
                                                     const std::string& request_pem, const std::string& name,
                                                     int64_t not_after_ms);

// Replaces a file durably: written beside it with mode 0600, synced, moved over it.
Status write_private_file(const std::string& file, const std::string& text);

// The names a certificate is for and when it ends (Unix ms), of the first certificate in a PEM file.
struct CertificateFacts {
  std::vector<std::string> names;
  int64_t not_before_ms = 0;
  int64_t not_after_ms = 0;
};
Result<CertificateFacts> certificate_facts(const std::string& certificate_file);

}  // namespace fb::net
