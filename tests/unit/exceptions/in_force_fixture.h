// Rules that run over a record whose lists can be made unreadable, or slow to read.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

#include "api/exceptions/rule_item.h"
#include "api/rules/desk.h"
#include "engine/event/json_tree.h"
#include "engine/ir/oracle.h"
#include "tests/unit/exceptions/exceptions_fixture.h"

namespace fb::test {

inline constexpr const char* kSvc = R"({"event":{"code":"4688"},"user":{"name":"svc"}})";
inline constexpr const char* kAnna = R"({"event":{"code":"4688"},"user":{"name":"anna"}})";

class InForceTest : public ExceptionsTest {
 protected:
  InForceTest() {
    RuleBookOptions options;
    options.allow_empty = true;
    options.lists = [this, read = api::record_lists(*store_)](const ListReference& list) -> Result<ListContent> {
      ++reads_;
      while (held_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (failing_ && list.list_id != "other") return fail(ErrorCode::busy, "the record is locked");
      if (reads_left_ > 0 && --reads_left_ == 0) failing_ = true;
      return read(list);
    };
    book_ = std::make_unique<RuleBook>(options);
    desk_ = std::make_unique<api::RuleDesk>(*store_, *book_, clock_);
    parts_->rules = desk_.get();
    if (!desk_->load()) throw std::runtime_error("the desk does not start");
  }

  std::string rule(const std::string& rule_id, const std::string& lists = "[]") {
    const Json body{{"rule_id", rule_id},  {"name", rule_id},
                    {"description", "d"},  {"type", "query"},
                    {"language", "kuery"}, {"query", "event.code: 4688"},
                    {"severity", "low"},   {"risk_score", 21},
                    {"enabled", true},     {"exceptions_list", Json::parse(lists)}};
    const auto made = desk_->create(body.dump(), api::RuleAuthor::trusted("user:elastic"));
    if (!made) throw std::runtime_error(made.error().messages.front());
    return (*made)->id;
  }
  void list(const std::string& id) {
    const Json body{{"name", "n"}, {"description", "d"}, {"type", "detection"}, {"list_id", id}};
    ASSERT_EQ(ask("POST", "/api/exception_lists", {}, body.dump()).status, 200);
  }
  static Json item(const std::string& user, const std::string& item_id, const std::string& list_id = "") {
    Json body{{"item_id", item_id},
              {"name", "n"},
              {"description", "d"},
              {"type", "simple"},
              {"entries", {{{"field", "user.name"}, {"operator", "included"}, {"type", "match"}, {"value", user}}}}};
    if (!list_id.empty()) body["list_id"] = list_id;
    return body;
  }
  Answer except(const std::string& rule, const Json& items) {
    return ask("POST", "/api/detection_engine/rules/" + rule + "/exceptions", {}, Json{{"items", items}}.dump());
  }
  bool alerts(const std::string& rule_id, const std::string& event) const {
    for (const RuleInput& r : book_->current()->rules()) {
      if (r.meta->rule_id == rule_id) return ir::matches(r.condition, *parse_json_tree(event), {clock_.wall_ms(), {}});
    }
    throw std::runtime_error("the rule does not run");
  }
  size_t lists() { return store_->exceptions().lists(false).value().size(); }

  std::atomic<bool> failing_{false};
  std::atomic<bool> held_{false};
  std::atomic<int> reads_left_{0};  // until it fails; 0 = it does not by itself
  std::atomic<int> reads_{0};
  std::unique_ptr<RuleBook> book_;
  std::unique_ptr<api::RuleDesk> desk_;
};

}  // namespace fb::test
