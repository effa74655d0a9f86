// An agent that is enrolled, as the gateway enrols one: token, admission, certificate. For tests that need endpoints
// and not their enrolment. The same again is no error; already_exists when a person would have to decide.
#pragma once

#include <string>

#include "engine/ports/action_store.h"
#include "engine/ports/agent_store.h"

namespace fb::test {

template <class Store>
Status enrol(Store& store, const EndpointReport& agent, const std::string& certificate_sha256) {
  FB_TRY(const std::string known, store.use_certificate(certificate_sha256));
  if (known == agent.endpoint_id) return {};
  const std::string token = "token of " + certificate_sha256;
  const Status added = store.add_token(token, INT64_MAX);
  if (!added && added.error().code != ErrorCode::already_exists) return added;
  FB_TRY(const Admission admission, store.admit(agent, "key of " + certificate_sha256, token));
  if (admission != Admission::granted) return fail(ErrorCode::already_exists, "a person decides", agent.endpoint_id);
  std::vector<std::string> replaced;
  FB_TRY_VOID(store.keep_agent(agent, certificate_sha256, INT64_MAX, &replaced));
  // As its first request would: its key gets no other certificate.
  FB_TRY(const std::string endpoint, store.use_certificate(certificate_sha256));
  if (endpoint != agent.endpoint_id) return fail(ErrorCode::internal, "another's", endpoint);
  return {};
}

}  // namespace fb::test
