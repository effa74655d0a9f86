#include "connectors/file/byte_reader.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

namespace fb {
namespace {

constexpr size_t kInputBlock = 256u << 10;

std::string reason(int error) {
  return std::strerror(error);
}

// The file as it is on disk or in the pipe, with a few bytes of look-ahead.
class RawFile {
 public:
  RawFile(int fd, std::string path, bool may_block, bool owns)
      : fd_(fd), path_(std::move(path)), may_block_(may_block), owns_(owns) {}
  RawFile(const RawFile&) = delete;
  RawFile& operator=(const RawFile&) = delete;
  ~RawFile() {
    if (owns_) ::close(fd_);
  }

  const std::string& path() const { return path_; }

  // Fills the look-ahead to `want` bytes, or to the end of the file.
  Result<std::string_view> peek(size_t want) {
    while (ahead_.size() < want) {
      char block[8];
      FB_TRY(const ByteReader::Read r, read_file(block, std::min(sizeof block, want - ahead_.size()), -1));
      if (r.got == ByteReader::Got::end) break;
      ahead_.append(block, r.count);
    }
    return std::string_view(ahead_);
  }

  Result<ByteReader::Read> read(char* to, size_t room, int wait_ms) {
    if (!ahead_.empty()) {
      const size_t n = std::min(room, ahead_.size());
      ahead_.copy(to, n);
      ahead_.erase(0, n);
      return ByteReader::Read{ByteReader::Got::bytes, n};
    }
    return read_file(to, room, wait_ms);
  }

  // Is there something to look at within the wait? Files always say yes.
  Result<bool> ready(int wait_ms) {
    if (!may_block_ || wait_ms < 0 || !ahead_.empty()) return true;
    pollfd p{fd_, POLLIN, 0};
    const int n = ::poll(&p, 1, wait_ms);
    if (n < 0 && errno != EINTR) return fail(ErrorCode::io, "cannot wait for input: " + reason(errno), path_);
    return n > 0;
  }

 private:
  Result<ByteReader::Read> read_file(char* to, size_t room, int wait_ms) {
    for (;;) {
      FB_TRY(const bool is_ready, ready(wait_ms));
      if (!is_ready) return ByteReader::Read{ByteReader::Got::nothing_yet, 0};
      const ssize_t n = ::read(fd_, to, room);
      if (n > 0) return ByteReader::Read{ByteReader::Got::bytes, static_cast<size_t>(n)};
      if (n == 0) return ByteReader::Read{ByteReader::Got::end, 0};
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        // Somebody made our standard input non-blocking.
        if (wait_ms >= 0) return ByteReader::Read{ByteReader::Got::nothing_yet, 0};
        pollfd p{fd_, POLLIN, 0};
        ::poll(&p, 1, 1000);
        continue;
      }
      if (errno != EINTR) return fail(ErrorCode::io, "cannot read: " + reason(errno), path_);
    }
  }

  int fd_;
  std::string path_;
  bool may_block_;
  bool owns_;
  std::string ahead_;
};

class PlainReader final : public ByteReader {
 public:
  explicit PlainReader(std::unique_ptr<RawFile> file) : file_(std::move(file)) {}
  Result<Read> read(char* to, size_t room, int wait_ms) override { return file_->read(to, room, wait_ms); }

 private:
  std::unique_ptr<RawFile> file_;
};

// What gzip and zstd share: a block of compressed input, and the rule that the end of the file inside a stream is
// damage.
class Decompressor : public ByteReader {
 public:
  explicit Decompressor(std::unique_ptr<RawFile> file) : file_(std::move(file)), in_(kInputBlock) {}

  Result<Read> read(char* to, size_t room, int wait_ms) final {
    for (;;) {
      if (damage_) return tl::unexpected<Error>(*damage_);
      if (at_ == end_ && !flush_pending_) {
        FB_TRY(const Read r, file_->read(in_.data(), in_.size(), wait_ms));
        if (r.got == Got::nothing_yet) return r;
        if (r.got == Got::end) {
          if (between_streams_ && any_stream_) return Read{Got::end, 0};
          return fail(ErrorCode::corrupt, std::string("the ") + kind() + " stream is truncated", file_->path());
        }
        at_ = 0;
        end_ = r.count;
      }
      size_t made = 0;
      const char* broken = decompress(to, room, made);
      if (broken != nullptr) {
        damage_ = Error{ErrorCode::corrupt, Retry::no, std::string("the ") + kind() + " stream is damaged: " + broken,
                        file_->path()};
      }
      if (made > 0) return Read{Got::bytes, made};
    }
  }

 protected:
  virtual const char* kind() const = 0;
  // Takes from in_[at_, end_), writes to `to`, sets `made`. Returns what is broken, or nothing.
  virtual const char* decompress(char* to, size_t room, size_t& made) = 0;

  std::unique_ptr<RawFile> file_;
  std::vector<char> in_;
  size_t at_ = 0;
  size_t end_ = 0;
  bool between_streams_ = true;  // not inside a member or frame
  bool any_stream_ = false;      // at least one was complete
  bool flush_pending_ = false;   // the library holds output that found no room
  std::optional<Error> damage_;
};

class GzipReader final : public Decompressor {
 public:
  explicit GzipReader(std::unique_ptr<RawFile> file) : Decompressor(std::move(file)) {}
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;
  ~GzipReader() override {
    if (usable_) inflateEnd(&z_);
  }
  bool start() {
    usable_ = inflateInit2(&z_, 15 + 16) == Z_OK;  // 16: gzip framing only
    return usable_;
  }

 private:
  const char* kind() const override { return "gzip"; }

  const char* decompress(char* to, size_t room, size_t& made) override {
    if (between_streams_ && any_stream_) {
      // Tools pad the end of an archive with zeros; they are no new member.
      while (at_ < end_ && in_[at_] == 0) ++at_;
      if (at_ == end_) return nullptr;
      if (inflateReset(&z_) != Z_OK) return "out of memory";
    }
    between_streams_ = false;
    z_.next_in = reinterpret_cast<Bytef*>(in_.data() + at_);
    z_.avail_in = static_cast<uInt>(end_ - at_);
    z_.next_out = reinterpret_cast<Bytef*>(to);
    const auto offered = static_cast<uInt>(std::min<size_t>(room, 1u << 30));
    z_.avail_out = offered;
    const int rc = inflate(&z_, Z_NO_FLUSH);
    at_ = end_ - z_.avail_in;
    made = offered - z_.avail_out;
    flush_pending_ = rc == Z_OK && z_.avail_out == 0;
    if (rc == Z_STREAM_END) {
      between_streams_ = true;
      any_stream_ = true;
      return nullptr;
    }
    if (rc == Z_OK || rc == Z_BUF_ERROR) return nullptr;  // BUF_ERROR: it only wants more input
    return z_.msg != nullptr ? z_.msg : "not gzip data";
  }

  z_stream z_{};
  bool usable_ = false;
};

class ZstdReader final : public Decompressor {
 public:
  explicit ZstdReader(std::unique_ptr<RawFile> file) : Decompressor(std::move(file)), stream_(ZSTD_createDStream()) {}
  ZstdReader(const ZstdReader&) = delete;
  ZstdReader& operator=(const ZstdReader&) = delete;
  ~ZstdReader() override { ZSTD_freeDStream(stream_); }
  bool start() {
    // A frame may ask for a huge window; 128 MiB is what the zstd tool itself takes without being told.
    return stream_ != nullptr && ZSTD_isError(ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, 27)) == 0;
  }

 private:
  const char* kind() const override { return "zstd"; }

  const char* decompress(char* to, size_t room, size_t& made) override {
    ZSTD_inBuffer in{in_.data(), end_, at_};
    ZSTD_outBuffer out{to, room, 0};
    between_streams_ = false;
    const size_t rc = ZSTD_decompressStream(stream_, &out, &in);
    at_ = in.pos;
    made = out.pos;
    if (ZSTD_isError(rc) != 0) return ZSTD_getErrorName(rc);
    flush_pending_ = rc != 0 && out.pos == out.size;
    if (rc == 0) {
      between_streams_ = true;
      any_stream_ = true;
    }
    return nullptr;
  }

  ZSTD_DStream* stream_;
};

bool is_gzip(std::string_view head) {
  return head.substr(0, 2) == "\x1f\x8b";
}
bool is_zstd(std::string_view head) {
  return head.substr(0, 4) == "\x28\xb5\x2f\xfd";
}

template <class Reader>
Result<std::unique_ptr<ByteReader>> started(std::unique_ptr<RawFile> file) {
  auto reader = std::make_unique<Reader>(std::move(file));
  if (!reader->start()) return fail(ErrorCode::limit, "no memory to decompress with");
  return std::unique_ptr<ByteReader>(std::move(reader));
}

Result<std::unique_ptr<ByteReader>> choose(std::unique_ptr<RawFile> file) {
  const bool named_gzip = file->path().ends_with(".gz");
  const bool named_zstd = file->path().ends_with(".zst");
  FB_TRY(std::string_view head, file->peek(1));
  if (head.starts_with('\x1f') || head.starts_with('\x28')) {
    FB_TRY(head, file->peek(4));
  }
  if (named_gzip || (!named_zstd && is_gzip(head))) return started<GzipReader>(std::move(file));
  if (named_zstd || is_zstd(head)) return started<ZstdReader>(std::move(file));
  return std::unique_ptr<ByteReader>(std::make_unique<PlainReader>(std::move(file)));
}

// A pipe shows what it is only when its first bytes come.
class PipeReader final : public ByteReader {
 public:
  explicit PipeReader(std::unique_ptr<RawFile> file) : file_(std::move(file)) {}
  Result<Read> read(char* to, size_t room, int wait_ms) override {
    if (!reader_) {
      FB_TRY(const bool something, file_->ready(wait_ms));
      if (!something) return Read{Got::nothing_yet, 0};
      FB_TRY(reader_, choose(std::move(file_)));
    }
    return reader_->read(to, room, wait_ms);
  }

 private:
  std::unique_ptr<RawFile> file_;
  std::unique_ptr<ByteReader> reader_;
};

}  // namespace

Result<std::unique_ptr<ByteReader>> ByteReader::open(const std::string& path) {
  if (path == "-") {
    struct stat st {};
    const bool regular = ::fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode);
    auto file = std::make_unique<RawFile>(STDIN_FILENO, "standard input", !regular, false);
    return std::unique_ptr<ByteReader>(std::make_unique<PipeReader>(std::move(file)));
  }
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const int why = errno;
    return fail(why == ENOENT || why == ENOTDIR ? ErrorCode::not_found : ErrorCode::io, "cannot open: " + reason(why),
                path);
  }
  struct stat st {};
  const bool known = ::fstat(fd, &st) == 0;
  const bool regular = known && S_ISREG(st.st_mode);
  auto file = std::make_unique<RawFile>(fd, path, !regular, true);
  if (known && S_ISDIR(st.st_mode)) return fail(ErrorCode::invalid_argument, "is a folder, not a file", path);
  if (!regular) return std::unique_ptr<ByteReader>(std::make_unique<PipeReader>(std::move(file)));
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  return choose(std::move(file));
}

}  // namespace fb
