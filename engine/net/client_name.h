// How a client certificate tells its client: a URI "urn:firebreak:client:<name>" among the subject's other names. A
// common name would hold 64 characters only. Seen by the units that use OpenSSL.
#pragma once

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

namespace fb::net::detail {

inline constexpr std::string_view kClientUri = "urn:firebreak:client:";

// "" when the certificate has no such name.
inline std::string client_name_of(X509* cert) {
  const std::unique_ptr<GENERAL_NAMES, decltype(&GENERAL_NAMES_free)> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(cert, NID_subject_alt_name, nullptr, nullptr)), GENERAL_NAMES_free);
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_STRING* text = name->d.uniformResourceIdentifier;
    const std::string_view uri(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                               static_cast<size_t>(ASN1_STRING_length(text)));
    if (uri.starts_with(kClientUri)) return std::string(uri.substr(kClientUri.size()));
  }
  return {};
}

}  // namespace fb::net::detail
