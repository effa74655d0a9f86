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
constexpr timeval kPatience = {2, 0};    // the kernel answers at once; more than this is a fault

tl::unexpected<Error> failed(const char* what, int error) {
  const ErrorCode code = error == ENOENT                     ? ErrorCode::not_found
                         : error == EAGAIN || error == EINTR ? ErrorCode::timeout
                                                             : ErrorCode::unavailable;
  return fail(code, std::string(what) + ": " + std::strerror(error));
}

int give(const nlmsghdr* message, void* data) {
  (*static_cast<const std::function<void(const nlmsghdr&)>*>(data))(*message);
  return MNL_CB_OK;
}

}  // namespace

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

Status Netlink::dump(nlmsghdr& request, const std::function<void(const nlmsghdr&)>& on_message) {
  request.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  return exchange(request, on_message);
}

// The acknowledgement ends the answer, as the end of a dump does.
Status Netlink::ask(nlmsghdr& request, const std::function<void(const nlmsghdr&)>& on_message) {
  request.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  return exchange(request, on_message);
}

Status Netlink::exchange(nlmsghdr& request, const std::function<void(const nlmsghdr&)>& on_message) {
  request.nlmsg_seq = ++sequence_;
  if (mnl_socket_sendto(socket_.get(), &request, request.nlmsg_len) < 0) return failed("netlink request", errno);
  std::vector<char> buffer(kBuffer);
  while (true) {
    const ssize_t length = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
    if (length < 0) return failed("netlink answer", errno);
    auto sink = on_message;
    const int left = mnl_cb_run(buffer.data(), static_cast<size_t>(length), request.nlmsg_seq,
                                mnl_socket_get_portid(socket_.get()), give, &sink);
    if (left < 0) return failed("netlink answer", errno);
    if (left == MNL_CB_STOP) return {};
  }
}

Status Netlink::join(std::span<const int> groups) {
  const int fd = descriptor();
  // Beyond the system's limit when the rights allow it; an overrun is seen and survived anyway.
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer) < 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);
  }
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
