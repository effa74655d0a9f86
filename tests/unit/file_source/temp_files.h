// A folder of one test's files, and what it takes to write them plain and compressed.
#pragma once

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace fb::test {

class TempFiles {
 public:
  TempFiles() {
    std::string pattern = (std::filesystem::temp_directory_path() / "fb_file_XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~TempFiles() { std::filesystem::remove_all(folder_); }
  TempFiles(const TempFiles&) = delete;
  TempFiles& operator=(const TempFiles&) = delete;

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string write(const std::string& name, std::string_view bytes) const {
    std::ofstream out(path(name), std::ios::binary);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return path(name);
  }
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
};

inline std::string gzip(std::string_view bytes) {
  z_stream z{};
  EXPECT_EQ(Z_OK, deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY));
  std::string out(deflateBound(&z, static_cast<uLong>(bytes.size())), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(Z_STREAM_END, deflate(&z, Z_FINISH));
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

inline std::string zstd(std::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 3));
  return out;
}

// `count` lines {"n":0,...}, each about `size` bytes, with text that does not compress to nothing.
inline std::string numbered_lines(int count, size_t size = 40) {
  std::string all;
  uint32_t state = 12345;
  for (int i = 0; i < count; ++i) {
    std::string line = "{\"n\":" + std::to_string(i) + ",\"x\":\"";
    while (line.size() + 2 < size) {
      state = state * 1664525u + 1013904223u;
      line.push_back(static_cast<char>('a' + (state >> 24) % 26));
    }
    all += line + "\"}\n";
  }
  return all;
}

}  // namespace fb::test
