// One netlink socket: dumps of links, rules and set elements, batches of changes, and notifications. Not thread-safe. A
// dump costs a few system calls; every wait is bounded. Fails as unavailable when the kernel or the rights lack it, as
// not_found when the thing asked for is not there.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "engine/base/result.h"

struct mnl_socket;

namespace fb::agent {

// interrupted: things changed while the kernel told of them. What was told is handed over all the same; something may
// be missing from it.
enum class Dump { whole, interrupted };

// Makes a dump again while it is interrupted, a few times.
Result<Dump> read_whole(const std::function<Result<Dump>()>& once);

struct BatchAnswer {
  bool acknowledged = false;
  int error = 0;          // errno of the first message that was refused; 0 = none
  uint32_t sequence = 0;  // of that message
};

class Netlink {
 public:
  // bus: NETLINK_ROUTE, NETLINK_NETFILTER. The socket belongs to the network namespace of the calling thread.
  static Result<Netlink> open(int bus);

  // Sends a dump request (its sequence number is set here) and hands over each message of the answer.
  Result<Dump> dump(nlmsghdr& request, const std::function<void(const nlmsghdr&)>& on_message);
  // The same for a request with one answer.
  Status ask(nlmsghdr& request, const std::function<void(const nlmsghdr&)>& on_message);
  // Sends a batch of nftables messages at once and reads what the kernel answered. acknowledged: that the message with
  // this sequence number succeeded, which asked for it.
  Result<BatchAnswer> send_batch(std::string_view batch, uint32_t acknowledged);

  // Joins multicast groups; read then gives what the kernel tells.
  Status join(std::span<const int> groups);
  int descriptor() const;
  // Reads one datagram without waiting. True: there was one. An overrun (the kernel had to throw notifications away)
  // gives true and sets `lost`.
  Result<bool> read(const std::function<void(const nlmsghdr&)>& on_message, bool& lost);

 private:
  struct Close {
    void operator()(mnl_socket* socket) const;
  };
  Result<Dump> exchange(nlmsghdr& request, const std::function<void(const nlmsghdr&)>& on_message);
  explicit Netlink(mnl_socket* socket) : socket_(socket) {}
  std::unique_ptr<mnl_socket, Close> socket_;
  uint32_t sequence_ = 0;
};

}  // namespace fb::agent
