// LEADER views: replica engines and a client on the loop, the control plane's part played by the test.
#include <algorithm>
#include <map>

#include "engines.h"

using namespace squall;
using protocol::Replica;

namespace {

constexpr uint16_t kClientPort3 = 3;      // of a group of three

Cluster leaderCluster(uint32_t n, uint32_t prepareBatch = 64) {
  return Cluster(n, [&](protocol::ReplicaConfig& c) { c.firstMode = Mode::Leader; c.prepareBatch = prepareBatch; });
}

void again(Cluster& c) {
  for (auto& replica : c.replicas) { replica->prepareAgain(-1); replica->flush(); }
}

/// Both directions of one replica with everybody.
void isolate(Cluster& c, uint16_t replica, bool blocked) {
  for (uint16_t other = 0; other < c.hub->portCount(); other++) {
    if (other == replica) continue;
    c.hub->setBlocked(replica, other, blocked);
    c.hub->setBlocked(other, replica, blocked);
  }
}

uint64_t committed(Cluster& c, int i) { return static_cast<uint64_t>(c.machines[i]->status[protocol::kCommitted]); }
double dropped(Cluster& c, int i, DropReason reason) { return c.machines[i]->status[protocol::kDropBase + static_cast<uint32_t>(reason)]; }

std::vector<uint8_t> prepareBody(uint64_t view, uint64_t committed, uint64_t first, uint32_t count, const std::vector<uint8_t>& records = {}) {
  std::vector<uint8_t> body(wire::kPrepareBytes);
  wire::writePrepareHeader(body.data(), view, committed, first, count);
  body.insert(body.end(), records.begin(), records.end());
  return body;
}

std::vector<uint8_t> recordOf(uint64_t session, uint64_t request) {
  std::vector<uint8_t> record(wire::kRecordBytes + 8);
  wire::writeRecordHeader(record.data(), session, request, 1, 1, 0, 8);
  return record;
}

std::vector<uint8_t> copyOf(Bytes bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace

TEST(leader_view_commits_in_two_round_trips_and_only_the_leader_answers) {
  for (uint32_t n : {1u, 3u, 5u, 7u}) {
    Cluster c = leaderCluster(n);
    c.send({1, 2, 3});
    c.run(n == 1 ? 90 : 140);                       // 50 us each way
    CHECK_EQ(c.caller.done.size(), 0u);             // executed already, but not committed, or not here yet
    CHECK_EQ(c.machines[0]->executed, 3u);
    if (n > 1) CHECK_EQ(c.machines[0]->status[protocol::kRepliesSent], 1.0);   // to the registration
    c.run(70);
    CHECK_EQ(c.caller.done.size(), 3u);
    if (c.caller.done.size() == 3) CHECK_EQ(c.caller.done[2].second, 6);
    CHECK_EQ(committed(c, 0), 4u);
    for (uint32_t i = 1; i < n; i++) {
      CHECK(sameLog(*c.replicas[i], *c.replicas[0]));
      CHECK_EQ(c.machines[i]->executed, 3u);
      CHECK_EQ(c.machines[i]->status[protocol::kRepliesSent], 0.0);
      CHECK_EQ(committed(c, i), 1u);                // told by the PREPARE: what was committed when it left
    }
    again(c);
    c.run(100);
    for (uint32_t i = 1; i < n; i++) CHECK_EQ(committed(c, i), 4u);
    CHECK_EQ(c.caller.status[client::kRetransmissions], 0.0);
    CHECK_EQ(c.caller.status[client::kComplaints], 0.0);
  }
}

TEST(leader_view_goes_on_with_a_dead_backup_and_stops_with_two) {
  Cluster c = leaderCluster(3);
  isolate(c, 2, true);
  c.send({1});
  c.run(300);
  CHECK_EQ(c.caller.done.size(), 1u);
  isolate(c, 1, true);
  c.send({2});
  c.run(3'000);
  CHECK_EQ(c.caller.done.size(), 1u);
  CHECK_EQ(committed(c, 0), 2u);
  isolate(c, 1, false);
  again(c);
  c.run(1'000);
  CHECK_EQ(c.caller.done.size(), 2u);
  isolate(c, 2, false);
  again(c);
  c.run(2'000);
  CHECK(sameLog(*c.replicas[2], *c.replicas[0]));
}

TEST(who_answers_no_prepare_for_long_is_sent_none_until_it_is_back) {
  Cluster c = leaderCluster(3);
  const auto received = [&](uint16_t port) { return c.hub->portCounters(port).received; };
  const auto call = [&](uint32_t times) { for (uint32_t i = 0; i < times; i++) { c.send({1}); c.run(1'000); } };
  c.run(5'000'000);                                // an idle group's backups have answered nothing for long, and are not silent
  c.hub->setBlocked(2, 0, true);                   // one that hears the leader, which does not hear it
  uint64_t before = received(2);
  call(10);
  const uint64_t each = (received(2) - before) / 10;
  CHECK(each >= 2);                                // the request and its PREPARE
  c.run(500'000);
  before = received(2);
  call(10);
  CHECK_EQ(received(2) - before, 10 * (each - 1));
  CHECK_EQ(c.caller.done.size(), 20u);
  CHECK_EQ(c.replicas[2]->log().end(), 11u);
  c.hub->setBlocked(2, 0, false);
  again(c);
  c.run(5'000);
  CHECK(sameLog(*c.replicas[2], *c.replicas[0]));
  before = received(2);
  call(10);
  CHECK_EQ(received(2) - before, 10 * each);
  CHECK(sameLog(*c.replicas[2], *c.replicas[0]));
}

TEST(a_lost_prepare_is_noticed_by_those_that_follow_and_sent_again) {
  Cluster c = leaderCluster(3);
  isolate(c, 2, true);
  c.hub->setBlocked(0, 1, true);
  c.send({1});
  c.run(200);
  CHECK_EQ(c.replicas[1]->log().end(), 1u);
  c.hub->setBlocked(0, 1, false);
  for (uint8_t i : {2, 3}) { c.send({i}); c.run(10); }
  c.run(600);
  CHECK_EQ(c.caller.done.size(), 3u);
  CHECK(sameLog(*c.replicas[1], *c.replicas[0]));
}

TEST(prepares_that_overtake_each_other_are_put_in_order_without_asking) {
  Cluster c = leaderCluster(3);
  Replica& backup = *c.replicas[1];
  isolate(c, 1, true);
  for (uint8_t i = 1; i <= 6; i++) { c.send({i}); c.run(300); }
  const auto prepare = [&](uint64_t seqno) { return prepareBody(0, 7, seqno, 1, copyOf(c.replicas[0]->log().record(seqno))); };
  Forger zero(0);
  const double prepares = c.machines[0]->status[protocol::kPrepares];
  isolate(c, 1, false);
  zero.send(backup, MessageType::Prepare, prepare(3));
  CHECK_EQ(backup.log().end(), 1u);
  CHECK_EQ(committed(c, 1), 1u);
  zero.send(backup, MessageType::Prepare, prepare(2));
  CHECK_EQ(backup.log().end(), 3u);
  CHECK_EQ(committed(c, 1), 3u);
  for (uint64_t seqno : {7, 7, 5}) zero.send(backup, MessageType::Prepare, prepare(seqno), false);
  for (uint64_t seqno : {6, 4}) zero.send(backup, MessageType::Prepare, prepare(seqno), false);
  backup.onBatchEnd();
  CHECK(sameLog(backup, *c.replicas[0]));
  CHECK_EQ(committed(c, 1), 7u);
  CHECK_EQ(c.machines[0]->status[protocol::kPrepares], prepares);
}

TEST(a_backup_far_behind_catches_up_part_by_part) {
  Cluster c = leaderCluster(3);
  c.hub->setBlocked(0, 2, true);
  for (int i = 0; i < 20; i++) {
    c.send({1, 2, 3, 4}, 1 << 14);                  // each a PREPARE of its own
    c.run(3'000);
  }
  for (int i = 0; i < 300; i++) { c.send({1, 2}); c.run(300); }
  CHECK_EQ(c.caller.done.size(), 680u);
  c.hub->setBlocked(0, 2, false);
  again(c);
  c.run(20'000);
  CHECK(sameLog(*c.replicas[2], *c.replicas[0]));
  CHECK_EQ(c.machines[2]->executed, 680u);
  CHECK_EQ(c.machines[2]->status[protocol::kRepliesSent], 0.0);
}

TEST(prepares_leave_in_batches_while_the_window_is_full) {
  Cluster one = leaderCluster(3, 1);
  const double before = one.machines[0]->status[protocol::kPrepares];
  for (int i = 0; i < 20; i++) one.send({1});
  one.run(1'000);
  CHECK_EQ(one.machines[0]->status[protocol::kPrepares] - before, 20.0);
  CHECK_EQ(one.caller.done.size(), 20u);

  Cluster c = leaderCluster(3, 4);
  c.hub->setBlocked(1, 0, true);
  c.hub->setBlocked(2, 0, true);
  const double start = c.machines[0]->status[protocol::kPrepares];
  for (int i = 0; i < 60; i++) { c.send({static_cast<uint8_t>(i)}); c.run(10); }
  c.run(200);
  CHECK_EQ(c.machines[0]->status[protocol::kPrepares] - start, double{protocol::kPrepareWindow});   // then the window is full
  c.hub->setBlocked(1, 0, false);
  c.hub->setBlocked(2, 0, false);
  again(c);
  c.run(2'000);
  CHECK_EQ(c.caller.done.size(), 60u);
  // The eight that filled the window, one that asked, and batches of four for what had waited.
  CHECK_EQ(c.machines[0]->status[protocol::kPrepares] - start, 9.0 + (60 - 8) / 4.0);
}

TEST(a_backup_answers_a_retransmission_once_it_knows_the_commit) {
  Cluster c = leaderCluster(3);
  c.hub->setBlocked(0, kClientPort3, true);
  c.send({21});
  c.run(1'000);
  CHECK_EQ(c.caller.done.size(), 0u);
  CHECK_EQ(committed(c, 0), 2u);
  again(c);
  c.run(40'000);
  CHECK_EQ(c.caller.done.size(), 1u);
  if (!c.caller.done.empty()) CHECK_EQ(c.caller.done[0].second, 42);
  for (auto& machine : c.machines) CHECK_EQ(machine->executed, 1u);
}

TEST(a_client_cut_off_from_the_leader_is_served_through_a_backup) {
  Cluster c = leaderCluster(3);
  c.hub->setBlocked(kClientPort3, 0, true);
  c.send({5});
  c.run(200'000);
  CHECK_EQ(c.caller.done.size(), 1u);
  CHECK(c.machines[1]->status[protocol::kForwards] >= 1);
  CHECK_EQ(c.machines[0]->executed, 1u);
  for (int i = 1; i < 3; i++) CHECK(sameLog(*c.replicas[i], *c.replicas[0]));
}

TEST(forwarding_is_limited) {
  Cluster c = leaderCluster(3);
  c.hub->setBlocked(kClientPort3, 0, true);
  c.hub->setBlocked(1, 0, true);
  c.hub->setBlocked(2, 0, true);
  for (int i = 0; i < 60; i++) c.send({5});
  c.run(200'000);
  const double retransmissions = c.caller.status[client::kRetransmissions];
  const double forwards = c.machines[1]->status[protocol::kForwards];
  CHECK(forwards > 0);
  CHECK(forwards < retransmissions * 0.7);           // 16 of the 26 requests that fit a frame, and none at the first try
}

TEST(prepares_that_are_not_this_views_are_dropped_or_handed_up) {
  Cluster c = leaderCluster(3);
  Replica& backup = *c.replicas[1];
  const uint64_t end = backup.log().end();
  Forger zero(0), two(2);
  const std::vector<uint8_t> record = recordOf(c.client->session(), 1);
  two.send(backup, MessageType::Prepare, prepareBody(0, 0, end + 1, 1, record));       // not the leader
  CHECK_EQ(dropped(c, 1, DropReason::WrongRole), 1.0);
  backup.freeze(4);
  zero.send(backup, MessageType::Prepare, prepareBody(0, 0, end + 1, 1, record));      // an older view
  CHECK_EQ(dropped(c, 1, DropReason::Status), 1.0);
  CHECK_EQ(c.machines[1]->controls.size(), 0u);
  two.send(backup, MessageType::Prepare, prepareBody(5, 0, end + 1, 1, record), false);
  two.send(backup, MessageType::Prepare, prepareBody(4, 0, end + 1, 1, record));       // the view it reconciles for
  CHECK_EQ(c.machines[1]->controls.size(), 1u);                                        // once in a batch
  if (!c.machines[1]->controls.empty()) {
    CHECK(c.machines[1]->controls[0].first == MessageType::Prepare);
    CHECK_EQ(c.machines[1]->controls[0].second.size(), 8u);
    CHECK_EQ(c.machines[1]->controls[0].second[0], 5);
  }
  CHECK(backup.install(5, Mode::Speculative, end, {}));
  two.send(backup, MessageType::Prepare, prepareBody(5, 0, end + 1, 1, record));       // no LEADER view
  CHECK_EQ(dropped(c, 1, DropReason::Status), 2.0);
  CHECK_EQ(backup.log().end(), end);
}

TEST(malformed_prepares_change_nothing) {
  Cluster c = leaderCluster(3);
  Replica& backup = *c.replicas[1];
  const uint64_t end = backup.log().end();
  Forger zero(0);
  const std::vector<uint8_t> record = recordOf(c.client->session(), 1);
  std::vector<uint8_t> longer = prepareBody(0, 0, end + 1, 1, record);
  longer.push_back(0);
  std::vector<uint8_t> cut = prepareBody(0, 0, end + 1, 2, record);
  std::vector<uint8_t> first = prepareBody(0, 0, 0, 1, record);
  for (const auto& body : {longer, cut, first, std::vector<uint8_t>(31)}) zero.send(backup, MessageType::Prepare, body);
  CHECK_EQ(dropped(c, 1, DropReason::BadBody), 4.0);
  CHECK_EQ(backup.log().end(), end);
  zero.send(backup, MessageType::Prepare, prepareBody(0, 1ull << 60, end + 1, 1, record));   // commits no more than it has
  CHECK_EQ(committed(c, 1), end + 1);
}

TEST(duplicates_and_overlaps_of_prepares_are_skipped) {
  Cluster c = leaderCluster(3);
  Replica& backup = *c.replicas[1];
  c.send({1, 2});
  c.run(500);
  Forger zero(0);
  std::vector<uint8_t> records;
  for (uint64_t s = 1; s <= 3; s++) { const auto r = copyOf(backup.log().record(s)); records.insert(records.end(), r.begin(), r.end()); }
  const auto extra = recordOf(c.client->session(), 3);
  records.insert(records.end(), extra.begin(), extra.end());
  for (int i = 0; i < 2; i++) zero.send(backup, MessageType::Prepare, prepareBody(0, 1, 1, 4, records));
  CHECK_EQ(backup.log().end(), 4u);
  CHECK_EQ(c.machines[1]->executed, 3u);
}

TEST(an_acknowledgement_that_contradicts_the_log_is_reported_and_does_not_count) {
  Cluster c = leaderCluster(3);
  isolate(c, 1, true);
  isolate(c, 2, true);
  c.send({1});
  c.run(200);
  Forger one(1), two(2);
  std::vector<uint8_t> body(wire::kPrepareOkBytes);
  const uint8_t wrong[32] = {1};
  wire::writePrepareOk(body.data(), {0, 2, wrong, 0, 0, 0, 0});
  one.send(*c.replicas[0], MessageType::PrepareOk, body);
  CHECK_EQ(committed(c, 0), 1u);
  CHECK_EQ(c.machines[0]->controls.size(), 1u);
  if (!c.machines[0]->controls.empty()) {
    CHECK(c.machines[0]->controls[0].first == MessageType::PrepareOk);
    CHECK_EQ(c.machines[0]->controls[0].second.size(), wire::kPrepareOkBytes);
  }
  wire::writePrepareOk(body.data(), {1, 2, c.replicas[0]->log().hashAt(2), 0, 0, 0, 0});   // of another view
  one.send(*c.replicas[0], MessageType::PrepareOk, body);
  CHECK_EQ(committed(c, 0), 1u);
  wire::writePrepareOk(body.data(), {0, 2, c.replicas[0]->log().hashAt(2), 0, 0, 0, 0});
  one.send(*c.replicas[0], MessageType::PrepareOk, body);
  CHECK_EQ(committed(c, 0), 2u);
}

TEST(modes_switch_with_uncommitted_entries) {
  Cluster c(3);
  // Two operations stay uncommitted in the SPECULATIVE view 0, where no control plane commits.
  c.send({1, 2});
  c.run(300);
  CHECK_EQ(c.caller.done.size(), 2u);
  for (auto& replica : c.replicas) replica->freeze(1);
  c.send({3});                                       // waits in the buffers of all
  c.run(300);
  const uint64_t end = c.replicas[0]->log().end();
  for (auto& replica : c.replicas) CHECK(replica->install(1, Mode::Leader, end, {}));
  for (auto& replica : c.replicas) replica->flush();
  c.run(300);
  CHECK_EQ(c.caller.done.size(), 3u);                // replica 1 leads: it took the buffered request, committed and answered
  CHECK_EQ(committed(c, 1), end + 1);
  for (auto& replica : c.replicas) CHECK(sameLog(*replica, *c.replicas[1]));

  // An entry that only the leader has comes into the next, SPECULATIVE view and is answered there.
  c.hub->setBlocked(1, 0, true);
  c.hub->setBlocked(1, 2, true);
  c.send({4});
  c.run(300);
  CHECK_EQ(c.caller.done.size(), 3u);
  const std::vector<uint8_t> record = copyOf(c.replicas[1]->log().record(end + 2));
  for (auto& replica : c.replicas) replica->freeze(2);
  CHECK(c.replicas[1]->install(2, Mode::Speculative, end + 2, {}));
  for (int i : {0, 2}) CHECK(c.replicas[i]->install(2, Mode::Speculative, end + 1, {record}));
  for (auto& replica : c.replicas) replica->flush();
  c.run(300);
  CHECK_EQ(c.caller.done.size(), 4u);
  c.send({5});
  c.run(110);
  CHECK_EQ(c.caller.done.size(), 5u);                // one round trip again
}

TEST(a_leader_view_that_keeps_uncommitted_entries_answers_them_when_they_commit) {
  Cluster c = leaderCluster(3);
  c.hub->setBlocked(0, 1, true);
  c.hub->setBlocked(0, 2, true);
  c.send({7});
  c.run(300);
  const std::vector<uint8_t> record = copyOf(c.replicas[0]->log().record(2));
  isolate(c, 0, true);
  for (int i : {1, 2}) {
    c.replicas[i]->freeze(1);
    CHECK(c.replicas[i]->install(1, Mode::Leader, 1, {record}));
    c.replicas[i]->flush();
  }
  c.run(300);
  CHECK_EQ(c.caller.done.size(), 0u);
  CHECK(c.replicas[1]->commitTo(2));                 // the control plane has IN-VIEW from f others
  c.replicas[1]->flush();
  c.run(100);
  CHECK_EQ(c.caller.done.size(), 1u);
  if (!c.caller.done.empty()) CHECK_EQ(c.caller.done[0].second, 14);
}

TEST(acknowledgements_of_a_former_view_do_not_count) {
  Cluster c = leaderCluster(3);
  c.send({1});
  c.run(500);
  for (int i : {0, 1, 2}) { c.replicas[i]->freeze(3); CHECK(c.replicas[i]->install(3, Mode::Leader, 2, {})); }
  isolate(c, 1, true);
  isolate(c, 2, true);
  c.send({2});
  c.run(500);
  double stats[3 * Replica::kPrepareStatsColumns];
  c.replicas[0]->prepareStats(stats);
  CHECK_EQ(stats[Replica::kPrepareStatsColumns], 0.0);
  CHECK_EQ(stats[Replica::kPrepareStatsColumns + 4], 0.0);
  CHECK_EQ(stats[0], 3.0);
  CHECK_EQ(committed(c, 0), 2u);
}

TEST(backups_measure_how_far_their_order_of_arrival_differs) {
  Cluster c = leaderCluster(3);
  double stats[3 * Replica::kPrepareStatsColumns];
  for (int i = 0; i < 20; i++) { c.send({1, 2, 3}); c.run(300); }
  c.replicas[0]->prepareStats(stats);
  CHECK_EQ(stats[5 + 1], 61.0);                      // the registration is one of them
  CHECK_EQ(stats[5 + 2], 0.0);
  c.client->scramble(true);
  for (int i = 0; i < 20; i++) { c.send({1, 2, 3, 4}); c.run(300); }
  c.replicas[0]->prepareStats(stats);
  CHECK(stats[5 + 2] >= 20.0);
  const double absent = stats[5 + 3];
  c.hub->setBlocked(kClientPort3, 1, true);
  for (int i = 0; i < 5; i++) { c.send({1}); c.run(300); }
  c.replicas[0]->prepareStats(stats);
  CHECK_EQ(stats[5 + 3] - absent, 5.0);
  CHECK(stats[5 + 4] > 0);
}

TEST(arrivals_against_a_plain_map) {
  auto arrivals = std::make_unique<protocol::Arrivals>();
  std::map<std::pair<uint64_t, uint64_t>, uint64_t> kept;
  std::vector<std::pair<uint64_t, uint64_t>> order;
  uint64_t random = 1;
  for (int i = 0; i < 40'000; i++) {
    random = random * 6364136223846793005ull + 1442695040888963407ull;
    const std::pair<uint64_t, uint64_t> key{random >> 33 & 7, random >> 40 & 0x1fff};
    arrivals->note(key.first, key.second);
    if (!kept.contains(key)) {
      if (order.size() >= protocol::Arrivals::kCapacity) kept.erase(order[order.size() - protocol::Arrivals::kCapacity]);
      order.push_back(key);
      kept[key] = order.size();
    }
    const std::pair<uint64_t, uint64_t> other{random >> 20 & 7, random >> 50 & 0x1fff};
    const auto found = kept.find(other);
    const uint64_t expected = found == kept.end() ? 0 : found->second;
    CHECK_EQ(arrivals->find(other.first, other.second), expected);
    if (check::failures()) return;
  }
  arrivals->clear();
  CHECK_EQ(arrivals->find(order.back().first, order.back().second), 0u);
}

TEST(commits_of_a_leader_view_tick_the_control_plane_now_and_then) {
  Cluster c(3, [](protocol::ReplicaConfig& config) { config.firstMode = Mode::Leader; config.logEntries = 8192; });
  for (auto& replica : c.replicas) replica->setProgressAt(~0ull);
  const uint32_t before = c.machines[0]->ticks, atBackup = c.machines[1]->ticks;
  for (int i = 0; i < 64 * 2; i++) { c.send({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}); c.run(500); }
  CHECK_EQ(c.caller.done.size(), 2560u);
  CHECK_EQ(c.machines[0]->ticks - before, 2u);
  CHECK_EQ(c.machines[1]->ticks - atBackup, 2u);
}

TEST(large_operations_travel_in_leader_views_too) {
  Cluster c = leaderCluster(3);
  c.send({21, 22, 23}, 1 << 14);
  c.run(5'000);
  CHECK_EQ(c.caller.done.size(), 3u);
  CHECK_EQ(c.caller.done[0].second, 42);
}

TEST(a_leader_view_survives_loss_duplication_and_reordering) {
  for (uint32_t n : {3u, 5u}) {
    Cluster c = leaderCluster(n);
    fabric::PathOptions bad;
    bad.lossPpm = 150'000;
    bad.duplicatePpm = 50'000;
    bad.reorderPpm = 100'000;
    bad.reorderDelayUs = 300;
    c.hub->setAllPaths(bad);
    for (int i = 0; i < 100; i++) {
      c.send({static_cast<uint8_t>(i), 1, 2});
      for (int k = 0; k < 20; k++) { again(c); c.run(3'000); }
    }
    for (int k = 0; k < 100; k++) { again(c); c.run(10'000); }
    CHECK_EQ(c.caller.done.size(), 300u);
    for (const auto& [status, value] : c.caller.done) CHECK_EQ(status, 0u);
    c.hub->setAllPaths({});
    for (int k = 0; k < 3; k++) { again(c); c.run(2'000); }
    for (uint32_t i = 0; i < n; i++) {
      CHECK(sameLog(*c.replicas[i], *c.replicas[0]));
      CHECK_EQ(c.machines[i]->executed, 300u);
      CHECK_EQ(committed(c, static_cast<int>(i)), c.replicas[0]->log().end());
      CHECK_EQ(c.machines[i]->controls.size(), 0u);
    }
  }
}
