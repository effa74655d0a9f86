// The root helper's socket: who may connect, how much of it at once, and three questions (carry, status, break_glass).
// One thread a connection, few of them, each with deadlines. Whatever comes in on a connection harms that connection
// only. The enforcer outlives the server.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "apps/enforcer/enforcer.h"

namespace fb::agent {

struct HelperServerOptions {
  std::string socket;                    // made anew; mode 0660
  std::vector<uid_t> allowed_uids;       // besides root
  gid_t group = static_cast<gid_t>(-1);  // of the socket; -1 = leave it
  int max_connections = 8;
  int kept_for_root = 2;  // of them: a courier that hogs the socket can't keep a person with a code out
  int read_ms = 5'000;    // for one request, and how long a connection may be silent
  int send_ms = 5'000;
};

class HelperServer {
 public:
  // What to ask; may be called from several threads at once. Empty pointers of `enforcer()` are answered with
  // unavailable: the host is not enrolled yet.
  using EnforcerNow = std::function<std::shared_ptr<Enforcer>()>;

  // Makes the socket; who connects from now on waits until the server is started. The descriptor goes to start().
  static Result<int> listen(const HelperServerOptions& options);
  static Result<std::unique_ptr<HelperServer>> start(HelperServerOptions options, int listening, EnforcerNow enforcer);
  ~HelperServer();  // stops taking, ends what runs (an order that is being obeyed is finished first)
  HelperServer(const HelperServer&) = delete;
  HelperServer& operator=(const HelperServer&) = delete;

  struct Counts {
    uint64_t taken = 0;
    uint64_t refused = 0;  // not allowed, or too many
    uint64_t broken = 0;   // ended for what was sent, or for time
  };
  Counts counts() const;

 private:
  struct Connection {
    int fd = -1;
    bool root = false;
    std::atomic<bool> over{false};
    std::jthread thread;
  };
  HelperServer(HelperServerOptions options, EnforcerNow enforcer, int fd);
  void accept_loop(const std::stop_token& stop);
  bool may_connect(int fd, bool& root) const;
  void serve(int fd);
  bool answer(int fd, char ask, const std::string& body);
  void sweep();

  const HelperServerOptions options_;
  const EnforcerNow enforcer_;
  const int fd_;
  std::atomic<uint64_t> taken_{0}, refused_{0}, broken_{0};
  std::mutex mutex_;
  std::list<Connection> connections_;
  std::jthread acceptor_;
};

}  // namespace fb::agent
