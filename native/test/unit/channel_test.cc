// Channels: who may speak to whom, what is dropped and why, streams and lives.
#include <set>

#include "check.h"
#include "cluster.h"

using namespace squall;
using namespace squall::wire;
using enum squall::MessageType;

namespace {

/// Makes `at` know `from` and gives its stream there.
uint32_t introduce(Channels& from, Channels& at, MessageType type) {
  const Opened o = open(at, sealOne(from, type, Target::all(), bodyOf(4)));
  CHECK_EQ(o.dropped, DropReason::None);
  return o.stream;
}
void reaches(Channels& from, Channels& at, MessageType type, Target target, uint64_t sender) {
  for (size_t length : {size_t{0}, size_t{1}, size_t{64}, from.maxBody()}) {
    const auto body = bodyOf(length);
    const Frame frame = sealOne(from, type, target, body);
    CHECK_EQ(frame.size(), length + kFrameOverhead);
    const Opened o = open(at, frame);
    CHECK_EQ(o.dropped, DropReason::None);
    CHECK(o.complete);
    CHECK_EQ(o.type, type);
    CHECK_EQ(o.sender, sender);
    CHECK_EQ(o.frameBytes, frame.size());
    CHECK(same(o.body, body));
    CHECK(at.streamLive(o.stream));
    CHECK(at.stream(o.stream).salt == from.salt());
    CHECK_EQ(at.stream(o.stream).sender, sender);
    CHECK_EQ(open(at, frame).dropped, DropReason::Replayed);
  }
}
void everyPair(const Options& options) {
  auto r0 = replica(0, options), r1 = replica(1, options), c = client(42, options), op = oper(9, options);
  for (auto type : {Hello, Request, StatusRequest}) {
    reaches(*c, *r0, type, Target::all(), 42);
    reaches(*c, *r0, type, Target::one(0), 42);
  }
  for (auto type : {Sync, SyncReply, Commit, StartReconciliation, Reconcile, StartView, StartViewRequest, InView, Fetch,
                    FetchReply, Fault, Recovering}) {
    reaches(*r1, *r0, type, Target::all(), 1);
    reaches(*r1, *r0, type, Target::one(0), 1);
  }
  for (auto type : {BootstrapPrepare, BootstrapCommit}) reaches(*op, *r0, type, Target::all(), 9);
  const uint32_t toClient = introduce(*c, *r0, Hello), toOperator = introduce(*op, *r0, BootstrapPrepare);
  for (auto type : {Welcome, Reply, StatusReply}) reaches(*r0, *c, type, Target::back(toClient), 0);
  for (auto type : {Blank, Bootstrapped}) reaches(*r0, *op, type, Target::back(toOperator), 0);
}

}  // namespace

TEST(channel_every_pair_sealed) { everyPair({}); }
TEST(channel_every_pair_unsealed) { everyPair({.sealed = false}); }
TEST(channel_every_pair_largest_frames) { everyPair({.maxFrameBytes = 65'000}); }

TEST(channel_sealing_hides_the_body_and_only_it) {
  auto c = client(1);
  const auto body = bodyOf(64);
  const Frame frame = sealOne(*c, Request, Target::all(), body);
  CHECK(!same(Bytes(frame).subspan(kHeaderBytes, 64), body));
  auto plain = client(1, {.sealed = false});
  const Frame open = sealOne(*plain, Request, Target::all(), body);
  CHECK(same(Bytes(open).subspan(kHeaderBytes, 64), body));
  CHECK(same(Bytes(open).first(kAuthenticatedBytes), Bytes(frame).first(kAuthenticatedBytes)));
}

TEST(channel_refuses_to_seal) {
  auto r = replica(0), c = client(1), op = oper(2);
  uint8_t frame[70'000];
  const uint32_t toClient = introduce(*c, *r, Hello), toOperator = introduce(*op, *r, BootstrapPrepare);
  CHECK_EQ(c->seal(frame, c->maxBody() + 1, Request, Target::all()), 0u);
  CHECK_EQ(c->seal(frame, 1, Reply, Target::all()), 0u);
  CHECK_EQ(c->seal(frame, 1, Sync, Target::all()), 0u);
  CHECK_EQ(c->seal(frame, 1, Request, Target::back(0)), 0u);
  CHECK_EQ(c->seal(frame, 1, static_cast<MessageType>(100), Target::all()), 0u);
  CHECK_EQ(r->seal(frame, 1, Request, Target::all()), 0u);
  CHECK_EQ(r->seal(frame, 1, Reply, Target::all()), 0u);
  CHECK_EQ(r->seal(frame, 1, Reply, Target::back(toOperator)), 0u);
  CHECK_EQ(r->seal(frame, 1, Blank, Target::back(toClient)), 0u);
  CHECK_EQ(r->seal(frame, 1, Reply, Target::back(99)), 0u);
  CHECK_EQ(op->seal(frame, 1, Recovering, Target::all()), 0u);
  auto blank = replica(1, {.life = {}});
  CHECK_EQ(blank->seal(frame, 1, Sync, Target::all()), 0u);
  CHECK(blank->seal(frame, 1, Recovering, Target::all()) > 0);
  CHECK(sealAll(*blank, Sync, Target::all(), bodyOf(5000)).size() == 1);   // reserved, never emitted
}

TEST(channel_drop_reasons_before_the_key) {
  auto r0 = replica(0), r1 = replica(1), c = client(1), c2 = client(2), op = oper(3);
  const Frame request = sealOne(*c, Request, Target::all(), bodyOf(8));
  auto altered = [&](size_t at, uint8_t value) { Frame f = request; f[at] = value; return f; };
  CHECK_EQ(open(*r0, {}).dropped, DropReason::Truncated);
  CHECK_EQ(open(*r0, altered(0, 9)).dropped, DropReason::BadVersion);
  CHECK_EQ(open(*r0, altered(1, 0)).dropped, DropReason::UnknownType);
  CHECK_EQ(open(*r0, altered(1, 0)).frameBytes, 0u);
  CHECK_EQ(open(*r0, altered(8, 1)).dropped, DropReason::ForeignGroup);
  CHECK_EQ(open(*r0, altered(8, 1)).frameBytes, request.size());
  CHECK_EQ(open(*r0, altered(16, 3)).dropped, DropReason::WrongDestination);
  CHECK_EQ(open(*r0, sealOne(*c, Request, Target::one(1), {})).dropped, DropReason::WrongDestination);
  // Roles.
  CHECK_EQ(open(*r0, sealOne(*r0, Sync, Target::all(), {})).dropped, DropReason::WrongRole);
  Frame foreign = sealOne(*r1, Sync, Target::all(), {});
  store<uint64_t>(foreign.data() + 24, kMaxReplicas);
  CHECK_EQ(open(*r0, foreign).dropped, DropReason::WrongRole);
  for (auto type : {Welcome, Reply, StatusReply, Reject, Blank, Bootstrapped})
    CHECK_EQ(open(*r0, altered(1, static_cast<uint8_t>(type))).dropped, DropReason::WrongRole);
  const uint32_t toClient = introduce(*c, *r0, Hello), toOperator = introduce(*op, *r0, BootstrapPrepare);
  const Frame reply = sealOne(*r0, Reply, Target::back(toClient), bodyOf(8));
  CHECK_EQ(open(*c2, reply).dropped, DropReason::WrongDestination);
  for (auto type : {Hello, Request, Sync, BootstrapPrepare, Blank}) {
    Frame f = reply;
    f[1] = static_cast<uint8_t>(type);
    CHECK_EQ(open(*c, f).dropped, DropReason::WrongRole);
  }
  Frame blank = sealOne(*r0, Blank, Target::back(toOperator), {});
  blank[1] = static_cast<uint8_t>(Reply);
  CHECK_EQ(open(*op, blank).dropped, DropReason::WrongRole);
}

TEST(channel_wrong_keys) {
  auto r = replica(0), c = client(1);
  const auto body = bodyOf(8);
  Key other = kSecret;
  other[31] ^= 1;
  CHECK_EQ(open(*r, sealOne(*client(1, {.secret = other}), Request, Target::all(), body)).dropped, DropReason::BadTag);
  CHECK_EQ(open(*r, sealOne(*replica(1, {.secret = other}), Recovering, Target::all(), body)).dropped, DropReason::BadTag);
  CHECK_EQ(open(*r, sealOne(*client(1, {.life = {8}}), Request, Target::all(), body)).dropped, DropReason::BadTag);
  CHECK_EQ(open(*r, sealOne(*client(1, {.life = {8}}), Hello, Target::all(), body)).dropped, DropReason::None);
  CHECK_EQ(open(*r, sealOne(*client(1, {.sealed = false}), Request, Target::all(), body)).dropped, DropReason::BadTag);
  CHECK_EQ(open(*replica(0, {.sealed = false}), sealOne(*c, Request, Target::all(), body)).dropped, DropReason::BadTag);
  CHECK_EQ(open(*replica(0, {.group = 78}), sealOne(*c, Request, Target::all(), body)).dropped, DropReason::ForeignGroup);
  // The group is part of the key, too: a rewritten header doesn't carry a frame over.
  Frame f = sealOne(*c, Request, Target::all(), body);
  store<uint64_t>(f.data() + 8, 78);
  CHECK_EQ(open(*replica(0, {.group = 78}), f).dropped, DropReason::BadTag);
  // A client's key speaks for this client only, and not as a replica.
  Channels liar({Role::Client, 77, 2, clientKey(kSecret, 1), true, 1400, {}}, saltOf(5));
  liar.setLife(kLife);
  CHECK_EQ(open(*r, sealOne(liar, Request, Target::all(), body)).dropped, DropReason::BadTag);
  // Before a life is set only frames outside a life pass.
  auto blank = replica(2, {.life = {}});
  CHECK_EQ(open(*blank, sealOne(*c, Request, Target::all(), body)).dropped, DropReason::Status);
  CHECK_EQ(open(*blank, sealOne(*c, Hello, Target::all(), body)).dropped, DropReason::None);
}

TEST(channel_every_corrupted_byte_is_dropped) {
  auto r = replica(0), r1 = replica(1), c = client(1);
  const uint32_t stream = introduce(*c, *r, Hello);
  auto corrupt = [](Channels& at, const Frame& frame) {
    for (size_t i = 0; i < frame.size(); i++) {
      if (i >= kAuthenticatedBytes && i < kHeaderBytes) continue;
      for (uint8_t bit : {1, 0x80}) {
        Frame f = frame;
        f[i] ^= bit;
        CHECK(open(at, f).dropped != DropReason::None);
      }
    }
    Frame stamped = frame;
    std::memset(stamped.data() + kAuthenticatedBytes, 0xee, kHeaderBytes - kAuthenticatedBytes);
    CHECK_EQ(open(at, stamped).dropped, DropReason::None);   // and nothing above has used the counter up
    CHECK_EQ(open(at, frame).dropped, DropReason::Replayed);
  };
  corrupt(*r, sealOne(*c, Request, Target::all(), bodyOf(40)));
  corrupt(*r, sealOne(*r1, Sync, Target::all(), bodyOf(40)));
  corrupt(*c, sealOne(*r, Reply, Target::back(stream), bodyOf(40)));
  for (const Frame& f : sealAll(*c, Request, Target::all(), bodyOf(3000))) corrupt(*r, f);
}

TEST(channel_replay_in_and_outside_a_life) {
  auto r = replica(0), c = client(1);
  std::vector<Frame> frames;
  for (int i = 0; i < 20; i++) frames.push_back(sealOne(*c, i % 2 ? Hello : Request, Target::all(), bodyOf(8)));
  for (int i = 19; i >= 0; i--) CHECK_EQ(open(*r, frames[i]).dropped, DropReason::None);
  for (const Frame& f : frames) CHECK_EQ(open(*r, f).dropped, DropReason::Replayed);
}

TEST(channel_several_frames_in_a_datagram) {
  auto r = replica(0), c1 = client(1), c2 = client(2);
  Frame datagram;
  auto append = [&](const Frame& f) { datagram.insert(datagram.end(), f.begin(), f.end()); };
  append(sealOne(*c1, Request, Target::all(), bodyOf(10)));
  append(sealOne(*c1, Request, Target::one(3), bodyOf(10)));
  append(sealOne(*c2, Request, Target::all(), bodyOf(0)));
  int accepted = 0, dropped = 0;
  for (Bytes rest = datagram; !rest.empty();) {
    const Opened o = open(*r, rest);
    (o.dropped == DropReason::None ? accepted : dropped)++;
    if (!o.frameBytes) break;
    rest = rest.subspan(o.frameBytes);
  }
  CHECK_EQ(accepted, 2);
  CHECK_EQ(dropped, 1);
}

TEST(channel_reject) {
  auto r = replica(0), c = client(1), c2 = client(2), op = oper(3);
  Frame frame(kFrameOverhead + 5);
  std::memcpy(frame.data() + kHeaderBytes, "hello", 5);
  frame.resize(r->sealReject(frame.data(), 5, 77, c->salt()));
  for (int i = 0; i < 2; i++) {   // it leaves nothing behind, so it is never a replay
    const Opened o = open(*c, frame);
    CHECK_EQ(o.dropped, DropReason::None);
    CHECK(o.complete);
    CHECK_EQ(o.type, Reject);
    CHECK_EQ(o.stream, kNoStream);
    CHECK(same(o.body, bodyOf(0)) == false && o.body.size() == 5 && std::memcmp(o.body.data(), "hello", 5) == 0);
  }
  CHECK(!c->streamLive(0));
  CHECK_EQ(open(*c2, frame).dropped, DropReason::WrongDestination);
  frame.back() = 1;
  CHECK_EQ(open(*c, frame).dropped, DropReason::BadTag);
  frame.back() = 0;
  store<uint64_t>(frame.data() + 16, 0);
  CHECK_EQ(open(*r, frame).dropped, DropReason::WrongRole);
  std::memcpy(frame.data() + 16, op->salt().data(), 8);
  CHECK_EQ(open(*op, frame).dropped, DropReason::WrongRole);
  CHECK_EQ(c->sealReject(frame.data(), 1, 77, c->salt()), 0u);
  const uint32_t stream = introduce(*c, *r, Hello);
  const Frame viaStream = sealOne(*r, Reject, Target::back(stream), bodyOf(3));
  CHECK_EQ(open(*c, viaStream).dropped, DropReason::None);
}

TEST(channel_address_follows_the_newest_frame) {
  auto r = replica(0), c = client(1);
  fabric::Address a{.family = 4, .port = 1}, b{.family = 4, .port = 2};
  const Frame first = sealOne(*c, Hello, Target::one(0), {}), second = sealOne(*c, Hello, Target::one(0), {}),
              third = sealOne(*c, Hello, Target::one(0), {});
  const uint32_t s = open(*r, first, a).stream;
  CHECK(r->stream(s).address == a);
  CHECK_EQ(open(*r, third, b).stream, s);
  CHECK(r->stream(s).address == b);
  open(*r, second, a);     // late: held back and sent on from elsewhere, perhaps
  CHECK(r->stream(s).address == b);
  open(*r, third, a);      // a replay
  CHECK(r->stream(s).address == b);
  open(*r, sealOne(*c, Request, Target::all(), {}), a);   // perhaps by way of a relay
  CHECK(r->stream(s).address == b);
  open(*r, sealOne(*c, Hello, Target::all(), {}), a);
  CHECK(r->stream(s).address == b);
}

TEST(channel_answers_are_for_one_salt_only) {
  // Two runs of one client whose salts agree in the part that serves as destination.
  Salt first = saltOf(1), second = first;
  second[15] = 1;
  const ChannelConfig config{Role::Client, 77, 1, clientKey(kSecret, 1), true, 1400, {}};
  Channels a(config, first), b(config, second);
  a.setLife(kLife);
  b.setLife(kLife);
  auto r = replica(0);
  const uint32_t sa = introduce(a, *r, Request), sb = introduce(b, *r, Request);
  CHECK(sa != sb);
  for (auto type : {Welcome, Reply}) {
    const Frame f = sealOne(*r, type, Target::back(sa), bodyOf(4));
    CHECK_EQ(open(b, f).dropped, DropReason::BadTag);
    CHECK_EQ(open(a, f).dropped, DropReason::None);
  }
}

TEST(channel_life_change) {
  auto r = replica(0), c = client(1);
  const Frame old = sealOne(*c, Request, Target::all(), bodyOf(4)), oldHello = sealOne(*c, Hello, Target::all(), bodyOf(4));
  const Frame later = sealOne(*c, Request, Target::all(), bodyOf(4));
  const uint32_t s = open(*r, old).stream;
  CHECK_EQ(open(*r, oldHello).dropped, DropReason::None);
  const uint32_t generation = r->streamGeneration(s);
  const Frame parts = sealAll(*c, Request, Target::all(), bodyOf(2000))[0];
  CHECK_EQ(open(*r, parts).dropped, DropReason::None);
  r->setLife({9});
  CHECK(r->life() == LifeId{9});
  CHECK_EQ(open(*r, later).dropped, DropReason::BadTag);
  CHECK_EQ(open(*r, oldHello).dropped, DropReason::Replayed);
  c->setLife({9});
  const Opened o = open(*r, sealOne(*c, Request, Target::all(), bodyOf(4)));
  CHECK_EQ(o.dropped, DropReason::None);
  CHECK_EQ(o.stream, s);
  CHECK_EQ(r->streamGeneration(s), generation);
  CHECK_EQ(open(*c, sealOne(*r, Reply, Target::back(s), bodyOf(4))).dropped, DropReason::None);
  CHECK(c->stream(0).salt == r->salt());
}

TEST(channel_streams_are_evicted_least_recently_used_first) {
  Options options;
  options.limits.maxStreams = 4;
  auto r = replica(0, options), r1 = replica(1);
  std::vector<std::unique_ptr<Channels>> c;
  for (uint64_t i = 0; i < 8; i++) c.push_back(client(100 + i));
  auto known = [&](Channels& x) {
    for (uint32_t i = 0; r->streamLive(i); i++)
      if (r->stream(i).salt == x.salt()) return true;
    return false;
  };
  introduce(*r1, *r, Sync);
  for (int i = 0; i < 4; i++) introduce(*c[i], *r, Request);
  introduce(*c[0], *r, Request);
  const uint32_t s = introduce(*c[4], *r, Request);
  CHECK(known(*c[0]) && !known(*c[1]) && known(*c[2]) && known(*c[3]) && known(*c[4]) && known(*r1));
  CHECK(r->streamGeneration(s) == 2);
  // A frame whose tag is wrong displaces nobody.
  Frame bad = sealOne(*c[5], Request, Target::all(), bodyOf(4));
  bad.back() ^= 1;
  CHECK_EQ(open(*r, bad).dropped, DropReason::BadTag);
  CHECK(known(*c[0]) && known(*c[2]) && known(*c[3]) && known(*c[4]) && !known(*c[5]));
  // Streams that only said hello displace each other after the first, not those of the present life.
  for (int i = 5; i < 8; i++) introduce(*c[i], *r, Hello);
  CHECK(!known(*c[2]) && known(*c[3]) && known(*c[0]) && known(*c[4]) && known(*c[7]) && !known(*c[5]) && !known(*c[6]));
  CHECK(known(*r1));
}

TEST(channel_streams_of_replicas_are_bounded_and_kept) {
  Options options;
  options.limits.maxStreams = 2;
  auto r = replica(0, options), peer = replica(1), other = replica(2);
  introduce(*peer, *r, Sync);
  introduce(*other, *r, Sync);
  for (uint64_t i = 0; i < 200; i++) introduce(*client(i + 10), *r, Request);
  for (uint64_t i = 0; i < 40; i++) introduce(*make(Role::Replica, 1, 5000 + i), *r, Recovering);
  uint32_t live = 0;
  bool kept = false;
  for (; r->streamLive(live); live++) kept |= r->stream(live).salt == peer->salt();
  CHECK_EQ(live, 2u + 16 + 1);
  CHECK(kept);
}

TEST(channel_no_nonce_twice_after_an_eviction) {
  Options options;
  options.limits.maxStreams = 1;
  auto r = replica(0, options), a = client(1), b = client(2);
  std::set<uint64_t> counters;
  for (int i = 0; i < 20; i++) {
    const uint32_t sa = introduce(*a, *r, Request);
    for (int k = 0; k < 3; k++) {
      const Frame f = sealOne(*r, k == 1 ? Welcome : Reply, Target::back(sa), bodyOf(4));
      CHECK(counters.insert(load<uint64_t>(f.data() + 48)).second);
      CHECK_EQ(open(*a, f).dropped, DropReason::None);
    }
    introduce(*b, *r, Request);
    CHECK_EQ(r->stream(sa).sender, 2u);
  }
}

TEST(channel_random_datagrams_are_dropped) {
  uint64_t random = 1;
  auto r = replica(0), c = client(1);
  Frame f(300);
  for (int i = 0; i < 20'000; i++) {
    for (size_t k = 0; k < f.size(); k += 8) {
      random = random * 6364136223846793005ull + 1442695040888963407ull;
      const uint64_t v = random ^ (random >> 29);
      std::memcpy(f.data() + k, &v, std::min<size_t>(8, f.size() - k));
    }
    f[0] = kWireVersion;
    if (i % 2) f[1] = static_cast<uint8_t>(Request), store<uint16_t>(f.data() + 2, 300), store<uint64_t>(f.data() + 8, 77), store<uint64_t>(f.data() + 16, ~0ull);
    CHECK(open(*r, f).dropped != DropReason::None);
    CHECK(open(*c, f).dropped != DropReason::None);
  }
  CHECK(!r->streamLive(0));
}
