// A way to reach people. One file in sinks/ each: it makes itself from its own keys of the configuration, or says that
// it is not set up. Adding one is adding a file and its rows in the table of keys.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "actions/notify/notification.h"
#include "engine/base/clock.h"
#include "engine/base/result.h"
#include "engine/net/address_guard.h"

namespace fb::notify {

class Sink {
 public:
  virtual ~Sink() = default;
  // Delivered when it returns without an error. One thread at a time; bounded in time (30 s, plus the resolver's own).
  // Error.retry == no: the other side will not take this one. No error holds a secret, nor a URL's path.
  virtual Status send(const Notification& n) = 0;
  // From another thread: makes the running send() end soon and every later one at once.
  virtual void cancel() = 0;
};

// What a sink is made from. The keys are those below "notifications.", such as "webhook.url".
struct SinkContext {
  std::function<std::string(const std::string& key)> text;  // "" where it is not set
  std::function<std::vector<std::string>(const std::string& key)> list;
  net::AddressRules rules;
  net::Resolve resolve;
  std::string ca_file;  // for TLS; "" = the system's
  const Clock* clock = nullptr;
  std::string hostname;  // of this machine
};

// Null: not set up. The error names the key.
using MakeSink = Result<std::unique_ptr<Sink>> (*)(const SinkContext&);
struct SinkEntry {
  std::string_view name;
  MakeSink make = nullptr;
};
extern const std::vector<SinkEntry> kSinks;  // made by CMake from sinks/

// The content of a file that only its owner may read (mode 0600 or less), without the line break at its end.
Result<std::string> read_secret_file(const std::string& path);

// A sink and what it wants to hear of.
struct Subscription {
  std::string name;
  std::unique_ptr<Sink> sink;
  std::vector<std::string> kinds;  // empty = every kind
  Level least = Level::low;

  bool wants(const Notification& n) const;
};

// Every sink that is set up. The error names the key that is wrong.
Result<std::vector<Subscription>> make_subscriptions(const SinkContext& context);

}  // namespace fb::notify
