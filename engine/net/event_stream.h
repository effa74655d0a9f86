// Server-sent events as a client reads them: the parser, and a request that goes on until either side ends it.
// Owned by the caller; one thread. No time limit holds: a stream has no end of its own.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "engine/base/result.h"
#include "engine/net/http.h"

namespace fb::net {

struct ServerEvent {
  std::string id;    // the last one told, as browsers keep it
  std::string name;  // "message" unless the server names it
  std::string data;  // lines joined by line feeds
};

// Takes the body in pieces, however they are cut. An event of more than max_event_bytes ends it.
class EventParser {
 public:
  explicit EventParser(size_t max_event_bytes = 4u << 20) : max_bytes_(max_event_bytes) {}
  // False: `take` said false, or an event is too large; no more should be fed.
  bool feed(std::string_view piece, const std::function<bool(const ServerEvent&)>& take);
  // Of the last event that came whole, with data or without: one that was cut off comes again.
  const std::string& last_id() const { return event_.id; }
  int retry_ms() const { return retry_ms_; }  // what the server asked for; 0: nothing
  bool too_large() const { return too_large_; }

 private:
  bool line(std::string_view line, const std::function<bool(const ServerEvent&)>& take);

  const size_t max_bytes_;
  std::string rest_;  // the beginning of a line
  ServerEvent event_;
  std::string id_;  // becomes the event's at its end
  bool has_data_ = false;
  bool after_return_ = false;  // the last byte was a carriage return
  bool too_large_ = false;
  int retry_ms_ = 0;
};

// One GET. Returns its status when the server ended the answer (the body of one that is not 200 in `problem`), or 0
// when a piece was not taken. A connection that breaks or stays silent for silence_ms is an error with Retry::yes. Of
// the options: unix_socket, ca_file, connect_timeout_ms.
struct StreamRequest {
  std::string url;
  std::map<std::string, std::string> headers;
  int silence_ms = 60'000;
};
Result<int> follow(const ClientOptions& options, const StreamRequest& request,
                   const std::function<bool(std::string_view piece)>& take, std::string* problem);

}  // namespace fb::net
