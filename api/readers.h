// Connections to the record that stay open between requests: opening one means reading and checking the whole schema,
// which costs more than most of the questions. A few are kept; each request has one for itself. Thread-safe. They are
// closed with their owner, which must end before the record does.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/record/queries.h"

namespace fb::api {

class Readers : public std::enable_shared_from_this<Readers> {
 public:
  struct Open {
    std::string db_path;
    std::unique_ptr<record::Reader> reader;
    int asked = 0;
  };
  // A connection for as long as this lives.
  class Lease {
   public:
    Lease() = default;
    Lease(std::shared_ptr<Readers> from, Open open) : from_(std::move(from)), open_(std::move(open)) {}
    Lease(Lease&&) noexcept = default;
    Lease& operator=(Lease&& other) noexcept;
    ~Lease() { give_back(); }
    record::Reader* operator->() const { return open_.reader.get(); }
    record::Reader& operator*() const { return *open_.reader; }

   private:
    void give_back();
    std::shared_ptr<Readers> from_;
    Open open_;
  };

  Result<Lease> take(const std::string& db_path);

 private:
  void put(Open open);

  std::mutex mutex_;
  std::vector<Open> idle_;
};

}  // namespace fb::api
