// Tells the people who are logged in to this host that it was isolated or let back in: a line on every terminal, and a
// desktop notification in every graphical session. Best effort, bounded in time (2 s in all); it never blocks an order.
#pragma once

#include <string>
#include <vector>

#include "engine/model/names.h"

namespace fb::agent {

struct NoticeOptions {
  std::string utmp_file;     // "" = the system's; terminals of logged-in users are read from it
  std::string sessions_dir;  // "" = /run/systemd/sessions: systems without utmp
  std::string runtime_dir;   // "" = /run/user: <uid>/bus is a user's session bus
  std::string tty_dir;       // "" = /dev
};
struct NoticeResult {
  int terminals = 0;
  int desktops = 0;
  std::vector<std::string> failures;
};
// message: the organisation's own text; "" = the built-in one. comment: why, shown after it; control characters go.
NoticeResult tell_users(Isolation now, const std::string& message, const std::string& comment,
                        const NoticeOptions& options = {});

}  // namespace fb::agent
