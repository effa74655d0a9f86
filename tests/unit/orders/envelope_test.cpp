// Envelopes: one spelling for one meaning, and nothing but what was signed is read.
#include "actions/endpoint/envelope.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "engine/base/digest.h"

namespace fb::endpoint {
namespace {

class Keys : public ::testing::Test {
 protected:
  Keys() {
    std::string name = (std::filesystem::temp_directory_path() / "fb-orders-XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    signer_ = make("key");
  }
  ~Keys() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  std::shared_ptr<const Signer> make(const std::string& name) const {
    EXPECT_TRUE(Signer::create(folder_ + "/" + name));
    auto loaded = Signer::load(folder_ + "/" + name);
    EXPECT_TRUE(loaded);
    return *loaded;
  }
  KeySet trusted() const { return {{signer_->kid(), signer_->public_key()}}; }
  Envelope full() const {
    Envelope e;
    e.order = Order::isolate;
    e.agent_id = "agent-1";
    e.action_id = "action-1";
    e.generation = 7;
    e.epoch = 3;
    e.revision = 12;
    e.issued_at_ms = 1'700'000'000'123;
    e.expires_at_ms = 1'700'000'100'000;
    e.lease_ms = 3'600'000;
    e.nonce = std::string("\0\1\2\3\4\5\6\7\x80\x90\xa0\xb0\xc0\xd0\xe0\xff", 16);
    e.comment = "why \xC3\xA9\n\"quoted\"";
    e.break_glass_sha256 = break_glass_hash(break_glass_code("secret", "agent-1", 7), "agent-1", 7);
    e.policy.exceptions = {"192.0.2.0/24", "2001:db8::/48"};
    e.policy.services = {"kafka.example:9092"};
    e.policy.dns = {"192.0.2.53"};
    e.policy.dhcp = false;
    e.policy.rollback = true;
    e.policy.message = "call us";
    e.trust = trusted();
    return e;
  }
  std::string folder_;
  std::shared_ptr<const Signer> signer_;
};

TEST_F(Keys, EveryFieldComesBackAsItWasSigned) {
  const Envelope e = full();
  const auto back = open_envelope(signer_->sign(e), trusted());
  ASSERT_TRUE(back) << back.error().describe();
  EXPECT_EQ(back->order, e.order);
  EXPECT_EQ(back->agent_id, e.agent_id);
  EXPECT_EQ(back->action_id, e.action_id);
  EXPECT_EQ(back->generation, 7);
  EXPECT_EQ(back->epoch, 3);
  EXPECT_EQ(back->revision, 12);
  EXPECT_EQ(back->issued_at_ms, e.issued_at_ms);
  EXPECT_EQ(back->expires_at_ms, e.expires_at_ms);
  EXPECT_EQ(back->lease_ms, e.lease_ms);
  EXPECT_EQ(back->nonce, e.nonce);
  EXPECT_EQ(back->comment, e.comment);
  EXPECT_EQ(back->break_glass_sha256, e.break_glass_sha256);
  EXPECT_EQ(back->policy, e.policy);
  EXPECT_EQ(back->trust, e.trust);
  for (const Order order : {Order::isolate, Order::release, Order::update_allow_set, Order::renew, Order::status}) {
    Envelope other = e;
    other.order = order;
    const auto read = read_canonical(canonical_bytes(other));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->order, order);
  }
}

TEST_F(Keys, EveryFlippedBitAtEveryPositionIsRefused) {
  const std::string text = signer_->sign(full());
  ASSERT_TRUE(open_envelope(text, trusted()));
  for (size_t at = 0; at < text.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = text;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      EXPECT_FALSE(open_envelope(changed, trusted())) << at << " bit " << bit;
    }
  }
}

TEST_F(Keys, EveryTruncationAndEveryAdditionIsRefused) {
  const std::string text = signer_->sign(full());
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(open_envelope(text.substr(0, size), trusted())) << size;
  }
  for (const char* tail : {" ", "\n", "A", "=", ".", ".AAAA"}) EXPECT_FALSE(open_envelope(text + tail, trusted()));
  const std::string bytes = canonical_bytes(full());
  ASSERT_TRUE(read_canonical(bytes));
  for (size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(read_canonical(bytes.substr(0, size))) << size;
  EXPECT_FALSE(read_canonical(bytes + '\0'));
  EXPECT_FALSE(open_envelope(std::string(kMaxEnvelopeText + 1, 'A'), trusted()));
}

TEST_F(Keys, AnotherKeyOrAnotherKidIsRefused) {
  const auto other = make("other");
  const std::string text = signer_->sign(full());
  const KeySet others = {{other->kid(), other->public_key()}};
  EXPECT_EQ(open_envelope(text, others).error().code, ErrorCode::refused);
  EXPECT_EQ(open_envelope(text, {}).error().code, ErrorCode::refused);
  // Another key under the signer's name, and the signer's text under another's name.
  EXPECT_EQ(open_envelope(text, {{signer_->kid(), other->public_key()}}).error().code, ErrorCode::refused);
  KeySet both = trusted();
  both.insert(others.begin(), others.end());
  std::string renamed = text;
  renamed.replace(5, other->kid().size(), other->kid());
  EXPECT_EQ(open_envelope(renamed, both).error().code, ErrorCode::refused);
  EXPECT_TRUE(open_envelope(text, both));
  EXPECT_TRUE(open_envelope(other->sign(full()), both)) << "two keys hold during rotation";
}

TEST_F(Keys, AnotherVersionIsRefused) {
  std::string text = signer_->sign(full());
  text[3] = '0';
  EXPECT_EQ(open_envelope(text, trusted()).error().code, ErrorCode::unsupported);
  text[3] = '2';
  EXPECT_EQ(open_envelope(text, trusted()).error().code, ErrorCode::unsupported);
  std::string bytes = canonical_bytes(full());
  bytes[9] = '0';
  EXPECT_EQ(read_canonical(bytes).error().code, ErrorCode::unsupported);
}

// Where the fields are in the bytes: behind the magic, each text has its length before it.
std::string number(uint64_t n) {
  std::string out;
  for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(n >> shift & 0xff);
  return out;
}
std::string replaced(std::string bytes, const std::string& from, const std::string& to) {
  const size_t at = bytes.find(from);
  EXPECT_NE(at, std::string::npos);
  return bytes.replace(at, from.size(), to);
}

TEST_F(Keys, WhatIsNotCanonicalIsRefused) {
  Envelope e = full();
  e.trust.clear();
  const std::string bytes = canonical_bytes(e);
  EXPECT_FALSE(read_canonical(replaced(bytes, number(7) + "isolate", number(7) + "ISOLATE")));
  EXPECT_FALSE(read_canonical(replaced(bytes, number(7) + "isolate", number(6) + "isolat")));
  EXPECT_FALSE(read_canonical(replaced(bytes, number(7) + "agent-1", number(uint64_t{1} << 63) + "agent-1")));
  EXPECT_FALSE(read_canonical(replaced(bytes, number(7) + "agent-1", number(0)))) << "no agent";
  EXPECT_FALSE(read_canonical(replaced(bytes, number(16) + e.nonce, number(15) + e.nonce.substr(1))));
  // A flag is 0 or 1; a list may not promise more entries than there are bytes.
  EXPECT_FALSE(read_canonical(
      replaced(bytes, std::string("\0\1", 2) + number(7) + "call us", std::string("\0\2", 2) + number(7) + "call us")));
  EXPECT_FALSE(read_canonical(replaced(bytes, number(2) + number(12), number(uint64_t{1} << 40) + number(12))));
  EXPECT_FALSE(read_canonical(replaced(bytes, number(3) + number(12), number(~uint64_t{0}) + number(12))));
}

TEST_F(Keys, KeysOfARotationStandInOrderAndUnderTheirNames) {
  const auto other = make("other");
  Envelope e = full();
  e.trust.emplace(other->kid(), other->public_key());
  const std::string bytes = canonical_bytes(e);
  const auto entry = [](const std::string& kid, const PublicKey& key) {
    return number(kid.size()) + kid + number(key.size()) +
           std::string(reinterpret_cast<const char*>(key.data()), key.size());
  };
  const std::string first = entry(e.trust.begin()->first, e.trust.begin()->second);
  const std::string second = entry(e.trust.rbegin()->first, e.trust.rbegin()->second);
  ASSERT_TRUE(read_canonical(bytes));
  EXPECT_FALSE(read_canonical(replaced(bytes, first + second, second + first)));
  EXPECT_FALSE(read_canonical(replaced(bytes, first + second, first + first)));
  EXPECT_FALSE(read_canonical(replaced(bytes, first, entry(e.trust.begin()->first, e.trust.rbegin()->second))));
  EXPECT_FALSE(read_canonical(replaced(bytes, number(32), number(31))));
}

TEST_F(Keys, ThePolicysDigestTellsPoliciesApart) {
  std::set<std::string> digests;
  CutPolicy policy;
  digests.insert(digest(policy));
  policy.dhcp = false;
  digests.insert(digest(policy));
  policy.rollback = true;
  digests.insert(digest(policy));
  policy.exceptions = {"a", "b"};
  digests.insert(digest(policy));
  policy.exceptions = {"ab"};
  digests.insert(digest(policy));
  std::swap(policy.exceptions, policy.services);
  digests.insert(digest(policy));
  std::swap(policy.services, policy.dns);
  digests.insert(digest(policy));
  policy.message = "m";
  digests.insert(digest(policy));
  EXPECT_EQ(digests.size(), 8u);
  EXPECT_EQ(digest(policy), digest(CutPolicy(policy)));
}

TEST_F(Keys, AKeyFileIsMadeOnceAndClosedToOthers) {
  const std::string file = folder_ + "/key";
  EXPECT_EQ(Signer::create(file).error().code, ErrorCode::already_exists);
  struct stat facts {};
  ASSERT_EQ(::stat(file.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  EXPECT_EQ(signer_->kid(), key_id(signer_->public_key()));
  EXPECT_EQ(signer_->kid().size(), 16u);
  EXPECT_EQ((*Signer::load(file))->kid(), signer_->kid());
  EXPECT_EQ(Signer::load(folder_ + "/none").error().code, ErrorCode::not_found);
  std::ofstream(folder_ + "/broken") << "no key";
  EXPECT_EQ(Signer::load(folder_ + "/broken").error().code, ErrorCode::corrupt);
}

TEST(BreakGlassCode, BelongsToOneAgentAndOneGeneration) {
  std::set<std::string> codes;
  for (const char* agent : {"agent-1", "agent-2"}) {
    for (int64_t generation : {1, 2, 3}) codes.insert(break_glass_code("secret", agent, generation));
  }
  codes.insert(break_glass_code("another", "agent-1", 1));
  EXPECT_EQ(codes.size(), 7u);
  const std::string code = break_glass_code("secret", "agent-1", 1);
  EXPECT_EQ(code, break_glass_code("secret", "agent-1", 1));
  std::string letters;
  for (const char c : code) {
    if (c != '-') letters += c;
  }
  EXPECT_EQ(letters.size(), 26u) << "130 bits";
  EXPECT_EQ(letters.find_first_not_of("0123456789ABCDEFGHJKMNPQRSTVWXYZ"), std::string::npos);
}

TEST(BreakGlassCode, MayBeTypedInAnyCaseAndGrouping) {
  const std::string code = break_glass_code("secret", "agent-1", 1);
  const std::string hash = break_glass_hash(code, "agent-1", 1);
  std::string typed = " ";
  for (const char c : code) {
    if (c == '-') continue;
    typed += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    typed += ' ';
  }
  EXPECT_EQ(break_glass_hash(typed + "\n", "agent-1", 1), hash);
  EXPECT_NE(break_glass_hash(code, "agent-2", 1), hash);
  EXPECT_NE(break_glass_hash(code, "agent-1", 2), hash);
  for (size_t at = 0; at < code.size(); ++at) {
    std::string wrong = code;
    wrong[at] = wrong[at] == '7' ? '8' : '7';
    EXPECT_NE(break_glass_hash(wrong, "agent-1", 1), hash) << at;
  }
}

}  // namespace
}  // namespace fb::endpoint
