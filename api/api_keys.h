// API keys: making one, and the file of the data directory (mode 0600) that `firebreak setup` writes before there is a
// record. At its start the service takes the file's keys into the record, as keys of administrators; a key that is
// revoked there stays so. Pure functions over the file.
#pragma once

#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/record/identities.h"
#include "engine/record/store.h"

namespace fb::api {

struct NewKey {
  KeyRow row;              // without a person
  std::string shown_once;  // what goes into `Authorization: ApiKey ...`: base64 of id:secret, the secret of 256 bits
};
NewKey new_key();

// Adds a key of this person to the file; returns what is shown once.
Result<std::string> create_key_in_file(const std::string& file, const std::string& person);

// No file: no keys. Errors name the file and the line. A key of before there were people belongs to one of its own.
Result<std::vector<KeyRow>> keys_in_file(const std::string& file);

// What the service does at its start.
Status take_over_keys(const std::string& file, Store& store);

}  // namespace fb::api
