#include <gtest/gtest.h>

#include "api/multipart.h"

namespace fb::api {
namespace {

constexpr const char* kType = "multipart/form-data; boundary=XyZ";

std::string form(const std::string& content, const std::string& name = "rules.ndjson") {
  return "--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + name +
         "\"\r\nContent-Type: application/octet-stream\r\n\r\n" + content + "\r\n--XyZ--\r\n";
}

TEST(Multipart, ReadsPartsWithTheirNamesAndContent) {
  const std::string body =
      "--XyZ\r\ncontent-disposition: form-data; name=note\r\n\r\nhello\r\n"
      "--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\".ndjson\"\r\n\r\n{}\n--XyZ x\n"
      "\r\n--XyZ--";
  const auto parts = parse_form(kType, body);
  ASSERT_TRUE(parts) << parts.error().describe();
  ASSERT_EQ(parts->size(), 2u);
  EXPECT_EQ((*parts)[0].name, "note");
  EXPECT_FALSE((*parts)[0].is_file);
  EXPECT_EQ((*parts)[0].content, "hello");
  EXPECT_EQ((*parts)[1].file_name, "a \"b\".ndjson");
  EXPECT_EQ((*parts)[1].content, "{}\n--XyZ x\n");
}

TEST(Multipart, AnEmptyFileIsAPart) {
  const auto parts = parse_form("multipart/form-data; charset=utf-8; boundary=\"XyZ\"", form(""));
  ASSERT_TRUE(parts) << parts.error().describe();
  ASSERT_EQ(parts->size(), 1u);
  EXPECT_TRUE((*parts)[0].is_file);
  EXPECT_TRUE((*parts)[0].content.empty());
}

TEST(Multipart, RefusesEveryTruncationOfAForm) {
  const std::string whole = form("{\"a\":1}\n");
  ASSERT_TRUE(parse_form(kType, whole));
  for (size_t n = 0; n + 2 < whole.size(); ++n) {
    EXPECT_FALSE(parse_form(kType, std::string_view(whole).substr(0, n))) << n;
  }
}

TEST(Multipart, RefusesWhatIsNotAForm) {
  EXPECT_FALSE(parse_form("application/json", form("x")));
  EXPECT_FALSE(parse_form("multipart/form-data", form("x")));
  EXPECT_FALSE(parse_form("multipart/form-data; boundary=", form("x")));
  EXPECT_FALSE(parse_form("multipart/form-data; boundary=" + std::string(71, 'b'), form("x")));
  EXPECT_FALSE(parse_form("multipart/form-data; boundary=\"Xy", form("x")));
  EXPECT_FALSE(parse_form(kType, "preamble\r\n" + form("x")));
  EXPECT_FALSE(parse_form(kType, form("x") + "more"));
  EXPECT_FALSE(parse_form(kType, "--XyZ\r\nContent-Type: text/plain\r\n\r\nx\r\n--XyZ--\r\n"));
  EXPECT_FALSE(parse_form(kType, "--XyZ\r\nContent-Disposition: attachment; name=file\r\n\r\nx\r\n--XyZ--\r\n"));
  EXPECT_FALSE(parse_form(kType,
                          "--XyZ\r\nContent-Disposition: form-data; name=file\r\nContent-Transfer-Encoding: "
                          "base64\r\n\r\nx\r\n--XyZ--\r\n"));
  EXPECT_FALSE(parse_form(kType, "--XyZ\r\n" + std::string(8000, 'h') + "\r\n\r\nx\r\n--XyZ--\r\n"));
  std::string many;
  for (int i = 0; i < 17; ++i) many += "--XyZ\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n";
  EXPECT_FALSE(parse_form(kType, many + "--XyZ--"));
}

TEST(Multipart, TakesOneNdjsonFile) {
  net::Request request;
  request.headers["content-type"] = kType;
  request.body = form("{}\n");
  const auto file = uploaded_ndjson(request);
  ASSERT_TRUE(file) << file.error().describe();
  EXPECT_EQ(*file, "{}\n");
  request.body = form("{}\n", "rules.txt");
  ASSERT_FALSE(uploaded_ndjson(request));
  EXPECT_EQ(uploaded_ndjson(request).error().message, "Invalid file extension .txt");
  request.headers.clear();
  EXPECT_FALSE(uploaded_ndjson(request));
}

}  // namespace
}  // namespace fb::api
