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

/// Of five, the last has a disk; the test plays it.
Cluster withDisk() {
  return Cluster(5, [](protocol::ReplicaConfig& c) {
    c.firstMode = Mode::Fast;
    if (c.replica == 4) c.durability = protocol::Durability::Sync;
  });
}

void cutOff(Cluster& c, uint16_t replica) {
  for (uint16_t other = 0; other <= 5; other++) { c.hub->setBlocked(replica, other, true); c.hub->setBlocked(other, replica, true); }
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

TEST(fast_vote_covers_what_is_on_disk) {
  Cluster c = withDisk();
  Replica& voter = *c.replicas[4];
  CHECK_EQ(voter.log().end(), 1u);                  // the registration, which the others have chosen without it
  voter.setDurable(1);
  cutOff(c, 3);                                     // the fast quorum needs this vote
  c.send({1});
  c.run(500);
  CHECK_EQ(voter.log().end(), 2u);
  CHECK_EQ(c.caller.done.size(), 0u);
  CHECK_EQ(word(c, 0, protocol::kCommitted), 1.0);
  voter.setDurable(2);
  c.run(110);
  CHECK_EQ(c.caller.done.size(), 1u);
}

TEST(fast_view_what_was_displaced_is_not_on_disk_and_what_was_accepted_only_once_the_disk_says_so) {
  Cluster c = withDisk();
  Replica& voter = *c.replicas[4];
  voter.setDurable(1);
  cutOff(c, 2);
  cutOff(c, 3);                                     // a classic quorum is what is left, and this replica is part of it
  c.hub->setBlocked(5, 4, true);
  c.send({1});
  c.run(60);
  c.hub->setBlocked(5, 4, false);
  c.send({2});
  c.run(60);
  CHECK_EQ(voter.log().end(), 2u);
  uint8_t rows[4096];
  size_t bytes;
  CHECK_EQ(voter.exportRows(1, rows, sizeof rows, bytes), 2u);
  CHECK_EQ(voter.takeDisplaced(), ~uint64_t{0});
  voter.setDurable(2);                              // a vote for another order
  c.run(110);
  CHECK(sameLog(voter, *c.replicas[0]));
  CHECK_EQ(voter.log().end(), 3u);
  CHECK_EQ(voter.takeDisplaced(), 1u);
  CHECK_EQ(voter.takeDisplaced(), ~uint64_t{0});
  CHECK_EQ(word(c, 4, protocol::kDurable), 1.0);
  c.run(500);
  CHECK_EQ(c.caller.done.size(), 0u);
  voter.setDurable(3);                              // the log, and not yet that it is the leader's
  c.run(500);
  CHECK_EQ(c.caller.done.size(), 0u);
  voter.setDurable(3, 3);
  c.run(110);
  CHECK_EQ(c.caller.done.size(), 2u);
}

TEST(fast_view_its_leaders_vote_counts_once_it_is_on_disk) {
  Cluster c = withDisk();
  for (auto& r : c.replicas) {
    r->freeze(4);
    CHECK(r->install(4, Mode::Fast, r->log().end(), {}));
    r->flush();
  }
  Replica& leader = *c.replicas[4];
  c.send({1});
  c.run(500);
  leader.prepareAgain(-1);
  leader.flush();
  c.run(500);
  CHECK_EQ(leader.log().end(), 2u);
  // Without memory of this view it would lead it once more, with other entries: it neither prepares nor commits.
  CHECK_EQ(word(c, 4, protocol::kPrepares), 0.0);
  CHECK_EQ(c.caller.done.size(), 0u);
  leader.setDurable(1);                             // the view, not the entry: four other disks do for that
  c.run(60);
  CHECK_EQ(c.caller.done.size(), 1u);
  cutOff(c, 3);
  c.send({2});
  c.run(500);
  CHECK_EQ(word(c, 4, protocol::kCommitted), 2.0);
  CHECK_EQ(c.caller.done.size(), 1u);
  leader.setDurable(3);
  c.run(60);
  CHECK_EQ(c.caller.done.size(), 2u);
}

TEST(fast_view_a_replica_comes_back_with_what_it_had_accepted_and_executes_no_more) {
  Cluster c = fastCluster(3);
  c.send({1, 2, 3});
  c.run(300);
  std::vector<Bytes> records;
  for (uint64_t s = 1; s <= 4; s++) records.push_back(c.replicas[0]->log().record(s));
  protocol::ReplicaConfig config;
  config.firstMode = Mode::Fast;
  config.durability = protocol::Durability::Sync;
  config.replica = 1;
  config.logEntries = 1024;
  config.logBytes = 1 << 20;
  config.replicas = std::vector<fabric::Address>(3, fabric::loopAddress(9));
  Machine machine;
  Replica replica({c.hub, c.hub->port(1)}, config, machine.region, machine);
  CHECK(replica.setLife(LifeId{7}));
  CHECK(replica.appendLoaded(records, Mode::Fast, 2));
  CHECK_EQ(machine.executed, 1u);                   // the first is a registration
  CHECK(replica.resume(0, 0, Mode::Fast));
  CHECK_EQ(machine.status[protocol::kLogEnd], 4.0);
  CHECK_EQ(machine.status[protocol::kAccepted], 2.0);
}
