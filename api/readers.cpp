#include "api/readers.h"

#include <utility>

namespace fb::api {
namespace {

constexpr size_t kMostIdle = 8;
constexpr int kMostAsked = 1000;  // then it is opened anew, so that nothing it gathered stays for good

}  // namespace

Readers::Lease& Readers::Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    give_back();
    from_ = std::move(other.from_);
    open_ = std::move(other.open_);
  }
  return *this;
}

void Readers::Lease::give_back() {
  if (from_ && open_.reader) from_->put(std::move(open_));
  from_.reset();
}

Result<Readers::Lease> Readers::take(const std::string& db_path) {
  Open open;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty() && idle_.back().db_path == db_path) {
      open = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (!open.reader) {
    FB_TRY(open.reader, record::Reader::open(db_path));
    open.db_path = db_path;
  }
  ++open.asked;
  return Lease(shared_from_this(), std::move(open));
}

void Readers::put(Open open) {
  if (open.asked >= kMostAsked) return;
  const std::lock_guard lock(mutex_);
  if (idle_.size() < kMostIdle) idle_.push_back(std::move(open));
}

}  // namespace fb::api
