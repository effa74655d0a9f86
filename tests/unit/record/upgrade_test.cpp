// A record that an older Firebreak made: it is brought up to date, works, and nothing of it is lost.
#include <filesystem>
#include <map>

#include "engine/record/identities.h"
#include "engine/record/schema.h"
#include "engine/record/value_lists.h"
#include "tests/unit/record/record_fixture.h"

namespace fb::test {
namespace {

namespace fs = std::filesystem;

// Those that went out. A change of one would leave the records half made that were written with it.
TEST(Schema, AStepThatWasShippedNeverChanges) {
  const auto steps = record::schema_steps();
  ASSERT_GE(steps.size(), 3u);
  EXPECT_EQ(hex(sha256(steps[0])), "300152c91c660e3fb3dbbd94be2e652ecdb86046f411fe1732e662e4d38c30a2");
  EXPECT_EQ(hex(sha256(steps[1])), "3458134a5e5dce426cc233bbd2ab1733051925733601c6d9467b420ee1c02533");
  EXPECT_EQ(hex(sha256(steps[2])), "352cf6af85ce5bdfe720a7112a346247c596bd53531a08095bf48614a4bb7130");
}

class Upgrade : public RecordTest {
 protected:
  static std::vector<std::string> lines(RawDb& raw, const std::string& sql) {
    std::string all = raw.text("SELECT coalesce(group_concat(one, char(10)), '') FROM (" + sql + ")");
    std::vector<std::string> out;
    while (!all.empty()) {
      const size_t end = std::min(all.find('\n'), all.size());
      out.push_back(all.substr(0, end));
      all.erase(0, std::min(end + 1, all.size()));
    }
    return out;
  }
  static std::vector<std::string> tables(RawDb& raw) {
    return lines(raw, "SELECT name AS one FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'");
  }
  static std::string columns(RawDb& raw, const std::string& table) {
    std::string all;
    for (const std::string& name : lines(raw, "SELECT name AS one FROM pragma_table_info('" + table + "')")) {
      all += (all.empty() ? "\"" : ",\"") + name + "\"";
    }
    return all;
  }

  // The record as it is, but in a file as the steps up to `version` make it.
  void make_old(int64_t version) {
    const std::string now = db() + ".now";
    RawDb(db()).run("PRAGMA wal_checkpoint(TRUNCATE)");
    fs::rename(db(), now);
    fs::remove(db() + "-wal");
    fs::remove(db() + "-shm");
    sqlite3* fresh = nullptr;
    ASSERT_EQ(sqlite3_open(db().c_str(), &fresh), SQLITE_OK);
    sqlite3_close(fresh);
    fs::permissions(db(), fs::perms::owner_read | fs::perms::owner_write);
    RawDb old(db());
    old.run("PRAGMA journal_mode=WAL");
    for (int64_t v = 0; v < version; ++v) old.run(record::schema_steps()[static_cast<size_t>(v)]);
    old.run("ATTACH '" + now + "' AS now");
    for (const std::string& table : tables(old)) {
      const std::string names = columns(old, table);
      old.run("DELETE FROM main." + table);
      old.run("INSERT INTO main." + table + "(" + names + ") SELECT " + names + " FROM now." + table);
    }
    old.run("DETACH now");
    old.run("UPDATE meta SET value = '" + std::to_string(version) + "' WHERE key = 'schema'");
    old.run("PRAGMA application_id=" + std::to_string(record::kApplicationId));
    old.run("PRAGMA user_version=" + std::to_string(version));
    fs::remove(now);
  }
  std::map<std::string, int64_t> rows() {
    RawDb raw(db());
    std::map<std::string, int64_t> counts;
    for (const std::string& table : tables(raw)) counts[table] = raw.number("SELECT count(*) FROM " + table);
    return counts;
  }
  void works() {
    UserRow user;
    user.name = "ada";
    ASSERT_TRUE(store_->add_user(user, "user:root"));
    ValueListRow list;
    list.id = "names";
    list.type = "keyword";
    ValueListStore values(store_->exceptions());
    ASSERT_TRUE(values.add_list(list, "user:ada"));
    EXPECT_EQ(values.lists().value().size(), 1u);
  }
};

TEST_F(Upgrade, ARecordOfEachOlderVersionLosesNothing) {
  for (int64_t version = 2; version < record::kSchemaVersion; ++version) {
    SCOPED_TRACE("version " + std::to_string(version));
    store_.reset();
    fs::remove_all(dir_.path() + "/data");
    open();
    enroll("ep-1");
    enroll("ep-2");
    keep(batch(rule("r1"), "ep-1", 0));
    keep(batch(rule("r2"), "ep-2", 1));
    const std::string action = ask("SELECT action_id FROM actions ORDER BY action_id");
    close();
    ASSERT_NO_FATAL_FAILURE(make_old(version));
    const auto before = rows();
    ASSERT_EQ(before.at("alerts"), 2);
    ASSERT_EQ(before.at("endpoints"), 2);
    ASSERT_GT(before.at("audit"), 2);
    ASSERT_FALSE(before.contains("users")) << "no table of the API yet";

    open();
    EXPECT_EQ(count("PRAGMA user_version"), record::kSchemaVersion);
    const auto after = rows();
    for (const auto& [table, n] : before) EXPECT_GE(after.at(table), n) << table;
    EXPECT_EQ(after.at("alerts"), 2);
    EXPECT_EQ(count("SELECT count(*) FROM actions WHERE action_id = '" + action + "' AND stuck_at = 0"), 1);
    EXPECT_EQ(count("SELECT count(*) FROM pragma_table_info('endpoints') WHERE name = 'duplicate_since'"), 1);
    EXPECT_TRUE(record::verify_audit(db()).value().ok);
    works();
    EXPECT_EQ(keep(batch(rule("r1"), "ep-1", 0)).known_alerts, 1u) << "what is read again is known";
    EXPECT_EQ(keep(batch(rule("r1"), "ep-1", 2)).new_alerts, 1u);
    EXPECT_EQ(count("SELECT count(*) FROM stream WHERE kind = 'alert'"), 1);
    // The same tables as a new record has.
    std::string schema = ask("SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_master ORDER BY type, name)");
    close();
    fs::remove_all(dir_.path() + "/data");
    open();
    EXPECT_EQ(schema, ask("SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_master ORDER BY type, name)"));
  }
}

}  // namespace
}  // namespace fb::test
