// Searching the record's alerts: documents with their workflow merged in, hits in Elasticsearch's shape. Thread-safe;
// what a search costs is bounded by its time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "api/signals/dsl.h"
#include "engine/base/clock.h"
#include "engine/base/result.h"

namespace fb::api {

inline constexpr const char* kAlertIndex = ".alerts-security.alerts-default";

// One alert; not_found.
Result<AlertView> one_alert(Store& store, const std::string& id);

// The alert's document as it is now: status, tags, assignees of its workflow.
std::string merged_document(const AlertView& alert);

// Every alert that the query finds, newest first; `take` ends it with false. False: the time was up before the end.
Result<bool> each_match(Store& store, const Clock& clock, const AlertQuery& query,
                        const std::function<bool(const AlertView& alert, const std::string& document)>& take);

// Of one answer's hits, and of what is kept to sort by.
inline constexpr size_t kMostPageBytes = 64u << 20;

// The body of signals/search -> its answer. invalid_argument names the place in the body. Hits beyond `page_bytes` are
// left out and timed_out is true.
Result<std::string> search_alerts(Store& store, const Clock& clock, std::string_view body,
                                  size_t page_bytes = kMostPageBytes);

}  // namespace fb::api
