// Signals as values: blocked in every thread that starts later, taken by wait(). One object a process, made first.
#pragma once

#include <signal.h>

#include <ctime>

namespace fb::cli {

class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    for (const int s : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set_, s);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  }

  // The next signal, or 0 after `ms`.
  int wait(int ms) const {
    const timespec patience{ms / 1000, static_cast<long>(ms % 1000) * 1'000'000};
    const int got = sigtimedwait(&set_, nullptr, &patience);
    return got > 0 ? got : 0;
  }

  // From now on SIGTERM and SIGINT end the process at once, as their default is.
  void end_at_once_on_the_next() const { pthread_sigmask(SIG_UNBLOCK, &set_, nullptr); }

 private:
  sigset_t set_{};
};

}  // namespace fb::cli
