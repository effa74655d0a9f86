// firebreak audit verify: checks every link of the audit chain in the record, opened read-only.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "apps/firebreak/options.h"
#include "apps/firebreak/service_files.h"
#include "apps/firebreak/terminal.h"
#include "engine/config/config.h"
#include "engine/record/queries.h"

namespace fb::cli {

int run_audit_verify(const AuditOptions& options) {
  std::string db = options.db;
  if (db.empty() && !options.connect.config.empty()) {
    const Config::Loaded loaded = Config::load(options.connect.config);
    if (!loaded.ok()) return complain(loaded.problems[0].file + ": " + loaded.problems[0].message, kCantRun);
    db = ServiceFiles(loaded.config.text("data_dir")).database;
  }
  if (db.empty()) return complain("give --db FILE, or -c CONFIG of the service", kCantRun);
  const auto verdict = record::verify_audit(db);
  if (!verdict) return complain(verdict.error(), kCantRun);
  if (options.format == Format::json) {
    const nlohmann::ordered_json line{
        {"ok", verdict->ok},
        {"rows", verdict->rows},
        {"head", verdict->head},
        {"bad_seq", verdict->ok ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(verdict->bad_seq)},
        {"message", verdict->why}};
    std::printf("%s\n", line.dump().c_str());
  } else if (verdict->ok) {
    std::printf("%s: %s rows, every link holds\nhead %s\n", db.c_str(),
                grouped(static_cast<uint64_t>(verdict->rows)).c_str(), verdict->head.c_str());
  } else {
    std::printf("%s\n", paint(Paint::red, "seq " + std::to_string(verdict->bad_seq) + ": " + verdict->why).c_str());
    std::printf("the %s rows before it are good\n", grouped(static_cast<uint64_t>(verdict->rows)).c_str());
  }
  return verdict->ok ? kDone : kFound;
}

}  // namespace fb::cli
