#include "apps/enforcer/nftables/netlink.h"

#include <libmnl/libmnl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace fb::agent {
namespace {

constexpr size_t kBuffer = 256u << 10;   // the kernel fills large datagrams when the reader offers the room
constexpr int kReceiveBuffer = 8 << 20;  // a change of 10,000 set elements is told one by one
constexpr int kDumpAttempts = 3;
constexpr timeval kPatience = {2, 0};  // the kernel answers at once; more than this is a fault

tl::unexpected<Error> failed(const char* what, int error) {
  const ErrorCode code = error == ENOENT                     ? ErrorCode::not_found
                         : error == EAGAIN || error == EINTR ? ErrorCode::timeout
                                                             : ErrorCode::unavailable;
  return fail(code, std::string(what) + ": " + std::strerror(error));
}

// Beyond the system's limit when the rights allow it.
void set_buffer(int fd, int force, int plain, int bytes) {
  if (setsockopt(fd, SOL_SOCKET, force, &bytes, sizeof bytes) < 0) {
    setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof bytes);
  }
}

// Of an error message or of the end of a dump; 0 = none.
int error_in(const nlmsghdr& message) {
  int error = 0;
  if (mnl_nlmsg_get_payload_len(&message) < sizeof error) return 0;
  std::memcpy(&error, mnl_nlmsg_get_payload(&message), sizeof error);
  return error < 0 ? -error : 0;
}

}  // namespace

Result<Dump> read_whole(const std::function<Result<Dump>()>& once) {
  auto dump = once();
  for (int again = 1; again < kDumpAttempts && dump && *dump == Dump::interrupted; ++again) dump = once();
  return dump;
}

void Netlink::Close::operator()(mnl_socket* socket) const {
  mnl_socket_close(socket);
}

Result<Netlink> Netlink::open(int bus) {
  Netlink link(mnl_socket_open2(bus, SOCK_CLOEXEC));
  if (!link.socket_) return failed("netlink socket", errno);
  if (mnl_socket_bind(link.socket_.get(), 0, MNL_SOCKET_AUTOPID) < 0) return failed("netlink socket", errno);
  const int fd = link.descriptor();
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  return link;
}

int Netlink::descriptor() const {
  return mnl_socket_get_fd(socket_.get());
}

Result<Dump> Netlink::dump(nlmsghdr& request, const std::function<void(const nlmsghdr&)>& on_message) {
  request.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  return exchange(request, on_message);
}

// The acknowledgement ends the answer, as the end of a dump does.
Status Netlink::ask(nlmsghdr& request, const std::function<void(const nlmsghdr&)>& on_message) {
  request.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  FB_TRY_VOID(exchange(request, on_message));
  return {};
}

// An answer is read to its end also when it was interrupted: the socket is clean for the next request.
Result<Dump> Netlink::exchange(nlmsghdr& request, const std::function<void(const nlmsghdr&)>& on_message) {
  request.nlmsg_seq = ++sequence_;
  if (mnl_socket_sendto(socket_.get(), &request, request.nlmsg_len) < 0) return failed("netlink request", errno);
  std::vector<char> buffer(kBuffer);
  Dump dump = Dump::whole;
  while (true) {
    const ssize_t length = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
    if (length < 0) return failed("netlink answer", errno);
    auto left = static_cast<int>(length);
    for (auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left)) {
      if (message->nlmsg_seq != request.nlmsg_seq) continue;
      if ((message->nlmsg_flags & NLM_F_DUMP_INTR) != 0) dump = Dump::interrupted;
      if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE) {
        if (const int error = error_in(*message); error != 0) return failed("netlink answer", error);
        return dump;
      }
      if (message->nlmsg_type >= NLMSG_MIN_TYPE) on_message(*message);
    }
  }
}

Result<BatchAnswer> Netlink::send_batch(std::string_view batch, uint32_t acknowledged) {
  const int fd = descriptor();
  // The whole batch must fit, and no answer may be lost: each refused message gets one.
  set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, static_cast<int>(batch.size()) + (64 << 10));
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, kReceiveBuffer);
  const int yes = 1;
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &yes, sizeof yes);  // answers without the message that they are about
  if (mnl_socket_sendto(socket_.get(), batch.data(), batch.size()) < 0) return failed("netlink batch", errno);
  BatchAnswer answer;
  std::vector<char> buffer(kBuffer);
  // The kernel has worked the batch off before the call above returned, so there is nothing to wait for.
  while (true) {
    const ssize_t length = recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (length < 0) {
      if (errno == EAGAIN) return answer;
      if (errno == EINTR || errno == ENOBUFS) continue;  // lost answers: then the acknowledgement is missing
      return failed("netlink answer to a batch", errno);
    }
    auto left = static_cast<int>(length);
    for (auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left)) {
      if (message->nlmsg_type != NLMSG_ERROR) continue;
      const int error = error_in(*message);
      if (error == 0) answer.acknowledged = answer.acknowledged || message->nlmsg_seq == acknowledged;
      if (error == 0 || answer.error != 0) continue;
      answer.error = error;
      answer.sequence = message->nlmsg_seq;
    }
  }
}

Status Netlink::join(std::span<const int> groups) {
  const int fd = descriptor();
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, kReceiveBuffer);  // an overrun is seen and survived anyway
  for (const int group : groups) {
    if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0) {
      return failed("netlink group", errno);
    }
  }
  return {};
}

Result<bool> Netlink::read(const std::function<void(const nlmsghdr&)>& on_message, bool& lost) {
  std::vector<char> buffer(kBuffer);
  const ssize_t length = recv(descriptor(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (length < 0) {
    if (errno == EAGAIN || errno == EINTR) return false;
    if (errno != ENOBUFS) return failed("netlink notification", errno);
    lost = true;
    return true;
  }
  auto left = static_cast<int>(length);
  for (auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(message, left);
       message = mnl_nlmsg_next(message, &left)) {
    on_message(*message);
  }
  return true;
}

}  // namespace fb::agent
