// Walks over netlink attributes: libmnl's own macros for it are C only.
#pragma once

#include <libmnl/libmnl.h>

#include <cstddef>

namespace fb::agent {

template <class OnAttribute>
void each_attribute(const nlattr* first, const char* end, OnAttribute on_attribute) {
  for (const nlattr* at = first; mnl_attr_ok(at, static_cast<int>(end - reinterpret_cast<const char*>(at)));
       at = mnl_attr_next(at)) {
    on_attribute(*at);
  }
}

// header: what stands before the attributes, struct ifinfomsg for instance.
template <class OnAttribute>
void each_attribute_of(const nlmsghdr& message, size_t header, OnAttribute on_attribute) {
  each_attribute(static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(&message, header)),
                 static_cast<const char*>(mnl_nlmsg_get_payload_tail(&message)), on_attribute);
}

template <class OnAttribute>
void each_nested(const nlattr& nest, OnAttribute on_attribute) {
  const auto* first = static_cast<const nlattr*>(mnl_attr_get_payload(&nest));
  each_attribute(first, reinterpret_cast<const char*>(first) + mnl_attr_get_payload_len(&nest), on_attribute);
}

}  // namespace fb::agent
