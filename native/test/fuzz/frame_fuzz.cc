// Channels::open of a replica, a client and an operator, sealed and unsealed, fed with a script of datagrams: raw
// bytes, well-formed frames with arbitrary fields and bodies (unsealed: these reach the fragments), and frames that a
// real peer sealed, perhaps with one byte changed afterwards.
#include <cstdlib>

#include "wire/channel.h"

using namespace squall;
using namespace squall::wire;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

struct Input {
  const uint8_t* at;
  size_t left;
  uint8_t byte() { return left ? left--, *at++ : 0; }
  uint16_t word() { const uint8_t low = byte(); return static_cast<uint16_t>(low | byte() << 8); }
  Bytes take(size_t n) {
    n = std::min(n, left);
    const Bytes out(at, n);
    at += n;
    left -= n;
    return out;
  }
};

constexpr uint64_t kGroup = 5;
constexpr Key kSecret{1, 2, 3};
constexpr LifeId kLives[] = {{}, {1}, {2}};
constexpr Salt kOwnSalt{9, 9};

ChannelConfig config(Role role, uint64_t self, bool sealed) {
  static const Key client = clientKey(kSecret, 1);
  // Small limits, so that short inputs reach evictions.
  return {role, kGroup, self, role == Role::Client ? client : kSecret, sealed, 512,
          {.maxStreams = 3, .maxMessageBytes = 40'000, .maxControlBytes = 200'000, .reassemblyBytes = 64'000, .reassembliesPerStream = 3}};
}

struct Run {
  Role role;
  bool sealed;
  Channels subject;
  Channels peer;      // a client towards a replica, a replica towards the others
  Opened out;

  Run(Role r, bool s)
      : role(r), sealed(s), subject(config(r, r == Role::Replica ? 0 : 1, s), kOwnSalt),
        peer(r == Role::Replica ? config(Role::Client, 1, s) : config(Role::Replica, 1, s), Salt{7}) {
    subject.setLife(kLives[1]);
    peer.setLife(kLives[1]);
    if (role == Role::Replica) return;
    // The peer must know the subject to answer it.
    uint8_t hello[kFrameOverhead];
    const auto type = role == Role::Client ? MessageType::Hello : MessageType::BootstrapPrepare;
    peer.open({hello, subject.seal(hello, 0, type, Target::all())}, {}, out);
    require(out.dropped == DropReason::None);
  }

  void feed(Bytes datagram) {
    while (!datagram.empty()) {
      // A copy of exactly this size: a read beyond it is an error even inside a larger datagram.
      const std::vector<uint8_t> copy(datagram.begin(), datagram.end());
      subject.open(copy, {}, out);
      require(out.frameBytes <= copy.size());
      require(out.dropped < DropReason::Count);
      if (out.dropped == DropReason::None && out.type != MessageType::Reject) {
        require(subject.streamLive(out.stream) && subject.streamGeneration(out.stream) > 0);
        require(subject.stream(out.stream).sender == out.sender);
      }
      if (out.complete) {
        require(out.dropped == DropReason::None);
        uint8_t sum = 0;
        for (uint8_t b : out.body) sum ^= b;
        volatile uint8_t sink = sum;
        (void)sink;
      } else {
        require(out.dropped != DropReason::None || out.body.empty());
      }
      if (!out.frameBytes) break;
      datagram = datagram.subspan(out.frameBytes);
    }
  }

  void wellFormed(Input& in) {
    FrameHeader h{};
    h.version = kWireVersion;
    h.type = in.byte();
    h.group = kGroup;
    h.destination = role == Role::Replica ? kAllReplicas : load<uint64_t>(kOwnSalt.data());
    h.sender = in.byte() % 12;
    h.salt[0] = in.byte();
    h.counter = in.word();
    const size_t claimed = in.word() % 2048;
    uint8_t prefix[Channels::kFragmentHeaderBytes] = {};
    const bool fragment = h.type & kFragmentBit;
    if (fragment) {   // small numbers, so that fragments meet
      prefix[0] = in.byte() % 4;
      store<uint32_t>(prefix + 8, in.word() * (in.byte() % 4 + 1));
      store<uint32_t>(prefix + 12, in.word() * (in.byte() % 4 + 1));
    }
    const size_t head = fragment ? sizeof prefix : 0;
    std::vector<uint8_t> frame(kFrameOverhead + head + claimed);
    std::memcpy(frame.data() + kHeaderBytes, prefix, head);
    const Bytes body = in.take(std::min<size_t>(claimed, in.byte()));
    if (!body.empty()) std::memcpy(frame.data() + kHeaderBytes + head, body.data(), body.size());
    h.length = static_cast<uint16_t>(frame.size());
    writeHeader(frame.data(), h);
    feed(frame);
  }

  void sealedByPeer(Input& in) {
    const auto type = static_cast<MessageType>(in.byte());
    std::vector<uint8_t> body(in.word() % 4096, in.byte());
    const Bytes bytes = in.take(in.byte());
    std::copy_n(bytes.begin(), std::min(bytes.size(), body.size()), body.begin());
    const uint64_t key = in.byte() % 4;
    const uint8_t lost = in.byte(), flip = in.byte();
    const uint16_t where = in.word();
    std::vector<uint8_t> frame;
    int index = 0;
    peer.sealMessage(type, role == Role::Replica ? Target::all() : Target::back(0), body, key,
                     [&](size_t length) { frame.resize(length); return frame.data(); },
                     [&](size_t length) {
                       frame.resize(length);
                       if (lost >> (index++ % 8) & 1) return;
                       const size_t at = where % length;
                       frame[at] ^= flip;
                       feed(frame);
                       const bool stamp = at >= kAuthenticatedBytes && at < kHeaderBytes;
                       if (sealed && flip && !stamp) require(out.dropped != DropReason::None || out.type == MessageType::Reject);
                     });
  }

  void answer(Input& in) {
    uint8_t frame[512];
    const size_t body = in.word() % sizeof frame;
    const auto type = static_cast<MessageType>(in.byte());
    std::memset(frame, 0, sizeof frame);
    const size_t length = body <= subject.maxBody() ? subject.seal(frame, body, type, Target::back(in.byte() % 24)) : 0;
    require(length == 0 || length == body + kFrameOverhead);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  Input in{data, size};
  const uint8_t mode = in.byte();
  Run run(static_cast<Role>(mode % 3), mode & 0x80);
  while (in.left) {
    switch (in.byte() % 6) {
      case 0: run.feed(in.take(in.word() % 2048)); break;
      case 1:
      case 2: run.wellFormed(in); break;
      case 3: run.sealedByPeer(in); break;
      case 4: run.answer(in); break;
      case 5: {
        const uint8_t lives = in.byte();
        run.subject.setLife(kLives[lives % 3]);
        run.peer.setLife(kLives[lives / 3 % 3]);
      }
    }
  }
  return 0;
}
