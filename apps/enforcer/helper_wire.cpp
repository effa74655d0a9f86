#include "apps/enforcer/helper_wire.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "apps/enforcer/local_release_json.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"

namespace fb::agent {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;
constexpr size_t kHead = 4;

// Waits until the socket can be used; an error at the deadline.
Status wait_for(int fd, short what, SteadyTime end) {
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
    if (left <= 0) return fail(ErrorCode::timeout, "the other side takes too long", "", Retry::yes);
    pollfd ready{fd, what, 0};
    const int n = ::poll(&ready, 1, static_cast<int>(left));
    if (n > 0) return {};
    if (n < 0 && errno != EINTR) return fail(ErrorCode::io, std::string("poll: ") + std::strerror(errno));
  }
}

Status receive_all(int fd, char* to, size_t size, SteadyTime end) {
  size_t done = 0;
  while (done < size) {
    FB_TRY_VOID(wait_for(fd, POLLIN, end));
    const ssize_t n = ::recv(fd, to + done, size - done, MSG_DONTWAIT);
    if (n == 0) return fail(ErrorCode::unavailable, "the other side closed", "", Retry::yes);
    if (n < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return fail(ErrorCode::unavailable, std::string("receive: ") + std::strerror(errno), "", Retry::yes);
    }
    done += static_cast<size_t>(n);
  }
  return {};
}

// Fields of an answer, each with a default: the helper is trusted, its version may differ.
std::string text_of(const nlohmann::json& json, const char* key) {
  const auto at = json.find(key);
  return at != json.end() && at->is_string() ? at->get<std::string>() : std::string();
}
int64_t number_of(const nlohmann::json& json, const char* key) {
  const auto at = json.find(key);
  return at != json.end() && at->is_number_integer() ? at->get<int64_t>() : 0;
}

constexpr std::pair<Report::Kind, std::string_view> kKinds[] = {{Report::Kind::accepted, "accepted"},
                                                                {Report::Kind::done, "done"},
                                                                {Report::Kind::failed, "failed"},
                                                                {Report::Kind::state, "state"},
                                                                {Report::Kind::refused, "refused"}};

}  // namespace

size_t most_bytes_of(char ask) {
  switch (ask) {
    case kAskCarry:
      return kMaxRequest - 1;
    case kAskBreakGlass:
      return kMaxCode;
    default:
      return 0;
  }
}

Result<Message> receive_message(int fd, size_t max_bytes, int deadline_ms) {
  const SteadyTime end = std::chrono::steady_clock::now() + std::chrono::milliseconds(deadline_ms);
  char head[kHead + 1];
  FB_TRY_VOID(receive_all(fd, head, sizeof head, end));
  uint32_t size = 0;
  for (size_t i = 0; i < kHead; ++i) size = size << 8 | static_cast<uint8_t>(head[i]);
  if (size == 0 || size > max_bytes) return fail(ErrorCode::limit, "a message of " + std::to_string(size) + " bytes");
  Message message;
  message.kind = head[kHead];
  // Grows with what came, not with what was promised.
  constexpr size_t kStep = 16u << 10;
  while (message.body.size() < size - 1) {
    const size_t have = message.body.size();
    message.body.resize(have + std::min(kStep, size - 1 - have));
    FB_TRY_VOID(receive_all(fd, message.body.data() + have, message.body.size() - have, end));
  }
  return message;
}

Status send_message(int fd, char kind, const std::string& body, int deadline_ms) {
  const SteadyTime end = std::chrono::steady_clock::now() + std::chrono::milliseconds(deadline_ms);
  const auto size = static_cast<uint32_t>(body.size() + 1);
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(size >> shift & 0xff);
  bytes += kind;
  bytes += body;
  size_t done = 0;
  while (done < bytes.size()) {
    FB_TRY_VOID(wait_for(fd, POLLOUT, end));
    const ssize_t n = ::send(fd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return fail(ErrorCode::unavailable, std::string("send: ") + std::strerror(errno), "", Retry::yes);
    }
    done += static_cast<size_t>(n);
  }
  return {};
}

std::string write_report(const Report& report) {
  nlohmann::ordered_json json;
  for (const auto& [kind, word] : kKinds) {
    if (kind == report.kind) json["kind"] = word;
  }
  json["action_id"] = report.action_id;
  json["observed"] = to_string(report.observed);
  json["generation"] = report.generation;
  json["message"] = report.message;
  json["at_ms"] = report.at_ms;
  return dumped(json);
}

Result<Report> read_report(const std::string& text) {
  const auto json = parse_json(text);
  if (!json.is_object()) return fail(ErrorCode::corrupt, "the helper's report can't be read");
  Report report;
  const std::string word = text_of(json, "kind");
  const auto* at = std::find_if(std::begin(kKinds), std::end(kKinds), [&](const auto& k) { return k.second == word; });
  if (at == std::end(kKinds)) return fail(ErrorCode::corrupt, "the helper's report has no known kind");
  report.kind = at->first;
  report.action_id = text_of(json, "action_id");
  report.observed = from_string<Isolation>(text_of(json, "observed")).value_or(Isolation::unknown);
  report.generation = number_of(json, "generation");
  report.message = text_of(json, "message");
  report.at_ms = number_of(json, "at_ms");
  return report;
}

std::string write_status(const EnforcementStatus& s) {
  nlohmann::ordered_json json;
  json["backend"] = s.backend;
  json["simulated"] = s.simulated;
  json["observed"] = to_string(s.observed);
  json["generation"] = s.generation;
  json["epoch"] = s.epoch;
  json["revision"] = s.revision;
  json["action_id"] = s.action_id;
  json["rule_digest"] = s.rule_digest;
  json["policy_digest"] = s.policy_digest;
  json["drops"] = s.drops;
  json["drift_events"] = s.drift_events;
  json["lease_left_ms"] = s.lease_left_ms;
  json["problems"] = s.problems;
  put_local_release(json, s.local_release);
  return dumped(json);
}

Result<EnforcementStatus> read_status(const std::string& text) {
  const auto json = parse_json(text);
  if (!json.is_object()) return fail(ErrorCode::corrupt, "the helper's status can't be read");
  EnforcementStatus s;
  s.backend = text_of(json, "backend");
  s.simulated = json.contains("simulated") && json["simulated"] == true;
  s.observed = from_string<Isolation>(text_of(json, "observed")).value_or(Isolation::unknown);
  s.generation = number_of(json, "generation");
  s.epoch = number_of(json, "epoch");
  s.revision = number_of(json, "revision");
  s.action_id = text_of(json, "action_id");
  s.rule_digest = text_of(json, "rule_digest");
  s.policy_digest = text_of(json, "policy_digest");
  s.drops = number_of(json, "drops");
  s.drift_events = number_of(json, "drift_events");
  s.lease_left_ms = number_of(json, "lease_left_ms");
  if (json.contains("problems") && json["problems"].is_array()) {
    for (const auto& problem : json["problems"]) {
      if (problem.is_string()) s.problems.push_back(problem.get<std::string>());
    }
  }
  // One that can't be read is no reason to lose the rest.
  s.local_release = local_release_in(json).value_or(LocalRelease{});
  return s;
}

std::string write_error(const Error& error) {
  nlohmann::ordered_json json;
  json["code"] = static_cast<int>(error.code);
  json["retry"] = error.retry == Retry::yes;
  json["message"] = error.describe();
  return dumped(json);
}

Error read_error(const std::string& text) {
  const auto json = parse_json(text);
  if (!json.is_object()) return {ErrorCode::corrupt, Retry::no, "the helper's answer can't be read", ""};
  const int64_t code = number_of(json, "code");
  const bool known = code >= 0 && code <= static_cast<int>(ErrorCode::internal);
  const bool retry = json.contains("retry") && json["retry"] == true;
  return {known ? static_cast<ErrorCode>(code) : ErrorCode::internal, retry ? Retry::yes : Retry::no,
          text_of(json, "message"), ""};
}

}  // namespace fb::agent
