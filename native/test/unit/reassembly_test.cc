// Fragments: loss, retransmission, duplicates, interleaving, and the limits on what they may claim and hold.
#include "check.h"
#include "cluster.h"
#include "wire/reassembly.h"

using namespace squall;
using namespace squall::wire;
using enum squall::MessageType;

namespace {

struct Random {
  uint64_t state;
  uint64_t operator()(uint64_t below) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (state >> 33) % below;
  }
};

using Class = Reassembler::Class;
constexpr Reassembler::Limits kLimits{1 << 20, 8 << 20, 2 << 20, 4};

struct Result { DropReason dropped; bool complete; Frame message; };

Frame fragment(uint64_t key, uint32_t total, uint32_t offset, Bytes part) {
  Frame f(16 + part.size());
  store<uint64_t>(f.data(), key);
  store<uint32_t>(f.data() + 8, total);
  store<uint32_t>(f.data() + 12, offset);
  if (!part.empty()) std::memcpy(f.data() + 16, part.data(), part.size());
  return f;
}
Result add(Reassembler& r, uint32_t stream, const Frame& f, Class from = Class::Client, uint8_t type = 2, bool exceed = false) {
  bool complete;
  Bytes message;
  const DropReason dropped = r.add(stream, from, exceed, type, f, complete, message);
  return {dropped, complete, complete ? Frame(message.begin(), message.end()) : Frame{}};
}
Frame piece(const Frame& whole, uint64_t key, uint32_t offset, uint32_t length) {
  return fragment(key, static_cast<uint32_t>(whole.size()), offset, Bytes(whole).subspan(offset, length));
}
/// Sends a whole message; true if it came out complete and intact.
bool sendWhole(Reassembler& r, uint32_t stream, const Frame& m, uint64_t key, uint32_t step = 1000, Class from = Class::Client, bool exceed = false) {
  bool done = false;
  for (uint32_t at = 0; at < m.size(); at += step) {
    const Result x = add(r, stream, piece(m, key, at, std::min<uint32_t>(step, static_cast<uint32_t>(m.size()) - at)), from, 2, exceed);
    if (x.complete) done = same(x.message, m);
  }
  return done;
}

}  // namespace

TEST(fragments_in_order_for_every_size) {
  auto r = replica(0), c = client(1);
  const size_t room = c->maxBody();
  for (size_t length : {room, room + 1, 2 * (room - 16), 2 * (room - 16) + 1, size_t{16'384}, size_t{100'000}, size_t{1} << 20, (size_t{1} << 20) + 4096}) {
    const auto body = bodyOf(length);
    const auto frames = sealAll(*c, Request, Target::all(), body, length);
    CHECK_EQ(frames.size(), length <= room ? 1 : (length + room - 17) / (room - 16));
    for (size_t i = 0; i < frames.size(); i++) {
      CHECK(frames[i].size() <= 1400);
      const Opened o = open(*r, frames[i]);
      CHECK_EQ(o.dropped, DropReason::None);
      CHECK_EQ(o.type, Request);
      CHECK_EQ(o.complete, i + 1 == frames.size());
      if (o.complete) CHECK(same(o.body, body));
      else CHECK(o.body.empty());
    }
  }
}

TEST(fragments_survive_loss_duplicates_and_interleaving) {
  for (uint64_t seed = 1; seed <= 30; seed++) {
    Random random{seed};
    auto r = replica(0, {.sealed = seed % 2 == 0});
    struct Sender { std::unique_ptr<Channels> channels; MessageType type; Frame body[2]; bool done[2] = {}; };
    std::vector<Sender> senders;
    for (uint64_t i = 0; i < 5; i++) {
      Options o{.sealed = seed % 2 == 0, .maxFrameBytes = static_cast<uint32_t>(300 + random(1200))};
      Sender s{i < 3 ? client(10 + i, o) : replica(i, o), i < 3 ? Request : Sync, {}};
      for (int k : {0, 1}) s.body[k] = bodyOf(1500 + random(60'000), static_cast<uint8_t>(i * 2 + k));
      senders.push_back(std::move(s));
    }
    size_t missing = senders.size() * 2;
    for (int round = 0; round < 40 && missing; round++) {
      std::vector<Frame> network;
      for (auto& s : senders)
        for (uint64_t k : {0, 1})
          if (!s.done[k])
            for (auto& f : sealAll(*s.channels, s.type, Target::all(), s.body[k], k)) {
              if (random(10) < 4) continue;
              if (random(10) < 2) network.push_back(f);
              network.push_back(std::move(f));
            }
      for (size_t i = network.size(); i > 1; i--) std::swap(network[i - 1], network[random(i)]);
      for (const Frame& f : network) {
        const Opened o = open(*r, f);
        CHECK(o.dropped == DropReason::None || o.dropped == DropReason::Replayed);
        if (!o.complete) continue;
        bool matched = false;
        for (auto& s : senders)
          for (int k : {0, 1})
            if (r->stream(o.stream).salt == s.channels->salt() && same(o.body, s.body[k])) {
              CHECK_EQ(o.type, s.type);
              missing -= !s.done[k];
              s.done[k] = matched = true;
            }
        CHECK(matched);
      }
    }
    CHECK_EQ(missing, 0u);
  }
}

TEST(fragments_complete_message_can_come_again) {
  auto r = replica(0), c = client(1);
  const auto body = bodyOf(5000);
  for (int i = 0; i < 3; i++) {
    int complete = 0;
    for (const Frame& f : sealAll(*c, Request, Target::all(), body, 5)) {
      complete += open(*r, f).complete;
      CHECK_EQ(open(*r, f).dropped, DropReason::Replayed);
    }
    CHECK_EQ(complete, 1);
  }
}

TEST(reassembly_refuses_malformed_fragments) {
  Reassembler r(kLimits);
  const Frame m = bodyOf(5000);
  CHECK_EQ(add(r, 0, Frame(10)).dropped, DropReason::BadBody);
  CHECK_EQ(add(r, 0, fragment(1, 5000, 0, {})).dropped, DropReason::BadBody);
  CHECK_EQ(add(r, 0, fragment(1, 0, 0, bodyOf(1))).dropped, DropReason::BadBody);
  CHECK_EQ(add(r, 0, fragment(1, 999, 0, bodyOf(1000))).dropped, DropReason::BadBody);
  CHECK_EQ(add(r, 0, fragment(1, 5000, 4001, bodyOf(1000))).dropped, DropReason::BadBody);
  CHECK_EQ(add(r, 0, fragment(1, 5000, ~0u, bodyOf(1000))).dropped, DropReason::BadBody);
  CHECK_EQ(add(r, 0, fragment(1, 5000, 0, bodyOf(127))).dropped, DropReason::BadBody);
  CHECK_EQ(r.heldBytes(), 0u);
  CHECK_EQ(add(r, 0, piece(m, 1, 4999, 1)).dropped, DropReason::None);   // only the last one may be this small
  CHECK_EQ(r.partials(0), 1u);
}

TEST(reassembly_inconsistent_fragments_discard_the_message) {
  const Frame m = bodyOf(5000), other = bodyOf(5000, 9), longer = bodyOf(6000);
  const Frame bad[] = {piece(m, 1, 500, 1000), piece(m, 1, 999, 1002), piece(m, 1, 1500, 200), piece(other, 1, 1000, 1000), piece(longer, 1, 2000, 1000)};
  for (const Frame& f : bad) {
    Reassembler r(kLimits);
    CHECK_EQ(add(r, 0, piece(m, 1, 1000, 1000)).dropped, DropReason::None);
    CHECK_EQ(add(r, 0, piece(m, 1, 1000, 1000)).dropped, DropReason::None);
    const bool duplicatePart = load<uint32_t>(f.data() + 12) == 1500;
    CHECK_EQ(add(r, 0, f).dropped, duplicatePart ? DropReason::None : DropReason::BadBody);
    CHECK_EQ(r.partials(0), duplicatePart ? 1u : 0u);
    CHECK(sendWhole(r, 0, m, 1));
    CHECK_EQ(r.heldBytes(), 0u);
  }
}

TEST(reassembly_keys_types_and_streams_are_apart) {
  Reassembler r(kLimits);
  const Frame a = bodyOf(2000), b = bodyOf(2000, 50);
  add(r, 0, piece(a, 1, 0, 1000));
  CHECK(!add(r, 1, piece(a, 1, 1000, 1000)).complete);
  CHECK(!add(r, 0, piece(a, 2, 1000, 1000)).complete);
  CHECK(!add(r, 0, piece(b, 1, 1000, 1000), Class::Client, 3).complete);
  const Result x = add(r, 0, piece(a, 1, 1000, 1000));
  CHECK(x.complete && same(x.message, a));
}

TEST(reassembly_size_limits) {
  Reassembler r(kLimits);
  const Frame part = bodyOf(1000);
  CHECK_EQ(add(r, 0, fragment(1, (1 << 20) + 1, 0, part)).dropped, DropReason::FragmentLimit);
  CHECK_EQ(add(r, 0, fragment(1, 1 << 20, 0, part)).dropped, DropReason::None);
  CHECK_EQ(add(r, 1, fragment(1, (8 << 20) + 1, 0, part), Class::Replica, 2, true).dropped, DropReason::FragmentLimit);
  CHECK_EQ(add(r, 1, fragment(1, 8 << 20, 0, part), Class::Replica, 2, true).dropped, DropReason::None);
  // To a client, nothing may exceed the budget.
  CHECK_EQ(add(r, 2, fragment(1, 8 << 20, 0, part), Class::Replica, 2, false).dropped, DropReason::FragmentLimit);
}

TEST(reassembly_claims_allocate_nothing) {
  Reassembler r({1u << 20, 256u << 20, 64u << 20, 64});
  CHECK_EQ(add(r, 0, fragment(1, 256u << 20, 200u << 20, bodyOf(1000)), Class::Replica, 2, true).dropped, DropReason::None);
  CHECK(r.heldBytes() <= 64u << 10);
  CHECK(r.heldBytes() >= 1000);
}

TEST(reassembly_per_stream_limit_drops_the_oldest) {
  Reassembler r(kLimits);
  const Frame m = bodyOf(2000);
  for (uint64_t key = 0; key < 4; key++) add(r, 0, piece(m, key, 0, 1000));
  CHECK_EQ(r.partials(0), 4u);
  add(r, 0, piece(m, 4, 0, 1000));
  CHECK_EQ(r.partials(0), 4u);
  CHECK(!add(r, 0, piece(m, 0, 1000, 1000)).complete);   // 0 was displaced, starts anew and displaces 1
  CHECK(add(r, 0, piece(m, 2, 1000, 1000)).complete);
  r.dropStream(0);
  CHECK_EQ(r.heldBytes(), 0u);
  CHECK_EQ(r.partials(0), 0u);
  r.dropStream(77);
}

TEST(reassembly_budget_prefers_the_active_then_the_patient) {
  Reassembler r(kLimits);
  const Frame m = bodyOf(1 << 20), small = bodyOf(2000);
  // Two streams hold nearly the whole budget of 2 MiB between them.
  for (uint32_t s : {0u, 1u})
    for (uint32_t at = 0; at + 2000 < m.size(); at += 1000) add(r, s, piece(m, 1, at, 1000));
  CHECK(r.heldBytes() <= kLimits.budgetBytes);
  CHECK(r.heldBytes() > kLimits.budgetBytes - 20'000);
  CHECK_EQ(add(r, 0, piece(m, 1, (1 << 20) - 1000, 1000)).dropped, DropReason::None);   // 0 is the newest again
  uint64_t refused = 0;
  while (add(r, 2, piece(m, 1, 0, 1000)).dropped == DropReason::FragmentLimit && refused < 100'000) refused++;
  CHECK(refused > 1000 && refused <= Reassembler::kPatience);
  CHECK(r.heldBytes() <= kLimits.budgetBytes);
  CHECK_EQ(r.partials(0), 1u);
  CHECK_EQ(r.partials(1), 0u);      // the longest untouched
  // Clients hold nothing that replicas need.
  CHECK(sendWhole(r, 7, m, 1, 1000, Class::Replica));
}

TEST(reassembly_one_large_message_at_a_time) {
  Reassembler r(kLimits);
  const Frame large = bodyOf(5 << 20), small = bodyOf(5000);
  for (uint32_t at = 0; at < (4u << 20); at += 8192) CHECK_EQ(add(r, 0, piece(large, 1, at, 8192), Class::Replica, 2, true).dropped, DropReason::None);
  CHECK_EQ(add(r, 1, piece(large, 1, 0, 8192), Class::Replica, 2, true).dropped, DropReason::FragmentLimit);
  CHECK(sendWhole(r, 1, small, 2, 1000, Class::Replica, true));    // small ones pass by
  CHECK(sendWhole(r, 0, large, 1, 8192, Class::Replica, true));
  CHECK_EQ(r.heldBytes(), 0u);
  CHECK(sendWhole(r, 1, large, 1, 8192, Class::Replica, true));
}

TEST(reassembly_random_against_reference) {
  for (uint64_t seed = 1; seed <= 40; seed++) {
    Random random{seed};
    Reassembler r(kLimits);
    const Frame m = bodyOf(128 + random(100'000), static_cast<uint8_t>(seed));
    const uint32_t step = static_cast<uint32_t>(128 + random(3000)), count = static_cast<uint32_t>((m.size() + step - 1) / step);
    std::vector<bool> have(count);
    uint32_t missing = count;
    for (;;) {
      const uint32_t i = static_cast<uint32_t>(random(count)), at = i * step;
      const Result x = add(r, 0, piece(m, 1, at, std::min<uint32_t>(step, static_cast<uint32_t>(m.size()) - at)));
      CHECK_EQ(x.dropped, DropReason::None);
      if (!have[i]) have[i] = true, missing--;
      CHECK_EQ(x.complete, missing == 0);
      if (!missing) {
        CHECK(same(x.message, m));
        break;
      }
    }
    CHECK_EQ(r.heldBytes(), 0u);
  }
}
