// Exception items as several routes serve them: those of any list, and those of the endpoint list. The body or the
// query of the call says which list and which namespace. Thread-safe.
#pragma once

#include "api/router.h"

namespace fb::api {

net::Response create_exception_item(const Call& call);
net::Response read_exception_item(const Call& call);
net::Response change_exception_item(const Call& call);
net::Response remove_exception_item(const Call& call);
net::Response find_exception_items(const Call& call);

}  // namespace fb::api
