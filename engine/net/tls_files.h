// Makes and reads the certificate files of a service: its own certificate authority (P-256), server certificates signed
// by it, fingerprints. Files are written with mode 0600, complete or not at all. Pure functions over files; call them
// from one thread per file. Errors name the file.
#pragma once

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

// The names a certificate is for and when it ends (Unix ms), of the first certificate in a PEM file.
struct CertificateFacts {
  std::vector<std::string> names;
  int64_t not_after_ms = 0;
};
Result<CertificateFacts> certificate_facts(const std::string& certificate_file);

}  // namespace fb::net
