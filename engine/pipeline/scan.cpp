#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "engine/event/json_tree.h"
#include "engine/ir/oracle.h"
#include "engine/match/matcher.h"
#include "engine/pipeline/alert.h"
#include "engine/pipeline/replay.h"
#include "engine/ports/source.h"

namespace fb {
namespace {

constexpr size_t kChunkLines = 1024;
constexpr size_t kChunkBytes = 2u << 20;

// What a worker found in one line; alerts and rules are slices of the chunk's vectors.
struct LineResult {
  uint32_t first_rule = 0;
  uint32_t rules = 0;
  bool refused = false;
  Refusal refusal;
  std::vector<Alert> alerts;
};

// Consecutive lines, judged by one worker, handed out in order.
struct Chunk {
  RawBatch batch;
  int64_t first_index = 0;
  std::vector<RuleIx> rules;
  std::vector<std::pair<uint32_t, LineResult>> lines;  // only those with a hit or a refusal
  bool done = false;
};

SourcePosition file_position(int64_t event_index) {
  return {"file", "", 0, 0, event_index};
}

// One decoder and matcher; judges lines one by one.
class Worker {
 public:
  Worker(const RuleSetPtr& rules, const ScanOptions& options, bool make_alerts)
      : rules_(rules),
        options_(options),
        make_alerts_(make_alerts),
        decoder_(rules->fields(), options.events),
        matcher_(rules, decoder_) {}

  // False: nothing to tell about this line.
  bool judge(std::string_view line, int64_t event_index, std::vector<RuleIx>& hits, LineResult& out) {
    const Event* event = decoder_.decode(line);
    if (event == nullptr) {
      out.refused = true;
      out.refusal = decoder_.refusal();
      return true;
    }
    const size_t before = hits.size();
    const int64_t now = options_.now_ms ? *options_.now_ms : event_time_ms(*event, 0, 0);
    if (options_.no_index) {
      judge_by_oracle(line, now, hits);
    } else {
      found_.clear();
      matcher_.match(*event, now, found_);
      hits.insert(hits.end(), found_.begin(), found_.end());
    }
    if (hits.size() == before) return false;
    out.first_rule = static_cast<uint32_t>(before);
    out.rules = static_cast<uint32_t>(hits.size() - before);
    if (make_alerts_) {
      EventOrigin origin;
      origin.position = file_position(event_index);
      origin.event_index = event_index;
      for (size_t i = before; i < hits.size(); ++i) {
        out.alerts.push_back(make_alert(rules_->rule(hits[i]).meta, *event, origin));
      }
    }
    return true;
  }

 private:
  void judge_by_oracle(std::string_view line, int64_t now, std::vector<RuleIx>& hits) {
    const auto tree = parse_json_tree(line, options_.events);
    if (!tree) return;  // the decoder took it; the two agree on every line (tests/unit/event)
    const ir::OracleContext context{now, rules_->options().renames};
    const auto rules = rules_->rules();
    for (size_t i = 0; i < rules.size(); ++i) {
      if (ir::matches(rules[i].condition, *tree, context)) hits.push_back(static_cast<RuleIx>(i));
    }
  }

  const RuleSetPtr rules_;
  const ScanOptions options_;
  const bool make_alerts_;
  Decoder decoder_;
  Matcher matcher_;
  std::vector<RuleIx> found_;
};

class Emitter {
 public:
  Emitter(const ScanSinks& sinks, ScanStats& stats) : sinks_(sinks), stats_(stats) {}

  void line(int64_t event_index, std::string_view bytes, const std::vector<RuleIx>& rules, const LineResult& result) {
    if (result.refused) {
      ++stats_.refused;
      if (sinks_.refused) sinks_.refused(event_index, result.refusal);
      return;
    }
    if (!sinks_.hit) return;
    const std::span<const RuleIx> all(rules);
    sinks_.hit({event_index, bytes, all.subspan(result.first_rule, result.rules), &result.alerts});
  }

  void count(std::string_view bytes) {
    ++stats_.events;
    stats_.bytes += bytes.size() + 1;
    if ((stats_.events & 0xFFFF) == 0 && sinks_.progress) sinks_.progress(stats_.events, stats_.bytes);
  }

 private:
  const ScanSinks& sinks_;
  ScanStats& stats_;
};

Status scan_here(const RuleSetPtr& rules, const NextLine& next, const ScanOptions& options, bool make_alerts,
                 Emitter& emit) {
  Worker worker(rules, options, make_alerts);
  std::vector<RuleIx> hits;
  for (int64_t event_index = 0;; ++event_index) {
    std::string_view line;
    FB_TRY(const bool more, next(&line));
    if (!more) return {};
    emit.count(line);
    hits.clear();
    LineResult result;
    if (worker.judge(line, event_index, hits, result)) emit.line(event_index, line, hits, result);
  }
}

// The calling thread reads and hands out; workers judge chunks; results leave in the order of the chunks.
class Crew {
 public:
  Crew(const RuleSetPtr& rules, const ScanOptions& options, bool make_alerts) {
    for (int n = 0; n < options.threads; ++n) {
      threads_.emplace_back([this, rules, options, make_alerts] {
        Worker worker(rules, options, make_alerts);
        while (Chunk* chunk = take()) {
          for (uint32_t i = 0; i < chunk->batch.records.size(); ++i) {
            LineResult result;
            if (worker.judge(chunk->batch.records[i].bytes, chunk->first_index + i, chunk->rules, result)) {
              chunk->lines.emplace_back(i, std::move(result));
            }
          }
          finish(chunk);
        }
      });
    }
  }
  ~Crew() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    work_.notify_all();
    for (std::thread& t : threads_) t.join();
  }

  void give(std::unique_ptr<Chunk> chunk) {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(chunk.get());
    order_.push_back(std::move(chunk));
    work_.notify_one();
  }
  size_t outstanding() const { return order_.size(); }

  std::unique_ptr<Chunk> oldest() {  // waits until it is judged
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return order_.front()->done; });
    auto chunk = std::move(order_.front());
    order_.pop_front();
    return chunk;
  }

 private:
  Chunk* take() {
    std::unique_lock lock(mutex_);
    work_.wait(lock, [this] { return closed_ || !waiting_.empty(); });
    if (waiting_.empty()) return nullptr;
    Chunk* chunk = waiting_.front();
    waiting_.pop_front();
    return chunk;
  }
  void finish(Chunk* chunk) {
    const std::lock_guard lock(mutex_);
    chunk->done = true;
    done_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable done_;
  std::deque<Chunk*> waiting_;
  std::deque<std::unique_ptr<Chunk>> order_;
  bool closed_ = false;
  std::vector<std::thread> threads_;
};

Status scan_with_crew(const RuleSetPtr& rules, const NextLine& next, const ScanOptions& options, bool make_alerts,
                      Emitter& emit) {
  Crew crew(rules, options, make_alerts);
  const size_t most = static_cast<size_t>(options.threads) * 4;
  std::vector<std::unique_ptr<Chunk>> spare;
  const auto hand_out_oldest = [&] {
    auto chunk = crew.oldest();
    for (const auto& [at, result] : chunk->lines) {
      emit.line(chunk->first_index + at, chunk->batch.records[at].bytes, chunk->rules, result);
    }
    spare.push_back(std::move(chunk));
  };

  Status status;
  int64_t event_index = 0;
  for (bool more = true; more;) {
    std::unique_ptr<Chunk> chunk;
    if (spare.empty()) {
      chunk = std::make_unique<Chunk>();
    } else {
      chunk = std::move(spare.back());
      spare.pop_back();
    }
    chunk->batch.clear();
    chunk->rules.clear();
    chunk->lines.clear();
    chunk->done = false;
    chunk->first_index = event_index;
    while (chunk->batch.records.size() < kChunkLines && chunk->batch.bytes() < kChunkBytes) {
      std::string_view line;
      const Result<bool> got = next(&line);
      if (!got || !*got) {
        if (!got) status = tl::unexpected<Error>(got.error());
        more = false;
        break;
      }
      emit.count(line);
      chunk->batch.add(line, 0, event_index++, 0, false);
    }
    crew.give(std::move(chunk));
    while (crew.outstanding() >= most) hand_out_oldest();
  }
  while (crew.outstanding() > 0) hand_out_oldest();
  return status;
}

}  // namespace

Result<ScanStats> scan(const RuleSetPtr& rules, const NextLine& next, const ScanOptions& options, bool make_alerts,
                       const ScanSinks& sinks) {
  ScanStats stats;
  Emitter emit(sinks, stats);
  const auto started = std::chrono::steady_clock::now();
  const Status status = options.threads <= 1 ? scan_here(rules, next, options, make_alerts, emit)
                                             : scan_with_crew(rules, next, options, make_alerts, emit);
  stats.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  if (!status) return tl::unexpected<Error>(status.error());
  return stats;
}

}  // namespace fb
