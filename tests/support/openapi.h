// Holds the API against api/openapi.yaml. A test's fixture hands every request with its answer to expect_described()
// (or its whole handler to described()), and the test fails on an answer that the document does not describe (another
// status, another media type, a body of another shape) and on a request that was taken although the document would
// refuse its body. Thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/net/http.h"

namespace fb::test {

// What is wrong with the answer, one line each; empty when the document describes it.
std::vector<std::string> openapi_problems(std::string_view method, std::string_view target,
                                          const net::Response& answer);

// Why the document would not take the body of this request; empty when it would. Parameters are not looked at.
std::vector<std::string> request_problems(const net::Request& request);

// Whether a JSON text fits a schema of the document's components.
std::vector<std::string> schema_problems(const std::string& schema_name, const std::string& json);

// Every keyword and every reference of the document that the checks above would pass over.
std::vector<std::string> unchecked_parts();

// How many answers were looked at so far, and of how many operations.
struct Described {
  size_t answers = 0;
  size_t operations = 0;
};
Described described_so_far();

// A problem is a failure of the running test. The body of the request counts where the answer is 2xx.
void expect_described(const net::Request& request, const net::Response& answer);

// The handler, with every answer held against the document before it goes out.
net::Handler described(net::Handler inner);

}  // namespace fb::test
