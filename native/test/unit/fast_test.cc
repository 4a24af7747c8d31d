// FAST views: replica engines and a client on the loop, the control plane's part played by the test.
#include "engines.h"

using namespace squall;
using protocol::Replica;

namespace {

constexpr uint16_t kClientPort3 = 3;      // of a group of three

Cluster fastCluster(uint32_t n) {
  return Cluster(n, [](protocol::ReplicaConfig& c) { c.firstMode = Mode::Fast; });
}

void again(Cluster& c, int32_t to) {
  c.replicas[0]->prepareAgain(to);
  c.replicas[0]->flush();
}

double word(Cluster& c, int i, uint32_t index) { return c.machines[i]->status[index]; }

}  // namespace

TEST(fast_view_answers_after_three_message_delays_and_only_the_leader_does) {
  for (uint32_t n : {3u, 5u, 7u}) {
    Cluster c = fastCluster(n);
    c.send({1, 2, 3});
    c.run(140);                                     // 50 us each way
    CHECK_EQ(c.caller.done.size(), 0u);
    c.run(30);
    CHECK_EQ(c.caller.done.size(), 3u);
    if (c.caller.done.size() == 3) CHECK_EQ(c.caller.done[2].second, 6);
    CHECK_EQ(word(c, 0, protocol::kCommitted), 4.0);
    CHECK_EQ(word(c, 0, protocol::kClassicRounds), 0.0);
    for (uint32_t i = 1; i < n; i++) {
      CHECK(sameLog(*c.replicas[i], *c.replicas[0]));
      CHECK_EQ(c.machines[i]->executed, 0u);        // it does not know yet that they are chosen
      CHECK_EQ(word(c, i, protocol::kRepliesSent), 0.0);
    }
    again(c, -1);
    c.run(100);
    for (uint32_t i = 1; i < n; i++) CHECK_EQ(word(c, i, protocol::kCommitted), 4.0);
    for (uint32_t i = 1; i < n; i++) CHECK_EQ(c.machines[i]->executed, 3u);
  }
}

TEST(fast_view_settles_a_collision_by_a_classic_round) {
  Cluster c = fastCluster(3);
  c.hub->setBlocked(kClientPort3, 2, true);
  c.send({1});
  c.run(60);
  c.hub->setBlocked(kClientPort3, 2, false);
  c.send({2});                                      // replica 2 has it where the others have the first
  c.run(400);
  CHECK_EQ(c.caller.done.size(), 2u);
  CHECK(word(c, 0, protocol::kClassicRounds) >= 1);
  CHECK(word(c, 2, protocol::kRolledBack) >= 1);
  CHECK(sameLog(*c.replicas[2], *c.replicas[0]));
  CHECK_EQ(c.caller.status[client::kRetransmissions], 0.0);
  again(c, -1);
  c.run(100);
  CHECK_EQ(c.machines[2]->executed, 2u);
}

TEST(fast_view_without_a_fast_quorum_prepares_every_batch) {
  Cluster c = fastCluster(3);
  for (uint16_t other : {0, 1, 3}) { c.hub->setBlocked(2, other, true); c.hub->setBlocked(other, 2, true); }
  c.send({1});
  c.run(1'000);
  CHECK_EQ(c.caller.done.size(), 0u);
  again(c, 2);                                      // as the control plane does when a backup stays behind
  c.run(300);
  CHECK_EQ(c.caller.done.size(), 1u);
  c.send({2});
  c.run(230);
  CHECK_EQ(c.caller.done.size(), 2u);
  for (uint16_t other : {0, 1, 3}) { c.hub->setBlocked(2, other, false); c.hub->setBlocked(other, 2, false); }
  again(c, 2);
  c.run(1'000);
  CHECK(sameLog(*c.replicas[2], *c.replicas[0]));
  const double rounds = word(c, 0, protocol::kClassicRounds);
  c.send({3});
  c.run(300);
  c.send({4});
  c.run(160);
  CHECK_EQ(c.caller.done.size(), 4u);
  CHECK(word(c, 0, protocol::kClassicRounds) <= rounds + 1);
}

TEST(fast_view_hands_a_broken_invariant_up_and_drops_what_is_malformed) {
  Cluster c = fastCluster(3);
  c.send({1});
  c.run(300);
  again(c, -1);
  c.run(100);
  CHECK_EQ(word(c, 1, protocol::kAccepted), 2.0);
  std::vector<uint8_t> other(wire::kRecordBytes + 8);
  wire::writeRecordHeader(other.data(), 77, 1, 1, 1, 0, 8);
  std::vector<uint8_t> body(wire::kFastPrepareBytes);
  wire::writeFastPrepareHeader(body.data(), 0, 2, 2, c.replicas[1]->log().hashAt(1), 1);
  body.insert(body.end(), other.begin(), other.end());
  Forger leader(0), backup(1);
  leader.send(*c.replicas[1], MessageType::FastPrepare, body);
  CHECK_EQ(c.machines[1]->controls.size(), 1u);
  CHECK_EQ(word(c, 1, protocol::kCommitted), 2.0);
  CHECK(sameLog(*c.replicas[1], *c.replicas[0]));
  const double bad = word(c, 1, protocol::kDropBase + static_cast<uint32_t>(DropReason::BadBody));
  body.pop_back();
  leader.send(*c.replicas[1], MessageType::FastPrepare, body);
  CHECK_EQ(word(c, 1, protocol::kDropBase + static_cast<uint32_t>(DropReason::BadBody)), bad + 1);
  // A vote that has accepted what the leader does not have.
  std::vector<uint8_t> vote(wire::kFastVoteBytes);
  wire::writeFastVote(vote.data(), {0, 9, c.replicas[0]->log().hashAt(1), 9, 0});
  backup.send(*c.replicas[0], MessageType::FastVote, vote);
  CHECK_EQ(c.machines[0]->controls.size(), 1u);
}
