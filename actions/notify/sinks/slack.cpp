// A message to an incoming webhook of Slack, or of a chat that takes the same JSON (Mattermost, Rocket.Chat). The URL
// is the secret.
#include "actions/notify/http_post.h"
#include "actions/notify/sink.h"
#include "engine/base/json.h"
#include "engine/base/json_dump.h"
#include "engine/base/markup.h"

namespace fb::notify {
namespace {

using Json = nlohmann::ordered_json;

std::string_view colour(Level level) {
  switch (level) {
    case Level::low:
      return "#6b7785";
    case Level::medium:
      return "#2f6fd0";
    case Level::high:
      return "#d98a00";
    case Level::critical:
      return "#c62828";
  }
  return "";
}

std::string message(const Notification& n) {
  Json fields = Json::array();
  const auto field = [&](const char* title, const std::string& value) {
    if (!value.empty()) fields.push_back({{"title", title}, {"value", escape_markup(value)}, {"short", true}});
  };
  field("Host", n.hostname.empty() ? n.endpoint_id : n.hostname);
  field("Rule", n.rule_id);
  field("Guard", n.guard);
  field("By", n.who);
  for (const auto& [kind, count] : n.counts) field(kind.c_str(), std::to_string(count));
  std::string more;
  for (const std::string& line : n.samples) more += (more.empty() ? "" : "\n") + escape_markup(line);
  Json attachment{{"color", colour(n.level)}, {"fallback", escape_markup(n.text)}, {"fields", std::move(fields)}};
  if (!more.empty()) attachment["text"] = more;
  const Json out{{"text", "*Firebreak* (" + std::string(to_string(n.level)) + ") " + escape_markup(n.text)},
                 {"attachments", Json::array({std::move(attachment)})}};
  return dumped(out);
}

class Slack final : public Sink {
 public:
  Slack(std::string url, const SinkContext& context) : post_(std::move(url), context) {}
  Status send(const Notification& n) override {
    return post_.post({{"Content-Type", "application/json"}, {"User-Agent", "firebreak"}}, message(n));
  }
  void cancel() override { post_.cancel(); }

 private:
  HttpPost post_;
};

}  // namespace

Result<std::unique_ptr<Sink>> make_slack_sink(const SinkContext& context) {
  const std::string file = context.text("slack.url_file");
  if (file.empty()) return std::unique_ptr<Sink>();
  FB_TRY(std::string url, read_secret_file(file));
  return std::unique_ptr<Sink>(std::make_unique<Slack>(std::move(url), context));
}

}  // namespace fb::notify
