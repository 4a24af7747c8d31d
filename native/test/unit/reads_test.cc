// Reads outside the log and logged queries: replica and client engines against each other on the loop, without JavaScript.
#include <algorithm>

#include "loop_cluster.h"
#include "wire/read_records.h"

using namespace squall;
using wire::Consistency;

namespace {

/// The sum of all first bytes; a query answers it. Nothing here rolls back: tests that roll back set `sum` themselves, as the
/// machine's rollback upcall would.
struct Machine final : protocol::ReplicaUpcalls {
  protocol::ReplicaRegion region;
  double status[protocol::kStatusWords] = {};
  protocol::ExecuteRow rows[4];
  std::vector<uint8_t> arena = std::vector<uint8_t>(1 << 14), results = std::vector<uint8_t>(1 << 14);
  uint8_t sum = 0;
  bool stuck = false;            // executes nothing
  uint32_t queries = 0, logged = 0, mostRows = ~0u, resultBytes = 1;
  Machine() { region = {status, rows, 4, arena.data(), arena.size(), results.data(), results.size()}; }
  void answer(uint32_t row) {
    std::fill_n(results.begin() + row * resultBytes, resultBytes, sum);
    rows[row].status = 0;
    rows[row].resultBytes = resultBytes;
  }
  uint32_t execute(uint32_t count) override {
    if (stuck) return 0;
    for (uint32_t i = 0; i < count; i++) {
      if (rows[i].status == protocol::kRowQuery) logged++;
      else sum = static_cast<uint8_t>(sum + arena[rows[i].offset]);
      answer(i);
    }
    return count;
  }
  uint32_t query(uint32_t count) override {
    count = std::min(count, mostRows);
    for (uint32_t i = 0; i < count; i++) { CHECK_EQ(rows[i].status, uint32_t{protocol::kRowQuery}); answer(i); queries++; }
    return count;
  }
  void control(wire::Opened&) override {}
  void complaint(uint64_t, uint64_t) override {}
  void tick(uint64_t) override {}
};

struct Answer { uint32_t kind, status; uint64_t seqno; std::vector<uint8_t> result; };

struct Caller final : client::ClientUpcalls {
  client::ClientRegion region;
  double status[client::kClientWords] = {};
  client::RequestRow requests[16], reads[16];
  client::CompletionRow completions[16];
  std::vector<uint8_t> arena = std::vector<uint8_t>(1 << 14), results = std::vector<uint8_t>(1 << 14);
  std::vector<Answer> done;
  client::ClientState state_ = client::ClientState::Hello;
  Caller() { region = {status, requests, 16, reads, 16, arena.data(), arena.size(), completions, 16, results.data(), results.size()}; }
  void complete(uint32_t count) override {
    for (uint32_t i = 0; i < count; i++) {
      const client::CompletionRow& c = completions[i];
      done.push_back({c.kind, c.status, c.seqnoLo, {results.begin() + c.offset, results.begin() + c.offset + c.length}});
    }
  }
  void state(client::ClientState state) override { state_ = state; }
};

struct Cluster : LoopCluster<Machine, Caller> {
  uint32_t nextRead = 0;

  explicit Cluster(uint32_t size = 3) : LoopCluster(size, 1 << 12, 16, [](protocol::ReplicaConfig&) {}) {}
  void write(uint8_t byte, uint8_t flags = 0) {
    caller.arena[0] = byte;
    caller.requests[0] = {static_cast<uint32_t>(next++ % 16), 0, 1, flags};
    CHECK(client->flush(1));
  }
  void read(Consistency consistency, uint32_t length = 1, uint32_t count = 1) {
    for (uint32_t i = 0; i < count; i++) caller.reads[i] = {nextRead++ % 16, 0, length, static_cast<uint32_t>(consistency)};
    CHECK(client->flushReads(count));
  }
  /// Whether the client and this replica hear each other.
  void reach(uint32_t replica, bool reachable) {
    hub->setBlocked(clientPort, static_cast<uint16_t>(replica), !reachable);
    hub->setBlocked(static_cast<uint16_t>(replica), clientPort, !reachable);
  }
  void commitAll() { for (auto& r : replicas) CHECK(r->commitTo(r->log().end())); }
  void view(uint64_t view, Mode mode) {
    for (auto& r : replicas) { r->freeze(view); CHECK(r->install(view, mode, r->log().end(), {})); r->flush(); }
  }
  size_t answers() const { return caller.done.size(); }
  const Answer& last() const { return caller.done.back(); }
};

}  // namespace

TEST(a_linearizable_read_sees_completed_writes_in_one_round_trip_and_is_not_logged) {
  for (uint32_t n : {1u, 3u, 5u}) {
    Cluster c(n);
    c.write(5);
    c.run(150);
    c.read(Consistency::Linearizable);
    c.run(150);
    CHECK_EQ(c.answers(), 2u);
    CHECK_EQ(c.last().kind, uint32_t{client::kReadDone});
    CHECK_EQ(c.last().seqno, 2u);
    CHECK_EQ(c.last().result.at(0), 5);
    for (auto& r : c.replicas) CHECK_EQ(r->log().end(), 2u);
    for (auto& m : c.machines) CHECK_EQ(m->queries, 1u);
  }
}

TEST(in_a_speculative_view_a_majority_of_equal_answers_is_not_enough) {
  for (uint32_t n : {3u, 5u}) {
    Cluster c(n);
    for (uint32_t i = n / 2 + 1; i < n; i++) c.reach(i, false);
    c.read(Consistency::Linearizable);
    c.run(2'000'000);
    CHECK_EQ(c.answers(), 1u);
    CHECK_EQ(c.last().kind, uint32_t{client::kReadUnsettled});   // handed back with its operation, to be logged
    CHECK_EQ(c.last().result.size(), 1u);
  }
}

TEST(in_a_leader_view_a_majority_of_equal_answers_is_enough) {
  Cluster c(5);
  c.view(1, Mode::Leader);
  c.reach(3, false);
  c.reach(4, false);
  c.read(Consistency::Linearizable);
  c.run(100'000);
  CHECK_EQ(c.answers(), 1u);
  CHECK_EQ(c.last().kind, uint32_t{client::kReadDone});
  c.reach(2, false);
  c.read(Consistency::Linearizable);
  c.run(2'000'000);
  CHECK_EQ(c.last().kind, uint32_t{client::kReadUnsettled});
}

TEST(answers_of_different_views_modes_or_hashes_do_not_match) {
  const auto unsettled = [](auto&& disturb) {
    Cluster c;
    disturb(c);
    c.read(Consistency::Linearizable);
    c.run(2'000'000);
    CHECK_EQ(c.answers(), 1u);
    CHECK_EQ(c.last().kind, uint32_t{client::kReadUnsettled});
    CHECK(c.caller.status[client::kReadMismatches] >= 3);
  };
  unsettled([](Cluster& c) { c.replicas[2]->freeze(3); CHECK(c.replicas[2]->install(3, Mode::Speculative, 1, {})); });
  unsettled([](Cluster& c) {
    c.view(3, Mode::Speculative);
    c.replicas[2]->freeze(4);
    CHECK(c.replicas[2]->install(4, Mode::Leader, 1, {}));
    c.replicas[1]->freeze(4);
    CHECK(c.replicas[1]->install(4, Mode::Speculative, 1, {}));
  });
  unsettled([](Cluster& c) {          // one log ends with another entry
    const Bytes registration = c.replicas[2]->log().record(1);
    std::vector<uint8_t> other(registration.begin(), registration.end());
    other[24] ^= 1;                   // the client's clock
    c.replicas[2]->freeze(1);
    CHECK(c.replicas[2]->install(1, Mode::Speculative, 0, {other}));
    for (int i = 0; i < 2; i++) { c.replicas[i]->freeze(1); CHECK(c.replicas[i]->install(1, Mode::Speculative, 1, {})); }
  });
}

TEST(a_read_waits_for_the_end_of_a_reconciliation_but_a_stale_one_does_not) {
  Cluster c;
  c.write(3);
  c.run(150);
  for (auto& r : c.replicas) r->freeze(1);
  c.read(Consistency::Stale);
  c.run(150);
  CHECK_EQ(c.answers(), 2u);
  CHECK_EQ(c.last().result.at(0), 3);
  c.read(Consistency::Linearizable);
  c.run(150);
  CHECK_EQ(c.answers(), 2u);
  c.view(1, Mode::Speculative);
  c.run(100);
  CHECK_EQ(c.answers(), 3u);
  CHECK_EQ(c.last().result.at(0), 3);
}

TEST(a_read_is_not_answered_while_execution_lags) {
  Cluster c;
  c.machines[0]->stuck = true;
  c.write(3);
  c.run(150);
  c.read(Consistency::Linearizable);
  c.run(300);
  CHECK_EQ(c.answers(), 0u);
  CHECK_EQ(c.machines[0]->queries, 0u);
  c.machines[0]->stuck = false;
  c.replicas[0]->setHalted(false);
  c.run(150);
  CHECK_EQ(c.answers(), 2u);
  CHECK_EQ(c.last().result.at(0), 3);
}

TEST(a_machine_that_stands_still_is_not_asked) {
  Cluster c;
  for (auto& r : c.replicas) r->setHalted(true);
  c.read(Consistency::Stale);
  c.run(300);
  CHECK_EQ(c.answers(), 0u);
  for (auto& r : c.replicas) r->setHalted(false);
  c.run(100);
  CHECK_EQ(c.answers(), 1u);
}

TEST(a_session_reads_its_writes_once_they_are_committed) {
  Cluster c;
  c.write(4);
  c.run(150);
  CHECK_EQ(c.answers(), 1u);
  c.read(Consistency::Session);
  c.run(1'000);
  CHECK_EQ(c.answers(), 1u);          // computed, but what it saw may be rolled back yet
  c.commitAll();
  for (auto& r : c.replicas) r->flush();
  c.run(100);
  CHECK_EQ(c.answers(), 2u);
  CHECK_EQ(c.last().seqno, 2u);
  CHECK_EQ(c.last().result.at(0), 4);
  CHECK_EQ(c.machines[0]->queries + c.machines[1]->queries + c.machines[2]->queries, 1u);
}

TEST(a_session_is_not_answered_by_a_replica_that_lacks_what_it_saw) {
  Cluster c(5);
  c.reach(4, false);
  c.write(4);
  c.run(150);
  CHECK_EQ(c.answers(), 1u);          // by four of five
  for (uint32_t i = 0; i < 5; i++) c.reach(i, i == 4);
  c.read(Consistency::Session);
  c.run(500'000);                     // the client has asked it by now: it changes replicas at time-outs
  CHECK_EQ(c.answers(), 1u);
  CHECK_EQ(c.machines[4]->queries, 0u);
  const Bytes record = c.replicas[0]->log().record(2);
  c.replicas[4]->freeze(1);
  CHECK(c.replicas[4]->install(1, Mode::Speculative, 1, {record}));
  CHECK(c.replicas[4]->commitTo(2));
  c.run(3'000'000);
  CHECK_EQ(c.answers(), 2u);
  CHECK_EQ(c.last().result.at(0), 4);
}

TEST(a_session_is_not_answered_where_another_entry_stands_in_the_place_of_what_it_saw) {
  Cluster c(5);
  c.reach(4, false);
  c.write(4);
  c.run(150);
  const Bytes record = c.replicas[0]->log().record(2);
  std::vector<uint8_t> other(record.begin(), record.end());
  other.back() ^= 1;
  c.replicas[4]->freeze(1);
  CHECK(c.replicas[4]->install(1, Mode::Speculative, 1, {other}));
  for (uint32_t i = 0; i < 5; i++) c.reach(i, i == 4);
  c.read(Consistency::Session);
  c.run(3'000'000);
  CHECK_EQ(c.answers(), 1u);
  CHECK_EQ(c.machines[4]->queries, 0u);
}

TEST(what_a_session_read_saw_and_was_rolled_back_is_read_again) {
  Cluster c;
  for (uint32_t i = 1; i < 3; i++) c.reach(i, false);
  c.write(7);                         // only replica 0 gets it
  c.run(3'000);
  CHECK_EQ(c.replicas[0]->log().end(), 2u);
  c.read(Consistency::Session);
  for (int i = 0; i < 200 && c.machines[0]->queries == 0; i++) c.run(1'000);
  CHECK_EQ(c.machines[0]->queries, 1u);
  CHECK_EQ(c.answers(), 0u);
  c.machines[0]->sum = 0;             // the machine's rollback
  const Bytes record = c.replicas[0]->log().record(2);
  std::vector<uint8_t> other(record.begin(), record.end());
  other.back() = 9;
  c.replicas[0]->freeze(1);
  CHECK(c.replicas[0]->install(1, Mode::Speculative, 1, {other}));
  CHECK(c.replicas[0]->commitTo(2));
  c.replicas[0]->flush();
  c.run(100);
  CHECK(c.answers() >= 1);            // the write is answered too
  const auto answer = std::find_if(c.caller.done.begin(), c.caller.done.end(), [](const Answer& a) { return a.kind == client::kReadDone; });
  CHECK(answer != c.caller.done.end());
  if (answer != c.caller.done.end()) { CHECK_EQ(answer->seqno, 2u); CHECK_EQ(answer->result.at(0), 9); }
}

TEST(a_silent_replica_is_left_for_another) {
  Cluster c;
  for (uint32_t silent = 0; silent < 3; silent++) {
    for (uint32_t i = 0; i < 3; i++) c.reach(i, i != silent);
    c.read(Consistency::Stale);
    c.run(200'000);
    CHECK_EQ(c.answers(), silent + 1u);
    CHECK_EQ(c.last().kind, uint32_t{client::kReadDone});
  }
}

TEST(a_lost_read_is_sent_again) {
  Cluster c;
  fabric::PathOptions lossy;
  lossy.lossPpm = 200'000;
  c.hub->setAllPaths(lossy);
  for (int i = 0; i < 60; i++) { c.read(static_cast<Consistency>(i % 3)); c.commitAll(); c.run(1'000'000); }
  CHECK_EQ(c.answers(), 60u);
  CHECK(c.caller.status[client::kReadRetries] > 0);
}

TEST(many_and_large_reads_travel_in_several_frames_and_upcalls) {
  Cluster c;
  for (auto& m : c.machines) m->resultBytes = 3'000;      // five of them fill the results
  for (auto& m : c.machines) m->mostRows = 3;             // and a machine may do fewer than it is asked to
  c.write(9);
  c.run(2'000);
  c.read(Consistency::Linearizable, 1'500, 10);
  c.run(20'000);
  CHECK_EQ(c.answers(), 11u);
  for (size_t i = 1; i < c.answers(); i++) {
    CHECK_EQ(c.caller.done[i].result.size(), 3'000u);
    if (!c.caller.done[i].result.empty()) CHECK_EQ(c.caller.done[i].result.back(), 9);
  }
}

TEST(a_logged_query_has_a_result_and_no_effect_to_roll_back) {
  Cluster c;
  c.write(6);
  c.run(150);
  c.write(1, wire::kQuery);
  c.run(150);
  CHECK_EQ(c.answers(), 2u);
  CHECK_EQ(c.last().kind, uint32_t{client::kRequestDone});
  CHECK_EQ(c.last().seqno, 3u);
  CHECK_EQ(c.last().result.at(0), 6);
  protocol::Replica& r = *c.replicas[0];
  CHECK(r.log().at(3).kind == log::EntryKind::Query);
  CHECK_EQ(c.machines[0]->logged, 1u);
  Hash before, after;
  r.sessions().digest(before);
  const Bytes bytes = r.log().record(3);
  const std::vector<uint8_t> record(bytes.begin(), bytes.end());
  r.freeze(1);
  CHECK(r.install(1, Mode::Speculative, 2, {}));
  r.sessions().digest(after);
  CHECK(before != after);             // its slot in the session table is rolled back
  r.freeze(2);
  CHECK(r.install(2, Mode::Speculative, 2, {record}));
  r.sessions().digest(after);
  CHECK(before == after);
  CHECK_EQ(c.machines[0]->sum, 6);
}

TEST(reads_of_unknown_form_are_dropped_and_counted) {
  uint8_t record[wire::kReadRecordBytes + 4] = {};
  const uint8_t hash[kReplyHashBytes] = {};
  wire::ReadRecord out;
  const auto write = [&](uint32_t length) { wire::writeReadRecordHeader(record, 1, 2, hash, Consistency::Session, 3, length); };
  write(4);
  CHECK_EQ(wire::parseReadRecord(record, 100, out), sizeof record);
  CHECK(out.id == 1 && out.minSeqno == 2 && out.attempt == 3 && out.consistency == Consistency::Session && out.operation.size() == 4);
  CHECK_EQ(wire::parseReadRecord(record, 3, out), 0u);
  CHECK_EQ(wire::parseReadRecord(Bytes{record}.first(sizeof record - 1), 100, out), 0u);
  write(5);
  CHECK_EQ(wire::parseReadRecord(record, 100, out), 0u);
  for (size_t offset : {32u, 34u, 35u}) {
    write(4);
    record[offset] = 3;
    CHECK_EQ(wire::parseReadRecord(record, 100, out), 0u);
  }
}

TEST(the_queue_of_waiting_reads_is_bounded) {
  protocol::ReadQueue queue;
  const std::vector<uint8_t> operation(1 << 20);
  for (size_t i = 0; i < protocol::ReadQueue::kMaxBytes / operation.size(); i++) CHECK(queue.add(operation));
  CHECK(!queue.add(Bytes{operation}.first(1)));
  CHECK(!queue.keepResult(queue[0], 1, wire::ResultStatus::Ok, Bytes{operation}.first(1)));
  queue[3].done = true;
  queue.sweep();
  CHECK(queue.keepResult(queue[0], 5, wire::ResultStatus::Ok, operation));
  CHECK(!queue.add(operation));
  queue.rollBackTo(5);
  CHECK(queue[0].computed);
  queue.rollBackTo(4);
  CHECK(!queue[0].computed);
  CHECK(queue.add(operation));
  for (size_t i = 0; i < queue.size(); i++) queue[i].done = true;
  queue.sweep();
  CHECK(queue.empty());
  for (size_t i = 0; i < protocol::ReadQueue::kMaxReads; i++) CHECK(queue.add({}));
  CHECK(!queue.add({}));
}
