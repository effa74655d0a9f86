// One question at a time to something that may hang (a resolver, a connection), on a thread of its own. The caller
// never waits for it, not even at the end of its life: a thread that hangs is left to itself and touches only what it
// owns. Used by one thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

namespace fb::agent {

template <class Answer>
class Background {
 public:
  using Ask = std::function<Answer(const std::atomic<bool>& given_up)>;

  Background() = default;
  ~Background() { give_up(); }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  // Gives up what was asked before. False when no thread can be had. `ask` must own whatever it uses.
  bool start(Ask ask) {
    give_up();
    auto asked = std::make_shared<Asked>();
    try {
      std::thread([asked, ask = std::move(ask)] {
        Answer answer = ask(asked->given_up);
        const std::lock_guard lock(asked->mutex);
        asked->answer = std::move(answer);
      }).detach();
    } catch (const std::system_error&) {
      return false;
    }
    asked_ = std::move(asked);
    return true;
  }

  bool running() const { return asked_ != nullptr; }  // until take() gave the answer

  std::optional<Answer> take() {
    if (asked_ == nullptr) return std::nullopt;
    std::optional<Answer> answer;
    {
      const std::lock_guard lock(asked_->mutex);
      answer = std::move(asked_->answer);
      asked_->answer.reset();
    }
    if (answer) asked_.reset();
    return answer;
  }

  void give_up() {
    if (asked_ != nullptr) asked_->given_up.store(true);
    asked_.reset();
  }

 private:
  struct Asked {
    std::mutex mutex;
    std::optional<Answer> answer;
    std::atomic<bool> given_up{false};
  };
  std::shared_ptr<Asked> asked_;
};

}  // namespace fb::agent
