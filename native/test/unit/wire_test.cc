// Frame headers and the primitives of OpenSSL against published vectors.
#include <string>

#include "check.h"
#include "wire/crypto.h"
#include "wire/frame.h"
#include "wire/replay.h"

using namespace squall;
using namespace squall::wire;

namespace {

std::vector<uint8_t> hex(const std::string& text) {
  std::vector<uint8_t> out;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    out.push_back(static_cast<uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  return out;
}
std::string toHex(Bytes bytes) {
  std::string out;
  char digits[3];
  for (uint8_t b : bytes) {
    std::snprintf(digits, sizeof digits, "%02x", b);
    out += digits;
  }
  return out;
}
Bytes text(const char* s) { return {reinterpret_cast<const uint8_t*>(s), std::strlen(s)}; }

std::vector<uint8_t> plainFrame(size_t body) {
  std::vector<uint8_t> frame(kFrameOverhead + body, 0xab);
  FrameHeader h{kWireVersion, static_cast<uint8_t>(MessageType::Request), static_cast<uint16_t>(frame.size()),
                0x01020304, 5, 6, 7, {8, 9}, 10};
  writeHeader(frame.data(), h);
  return frame;
}

}  // namespace

TEST(header_round_trip) {
  const auto frame = plainFrame(3);
  FrameHeader h;
  CHECK_EQ(parseHeader(frame, h), DropReason::None);
  CHECK_EQ(h.type, static_cast<uint8_t>(MessageType::Request));
  CHECK_EQ(h.length, frame.size());
  CHECK_EQ(h.keyHash, 0x01020304u);
  CHECK_EQ(h.group, 5u);
  CHECK_EQ(h.destination, 6u);
  CHECK_EQ(h.sender, 7u);
  CHECK_EQ(h.salt[0], 8);
  CHECK_EQ(h.salt[1], 9);
  CHECK_EQ(h.counter, 10u);
  for (size_t i = kAuthenticatedBytes; i < kHeaderBytes; i++) CHECK_EQ(frame[i], 0);
}

TEST(header_truncated_prefixes) {
  const auto frame = plainFrame(5);
  for (size_t n = 0; n < frame.size(); n++) {
    // A copy of exactly n bytes, so that the address sanitizer sees any read beyond it.
    std::vector<uint8_t> prefix(frame.begin(), frame.begin() + n);
    FrameHeader h;
    CHECK_EQ(parseHeader(prefix, h), DropReason::Truncated);
  }
}

TEST(header_drop_reasons) {
  FrameHeader h;
  auto frame = plainFrame(0);
  frame[0] = kWireVersion + 1;
  CHECK_EQ(parseHeader(frame, h), DropReason::BadVersion);
  CHECK_EQ(parseHeader(frame, h, kWireVersion + 1), DropReason::None);    // one that understands the next version too
  frame[0] = kOldestWireVersion - 1;
  CHECK_EQ(parseHeader(frame, h), DropReason::BadVersion);
  frame = plainFrame(0);
  for (int type = 0; type < 256; type++) {
    frame[1] = static_cast<uint8_t>(type);
    Sender sender;
    CHECK_EQ(parseHeader(frame, h), senderOf(frame[1], sender) ? DropReason::None : DropReason::UnknownType);
  }
  frame = plainFrame(0);
  store<uint16_t>(frame.data() + 2, kFrameOverhead - 1);
  CHECK_EQ(parseHeader(frame, h), DropReason::Truncated);
  store<uint16_t>(frame.data() + 2, kFrameOverhead + 1);
  CHECK_EQ(parseHeader(frame, h), DropReason::Truncated);
  std::vector<uint8_t> big(70'000);
  std::memcpy(big.data(), frame.data(), kHeaderBytes);
  store<uint16_t>(big.data() + 2, kMaxFrameBytes + 1);
  CHECK_EQ(parseHeader(big, h), DropReason::Oversized);
  store<uint16_t>(big.data() + 2, kMaxFrameBytes);
  CHECK_EQ(parseHeader(big, h), DropReason::None);
}

TEST(type_table) {
  int known = 0;
  for (int type = 0; type < 128; type++) {
    Sender whole{}, part{};
    const bool isKnown = senderOf(static_cast<uint8_t>(type), whole);
    known += isKnown;
    const bool partKnown = senderOf(static_cast<uint8_t>(type | kFragmentBit), part);
    CHECK_EQ(partKnown, isKnown && type != static_cast<int>(MessageType::Reject));
    if (partKnown) CHECK_EQ(whole, part);
    CHECK_EQ(isOutsideLife(static_cast<uint8_t>(type)), isOutsideLife(static_cast<uint8_t>(type | kFragmentBit)));
  }
  CHECK_EQ(known, 42);
  Sender sender;
  CHECK(senderOf(static_cast<uint8_t>(MessageType::Blank), sender) && sender == Sender::ReplicaToOperator);
  CHECK(senderOf(static_cast<uint8_t>(MessageType::StatusRequest), sender) && sender == Sender::Client);
  CHECK(isOutsideLife(static_cast<uint8_t>(MessageType::Recovering)));
  CHECK(!isOutsideLife(static_cast<uint8_t>(MessageType::Request)));
  for (MessageType type : {MessageType::NewEpoch, MessageType::FetchEpochState, MessageType::EpochState}) {
    CHECK(crossesEpochs(static_cast<uint8_t>(type)) && crossesEpochs(static_cast<uint8_t>(type) | kFragmentBit));
    CHECK(isOutsideLife(static_cast<uint8_t>(type)));
  }
  CHECK(!crossesEpochs(static_cast<uint8_t>(MessageType::SnapshotChunk)));
}

TEST(sha256_vectors) {
  CHECK(cryptoAvailable());
  Hash h;
  sha256({}, h);
  CHECK_EQ(toHex(h), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  sha256(text("abc"), h);
  CHECK_EQ(toHex(h), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const char* longer = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  for (size_t cut = 0; cut <= std::strlen(longer); cut++) {
    sha256(text(longer).first(cut), text(longer).subspan(cut), h);
    CHECK_EQ(toHex(h), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  }
  Sha256 million;
  std::vector<uint8_t> a(1000, 'a');
  for (int round = 0; round < 2; round++) {
    million.reset();
    for (int i = 0; i < 1000; i++) million.update(a);
    million.finish(h);
    CHECK_EQ(toHex(h), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  }
}

TEST(summary_hash_is_sha256_from_another_initial_value) {
  // From SHA-256's own initial value it is SHA-256.
  const uint8_t initial[32] = {0x6a, 0x09, 0xe6, 0x67, 0xbb, 0x67, 0xae, 0x85, 0x3c, 0x6e, 0xf3, 0x72, 0xa5, 0x4f, 0xf5, 0x3a,
                               0x51, 0x0e, 0x52, 0x7f, 0x9b, 0x05, 0x68, 0x8c, 0x1f, 0x83, 0xd9, 0xab, 0x5b, 0xe0, 0xcd, 0x19};
  std::vector<uint8_t> record;
  for (size_t length = 0; length < 1'000; length++) {
    Hash expected, found;
    sha256(record, expected);
    summaryHash(initial, record, found);
    CHECK_EQ(toHex(found), toHex(expected));
    record.push_back(static_cast<uint8_t>(length * 7 + 1));
  }
  Hash zero{}, a, b;
  summaryHash(zero.data(), record, a);
  summaryHash(a.data(), record, b);
  CHECK(a != b);
  summaryHash(a.data(), record, a);
  CHECK(a == b);
}

TEST(hmac_vectors) {  // RFC 4231, cases 1, 2 and 6
  Hash h;
  hmacSha256(std::vector<uint8_t>(20, 0x0b), text("Hi There"), h);
  CHECK_EQ(toHex(h), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  hmacSha256(text("Jefe"), text("what do ya want for nothing?"), h);
  CHECK_EQ(toHex(h), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  const std::vector<uint8_t> longKey(131, 0xaa);
  hmacSha256(longKey, text("Test Using Larger Than Block-Size Key - Hash Key First"), h);
  CHECK_EQ(toHex(h), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(hkdf_vector) {  // RFC 5869, case 3: empty salt and info; its first 32 bytes
  Key key;
  hkdf(std::vector<uint8_t>(22, 0x0b), {}, key);
  CHECK_EQ(toHex(key), "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d");
}

TEST(aes_gcm_vectors) {
  // The first two cases of the GCM specification: key, nonce and data of zeros.
  const std::vector<uint8_t> zero(16, 0);
  Aead aead;
  CHECK(!aead.ready());
  uint8_t out[16], tag[16];
  CHECK(!aead.seal(0, {}, {}, out, tag));
  CHECK(!aead.open(0, {}, {}, out, tag));
  CHECK(aead.init(zero));
  CHECK(aead.seal(0, {}, {}, out, tag));
  CHECK_EQ(toHex(tag), "58e2fccefa7e3061367f1d57a4e7455a");
  CHECK(aead.seal(0, {}, zero, out, tag));
  CHECK_EQ(toHex(out), "0388dace60b6a392f328c2b971b2fe78");
  CHECK_EQ(toHex(tag), "ab6e47d42cec13bdf53a67b21257bddf");
  uint8_t back[16];
  CHECK(aead.open(0, {}, out, back, tag));
  CHECK_EQ(toHex(back), toHex(zero));
  CHECK(!aead.open(1, {}, out, back, tag));
  CHECK(!aead.open(0, text("x"), out, back, tag));
  tag[3] ^= 1;
  CHECK(!aead.open(0, {}, out, back, tag));
}

TEST(aead_contexts_are_reused) {
  const auto key1 = hex("000102030405060708090a0b0c0d0e0f"), key2 = hex("100102030405060708090a0b0c0d0e0f");
  Aead a, b;
  CHECK(a.init(key1));
  CHECK(b.init(key1, Aead::Use::OpenOnly));
  std::vector<uint8_t> body(100), tag(16);
  for (uint64_t counter = 1; counter < 50; counter++) {
    std::fill(body.begin(), body.end(), static_cast<uint8_t>(counter));
    CHECK(a.seal(counter, text("header"), body, body.data(), tag.data()));
    CHECK(body[0] != static_cast<uint8_t>(counter) || body[1] != body[0]);
    if (counter % 3 == 0) {
      tag[0] ^= 1;
      CHECK(!b.open(counter, text("header"), body, body.data(), tag.data()));
      continue;   // a failure must not spoil the next frame
    }
    CHECK(b.open(counter, text("header"), body, body.data(), tag.data()));
    for (uint8_t byte : body) CHECK_EQ(byte, static_cast<uint8_t>(counter));
  }
  CHECK(!b.seal(1, {}, body, body.data(), tag.data()));
  CHECK(b.init(key2, Aead::Use::OpenOnly));
  CHECK(a.seal(99, {}, body, body.data(), tag.data()));
  CHECK(!b.open(99, {}, body, body.data(), tag.data()));
  Aead moved(std::move(a));
  CHECK(!a.ready() && moved.ready());
}

TEST(replay_window) {
  ReplayWindow w;
  CHECK(!w.accept(0));
  CHECK(w.accept(1));
  CHECK(!w.accept(1));
  CHECK(w.accept(5));
  for (uint64_t c : {2, 3, 4}) CHECK(w.accept(c));
  for (uint64_t c : {1, 2, 3, 4, 5}) CHECK(!w.accept(c));
  CHECK(w.accept(5 + ReplayWindow::kBits - 1));
  CHECK(!w.accept(5));
  CHECK(w.accept(6));
  CHECK(w.accept(100'000));
  CHECK(!w.accept(100'000 - ReplayWindow::kBits));
  CHECK(w.accept(100'000 - ReplayWindow::kBits + 1));
  CHECK(w.accept(~0ull));
  CHECK(!w.accept(~0ull));
  CHECK(w.accept(~0ull - 1));
}

TEST(replay_window_against_a_plain_set) {
  ReplayWindow w;
  std::vector<bool> seen(200'000);
  seen[0] = true;
  uint64_t newest = 0, random = 1;
  for (int i = 0; i < 100'000; i++) {
    random = random * 6364136223846793005ull + 1442695040888963407ull;
    const uint64_t span = (random >> 60) == 0 ? 9000 : (random >> 60) < 4 ? 200 : 8;
    const uint64_t c = newest + (random >> 33) % span + 1 > span / 2 ? newest + (random >> 33) % span + 1 - span / 2 : 1;
    if (c >= seen.size()) break;
    const bool fresh = !seen[c] && c + ReplayWindow::kBits > newest;
    CHECK_EQ(w.accept(c), fresh);
    if (fresh) seen[c] = true;
    newest = std::max(newest, c);
    CHECK_EQ(w.newest(), newest);
  }
  CHECK(newest > 50'000);
}
