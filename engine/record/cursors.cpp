#include "engine/record/impl.h"

namespace fb {

using record::Sqlite;
using record::Txn;
using record::Writer;

Result<std::optional<int64_t>> Store::cursor(const std::string& name) {
  return impl_->readers->with<std::optional<int64_t>>(
      [&](Sqlite& db) { return db.integer("SELECT seq FROM cursors WHERE name = ?", name); });
}

Status Store::set_cursor(const std::string& name, int64_t seq) {
  return impl_->writer->run(Writer::Kind::control, [&](Txn& txn) -> Status {
    return txn.db.run("INSERT INTO cursors(name, seq) VALUES(?1, ?2) ON CONFLICT DO UPDATE SET seq = ?2", name, seq);
  });
}

Result<int64_t> Store::audit_seq() {
  return impl_->readers->with<int64_t>([](Sqlite& db) -> Result<int64_t> {
    FB_TRY(const std::optional<int64_t> seq, db.integer("SELECT max(seq) FROM audit"));
    return seq.value_or(0);
  });
}

}  // namespace fb
