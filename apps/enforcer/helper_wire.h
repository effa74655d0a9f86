// What is said over the root helper's socket. A message is a length (4 bytes, big-endian), one byte that says what it
// is, and that many bytes less one. Requests carry raw bytes only, so that the helper parses nothing that a caller
// wrote but the signed envelope; answers are JSON, read by the unprivileged side. Thread-safe; every call has an end in
// time.
#pragma once

#include <cstdint>
#include <string>

#include "apps/enforcer/enforcement.h"

namespace fb::agent {

// Requests.
inline constexpr char kAskCarry = 'C';       // an envelope
inline constexpr char kAskStatus = 'S';      // nothing
inline constexpr char kAskBreakGlass = 'B';  // a code
// Answers.
inline constexpr char kSayBegun = 'b';   // nothing: the order stands in the journal; a report follows
inline constexpr char kSayReport = 'r';  // JSON
inline constexpr char kSayStatus = 's';  // JSON
inline constexpr char kSayDone = 'd';    // nothing
inline constexpr char kSayError = 'e';   // JSON

inline constexpr size_t kMaxRequest = (1u << 20) + 64;
inline constexpr size_t kMaxCode = 256;
inline constexpr size_t kMaxAnswer = 1u << 20;

// How many bytes the request may have behind its first one; 0 for a kind that is not known (status has none either).
size_t most_bytes_of(char ask);

struct Message {
  char kind = 0;
  std::string body;
};
// deadline_ms: real time for the whole message. unavailable: the other side closed; timeout; limit: longer than
// max_bytes (nothing of it was read).
Result<Message> receive_message(int fd, size_t max_bytes, int deadline_ms);
Status send_message(int fd, char kind, const std::string& body, int deadline_ms);

std::string write_report(const Report& report);
Result<Report> read_report(const std::string& json);
std::string write_status(const EnforcementStatus& status);
Result<EnforcementStatus> read_status(const std::string& json);
std::string write_error(const Error& error);
Error read_error(const std::string& json);

}  // namespace fb::agent
