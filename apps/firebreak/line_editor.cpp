#include "apps/firebreak/line_editor.h"

#include <histedit.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace fb::cli {
namespace {

constexpr int kHistoryLines = 200;

std::string common_start(const std::vector<std::string>& words) {
  std::string start = words.front();
  for (const std::string& word : words) {
    const auto [end, ignored] = std::mismatch(start.begin(), start.end(), word.begin(), word.end());
    start.erase(end, start.end());
  }
  return start;
}

}  // namespace

struct LineEditor::Impl {
  Complete complete;
  std::string prompt;
  bool thrown_away = false;
  EditLine* line = nullptr;
  History* history = nullptr;

  static Impl& of(EditLine* e) {
    void* self = nullptr;
    el_get(e, EL_CLIENTDATA, &self);
    return *static_cast<Impl*>(self);
  }
  static char* show_prompt(EditLine* e) { return of(e).prompt.data(); }

  static unsigned char on_tab(EditLine* e, int) {
    const LineInfo* info = el_line(e);
    const std::string text(info->buffer, info->cursor);
    const size_t start = text.find_last_of(' ') == std::string::npos ? 0 : text.find_last_of(' ') + 1;
    const std::string half = text.substr(start);
    std::vector<std::string> before;
    for (size_t at = 0; at < start;) {
      const size_t end = std::min(text.find(' ', at), start);
      if (end > at) before.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    std::vector<std::string> fits = of(e).complete(before);
    std::erase_if(fits, [&](const std::string& word) { return !word.starts_with(half); });
    if (fits.empty()) return CC_REFRESH_BEEP;
    const std::string more = common_start(fits).substr(half.size()) + (fits.size() == 1 ? " " : "");
    if (!more.empty()) return el_insertstr(e, more.c_str()) == 0 ? CC_REFRESH : CC_REFRESH_BEEP;
    std::string list = "\r\n";
    for (const std::string& word : fits) list += word + "  ";
    std::printf("%s\r\n", list.c_str());
    std::fflush(stdout);
    return CC_REDISPLAY;
  }

  static unsigned char on_interrupt(EditLine* e, int) {
    of(e).thrown_away = true;
    std::printf("^C\r\n");
    std::fflush(stdout);
    return CC_NEWLINE;
  }
};

LineEditor::LineEditor(Complete complete) : impl_(std::make_unique<Impl>()) {
  impl_->complete = std::move(complete);
  impl_->line = el_init("firebreak", stdin, stdout, stderr);
  if (impl_->line == nullptr) return;
  EditLine* e = impl_->line;
  el_set(e, EL_CLIENTDATA, impl_.get());
  el_set(e, EL_PROMPT, &Impl::show_prompt);
  el_set(e, EL_EDITOR, "emacs");
  impl_->history = history_init();
  HistEvent event{};
  if (impl_->history != nullptr) {
    history(impl_->history, &event, H_SETSIZE, kHistoryLines);
    el_set(e, EL_HIST, history, impl_->history);
  }
  // The wide form: the other one copies both texts and never frees them.
  el_wset(e, EL_ADDFN, L"fb-complete", L"complete the word", &Impl::on_tab);
  el_set(e, EL_BIND, "\t", "fb-complete", nullptr);
  // While a line is edited Ctrl-C is a key that throws it away; outside it stays a signal.
  el_wset(e, EL_ADDFN, L"fb-interrupt", L"throw the line away", &Impl::on_interrupt);
  el_set(e, EL_SETTY, "-d", "-isig", nullptr);
  el_set(e, EL_BIND, "^C", "fb-interrupt", nullptr);
  el_set(e, EL_BIND, "^R", "em-inc-search-prev", nullptr);
}

LineEditor::~LineEditor() {
  if (impl_->history != nullptr) history_end(impl_->history);
  if (impl_->line != nullptr) el_end(impl_->line);
}

std::optional<std::string> LineEditor::read(const std::string& prompt) {
  if (impl_->line == nullptr) return std::nullopt;
  impl_->prompt = prompt;
  impl_->thrown_away = false;
  // Before the prompt shows: a key pressed at the sight of it belongs to the editor already.
  el_set(impl_->line, EL_PREP_TERM, 1);
  int count = 0;
  const char* got = el_gets(impl_->line, &count);
  if (impl_->thrown_away) return "";
  if (got == nullptr || count <= 0) return std::nullopt;
  std::string text(got, static_cast<size_t>(count));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  if (!text.empty() && impl_->history != nullptr) {
    HistEvent event{};
    history(impl_->history, &event, H_ENTER, text.c_str());
  }
  return text;
}

}  // namespace fb::cli
