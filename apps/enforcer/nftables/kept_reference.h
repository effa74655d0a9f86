// The learned reference in a file, so that a start needs no nft and nobody who changes rules all the time can hold it
// up. The file holds only for the same kernel, the same version of Firebreak and the same rule texts, and only when
// nobody but this user can have written it; the kernel judges what it says before it is used. Reading it takes a
// millisecond.
#pragma once

#include <string>

#include "apps/enforcer/nftables/reference.h"

namespace fb::agent {

// Mode 0600, durable. Only one with egress may be kept: what this kernel lacks is asked anew at each start.
Status keep_reference(const std::string& path, const Reference& reference);
// not_found: there is none. refused: its owner or mode is wrong. corrupt: of another kernel or version, or not whole.
// Else what the kernel said to it.
Result<Reference> read_kept_reference(const std::string& path);

// The file's text and back; key: all that it holds for. corrupt: another key, or a byte differs.
std::string encode_reference(const Reference& reference, const std::string& key);
Result<Reference> decode_reference(const std::string& text, const std::string& key);

}  // namespace fb::agent
