// `firebreak respond HOST`: one host, several commands. On a terminal a console with editing and completion; otherwise
// a command a line from standard input, or the one of -e.
#include <csignal>
#include <cstdio>
#include <ctime>
#include <iostream>

#include <unistd.h>

#include "apps/firebreak/action_view.h"
#include "apps/firebreak/answers.h"
#include "apps/firebreak/line_editor.h"
#include "apps/firebreak/options.h"
#include "apps/firebreak/terminal.h"
#include "engine/base/json.h"
#include "engine/base/text.h"

namespace fb::cli {
namespace {

constexpr int kDefaultHistory = 10;
constexpr int kMaxHistory = 1000;

struct Word {
  const char* name;
  const char* use;
  const char* meaning;
  std::vector<std::string> options;
};

const std::vector<Word>& words() {
  static const std::vector<Word> all = {
      {"isolate", "isolate [--comment TEXT] [--override]", "cut the host off the network", {"--comment", "--override"}},
      {"release", "release [--comment TEXT] [--override]", "give it its network back", {"--comment", "--override"}},
      {"status", "status", "the host as the service sees it", {}},
      {"history", "history [N]", "the last N actions on it (default 10)", {}},
      {"help", "help", "this list", {}},
      {"exit", "exit", "leave; so does Ctrl-D", {}},
  };
  return all;
}

// Words as a shell would have them: blanks part them, quotes and backslashes keep them together.
Result<std::vector<std::string>> split_words(const std::string& line) {
  std::vector<std::string> out;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '\\' && quote != '\'' && i + 1 < line.size()) {
      word += line[++i];
      in_word = true;
    } else if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        word += c;
      }
    } else if (c == '"' || c == '\'') {
      quote = c;
      in_word = true;
    } else if (c == ' ' || c == '\t') {
      if (in_word) out.push_back(std::move(word));
      word.clear();
      in_word = false;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != 0) return fail(ErrorCode::invalid_argument, "the quote is not closed");
  if (in_word) out.push_back(std::move(word));
  return out;
}

std::vector<std::string> completions(const std::vector<std::string>& before) {
  std::vector<std::string> out;
  for (const Word& w : words()) {
    if (before.empty()) {
      out.emplace_back(w.name);
    } else if (before[0] == w.name && before.back() != "--comment") {
      for (const std::string& option : w.options) {
        if (std::find(before.begin(), before.end(), option) == before.end()) out.push_back(option);
      }
    }
  }
  return out;
}

// For as long as a console runs on a terminal Ctrl-C is taken here in place of ending the program.
class Interrupts {
 public:
  Interrupts() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~Interrupts() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;
  // Forgets one that came while nothing was followed.
  void forget() const {
    const timespec now{0, 0};
    sigtimedwait(&set_, nullptr, &now);
  }
  // Waits; false when Ctrl-C came.
  bool pause(int ms) const {
    const timespec patience{ms / 1000, static_cast<long>(ms % 1000) * 1'000'000};
    return sigtimedwait(&set_, nullptr, &patience) != SIGINT;
  }

 private:
  sigset_t set_{};
  sigset_t before_{};
};

class Console {
 public:
  Console(ApiClient& client, const RespondOptions& options, bool on_terminal) : client_(client), options_(options) {
    if (on_terminal) interrupts_.emplace();
  }

  // Finds the host; the exit code when it can't, else kDone.
  int open() {
    const auto host = look(options_.host);
    if (!host) return give_up(client_, host.error());
    endpoint_id_ = text_of(*host, "endpoint_id");
    name_ = text_of(*host, "hostname") == "-" ? endpoint_id_ : text_of(*host, "hostname");
    return kDone;
  }

  // Runs one line; the exit code that it alone would end with.
  int run(const std::string& line) {
    const auto split = split_words(line);
    if (!split) return complain(split.error(), kCantRun);
    if (split->empty() || split->front().starts_with('#')) return kDone;
    const std::string& verb = split->front();
    const std::vector<std::string> rest(split->begin() + 1, split->end());
    if (verb == "isolate" || verb == "release") return act(verb, rest);
    if (verb == "history") return history(rest);
    const bool known = verb == "status" || verb == "help" || verb == "exit" || verb == "quit";
    if (!known) return unknown(verb);
    if (!rest.empty()) return complain(verb + " takes no '" + printable(rest[0]) + "'", kCantRun);
    if (verb == "status") return status();
    if (verb == "help") return help();
    done_ = true;
    return kDone;
  }
  bool done() const { return done_; }

  // "web-1 (released)> ", or what it is and what it is to be.
  std::string prompt() {
    const auto host = look(endpoint_id_);
    if (!host) return printable(name_) + " (service away)> ";
    const std::string is = text_of(*host, "observed");
    const std::string wanted = text_of(*host, "desired");
    return printable(name_) + " (" + printable(is == wanted ? is : is + ", wanted " + wanted) + ")> ";
  }

 private:
  Result<Json> look(const std::string& host) {
    FB_TRY(const std::string body, client_.get("/api/firebreak/endpoints?host=" + url_encoded(host)));
    Json row = parse_ordered_json(body.substr(0, body.find('\n')));
    if (!row.is_object()) return fail(ErrorCode::corrupt, "the service's answer is not JSON");
    return row;
  }

  int unknown(const std::string& verb) const {
    std::vector<std::string_view> known;
    for (const Word& w : words()) known.emplace_back(w.name);
    const std::string_view nearest = nearest_word(verb, known);
    return complain("there is no command '" + printable(verb) + "'" +
                        (nearest.empty() ? "; help lists them" : "; did you mean '" + std::string(nearest) + "'?"),
                    kCantRun);
  }

  int act(const std::string& verb, const std::vector<std::string>& rest) {
    std::string comment;
    bool override_protected = false;
    for (size_t i = 0; i < rest.size(); ++i) {
      if (rest[i] == "--override") {
        override_protected = true;
      } else if (rest[i].starts_with("--comment=")) {
        comment = rest[i].substr(10);
      } else if (rest[i] == "--comment") {
        if (i + 1 == rest.size()) return complain("--comment takes a text", kCantRun);
        comment = rest[++i];
      } else {
        return complain(verb + " takes no '" + printable(rest[i]) + "' (a comment with blanks stands in quotes)",
                        kCantRun);
      }
    }
    const auto action = submit_action(client_, verb, endpoint_id_, comment, override_protected);
    if (!action) return give_up(client_, action.error());
    const auto progress = [](const Json& now) {
      const std::string state = text_of(now, "status");
      std::printf("  %s\n", paint(paint_of(state), printable(state)).c_str());
      std::fflush(stdout);
    };
    progress(*action);
    FollowHooks hooks;
    hooks.changed = progress;
    bool interrupted = false;
    if (interrupts_) {
      interrupts_->forget();
      hooks.pause = [&](int ms) {
        interrupted = !interrupts_->pause(ms);
        return !interrupted;
      };
    }
    const auto ended = follow(client_, *action, options_.wait_s, hooks);
    if (!ended) return complain(ended.error(), kCantRun);
    const std::string state = text_of(*ended, "status");
    if (interrupted) {
      std::printf("\nnot waiting any longer; the action goes on (status and history show it)\n");
      return kDone;
    }
    print_action(*ended);
    print_outlook(*ended);
    return ended_badly(state) ? kFound : kDone;
  }

  int status() {
    const auto host = look(endpoint_id_);
    if (!host) return give_up(client_, host.error());
    static constexpr std::pair<const char*, const char*> kRows[] = {
        {"host", "hostname"},           {"endpoint", "endpoint_id"},
        {"host id", "host_id"},         {"os", "os"},
        {"agent", "agent_status"},      {"desired", "desired"},
        {"observed", "observed"},       {"generation", "generation"},
        {"lease until", "lease_until"}, {"last seen", "last_seen"}};
    for (const auto& [name, key] : kRows) {
      const std::string value = text_of(*host, key);
      std::printf("%-12s %s\n", name, paint(paint_of(value), printable(value)).c_str());
    }
    return kDone;
  }

  int history(const std::vector<std::string>& rest) {
    int64_t limit = kDefaultHistory;
    if (!rest.empty()) {
      const std::string& n = rest[0];
      const bool digits = !n.empty() && n.size() <= 4 && n.find_first_not_of("0123456789") == std::string::npos;
      limit = digits ? std::stoi(n) : 0;
      if (rest.size() > 1 || limit < 1 || limit > kMaxHistory) {
        return complain("history takes a number from 1 to " + std::to_string(kMaxHistory), kCantRun);
      }
    }
    const auto body =
        client_.get("/api/firebreak/actions?host=" + url_encoded(endpoint_id_) + "&limit=" + std::to_string(limit));
    if (!body) return give_up(client_, body.error());
    print_list("actions", *body, {{endpoint_id_, name_}});
    return kDone;
  }

  static int help() {
    for (const Word& w : words()) std::printf("%-40s %s\n", w.use, w.meaning);
    return kDone;
  }

  ApiClient& client_;
  const RespondOptions& options_;
  std::optional<Interrupts> interrupts_;
  std::string endpoint_id_;
  std::string name_;
  bool done_ = false;
};

}  // namespace

int run_respond(const RespondOptions& options) {
  auto client = ApiClient::connect(options.connect);
  if (!client) return complain(client.error(), kCantRun);
  const bool on_terminal = !options.command && isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
  Console console(*client, options, on_terminal);
  if (const int opened = console.open(); opened != kDone) return opened;
  if (options.command) return console.run(*options.command);
  if (!on_terminal) {
    // The worst of what the lines gave, so that a script sees that something went wrong.
    int worst = kDone;
    for (std::string line; !console.done() && std::getline(std::cin, line);) {
      if (line.ends_with('\r')) line.pop_back();
      worst = std::max(worst, console.run(line));
      std::fflush(stdout);
    }
    return worst;
  }
  LineEditor editor(completions);
  while (!console.done()) {
    const auto line = editor.read(console.prompt());
    if (!line) break;
    console.run(*line);
    std::fflush(stdout);
  }
  return kDone;
}

}  // namespace fb::cli
