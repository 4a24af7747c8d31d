// The engine's verbs around checkpoints: a replica truncates, another takes its state, and clients notice nothing.
#include "engines.h"

using namespace squall;

namespace {

struct Checkpoints : Cluster {
  explicit Checkpoints(uint64_t every = 8, uint64_t logEntries = 1024, uint32_t maxSessions = 4096, Mode mode = Mode::Speculative,
                       fabric::Address group = {})
      : Cluster(3, [&](protocol::ReplicaConfig& c) {
          c.checkpointEvery = every;
          c.logEntries = logEntries;
          c.logBytes = 32 << 20;
          c.maxSessions = maxSessions;
          c.firstMode = mode;
          c.multicastGroup = group;
        }) {}

  void call(uint32_t times) { for (uint32_t i = 0; i < times; i++) { send({static_cast<uint8_t>(i + 1)}); run(1'000); } }
  void commit() { for (auto& r : replicas) CHECK(r->commitTo(r->log().end())); }
  protocol::Replica& operator[](size_t i) { return *replicas[i]; }
  uint64_t due(size_t i) { (*this)[i].flush(); return static_cast<uint64_t>(machines[i]->status[protocol::kCheckpointDue]); }

  /// A blank replica in the place of replica 2, in RECOVERY.
  void restart() {
    protocol::ReplicaConfig c = (*this)[2].config();
    replicas[2].reset();
    machines[2] = std::make_unique<Machine>();
    replicas[2] = std::make_unique<protocol::Replica>(port(2), c, machines[2]->region, *machines[2]);
    CHECK_EQ(replicas[2]->start(), 0);
  }
  std::vector<uint8_t> sessionsAt(size_t i, uint64_t seqno) { std::vector<uint8_t> out; CHECK((*this)[i].checkpointSessions(seqno, out)); return out; }
  std::vector<Bytes> records(size_t i, uint64_t from) {
    std::vector<Bytes> out;
    for (uint64_t s = from; s <= (*this)[i].log().end(); s++) out.push_back((*this)[i].log().record(s));
    return out;
  }
  std::vector<uint8_t> hashes(size_t i, uint64_t from) {
    std::vector<uint8_t> out;
    for (uint64_t s = from; s <= (*this)[i].log().end(); s++) out.insert(out.end(), (*this)[i].log().hashAt(s), (*this)[i].log().hashAt(s) + 32);
    return out;
  }
  bool equal(size_t a, size_t b) {
    Hash x, y;
    (*this)[a].sessions().digest(x);
    (*this)[b].sessions().digest(y);
    const uint64_t end = (*this)[a].log().end();
    return x == y && end == (*this)[b].log().end() && std::memcmp((*this)[a].log().hashAt(end), (*this)[b].log().hashAt(end), 32) == 0;
  }
};

}  // namespace

TEST(a_small_log_serves_for_ever_when_it_is_truncated) {
  Checkpoints c(8, 32);
  for (int round = 0; round < 40; round++) {
    c.call(5);
    c.commit();
    for (size_t i = 0; i < 3; i++)
      while (const uint64_t due = c.due(i)) {
        CHECK_EQ(due % 8, 0u);
        c.sessionsAt(i, due);
        c[i].checkpointed(due);
        if (due > 8) CHECK(c[i].truncate(due - 8));
      }
  }
  CHECK_EQ(c.caller.done.size(), 200u);
  for (const auto& done : c.caller.done) CHECK_EQ(done.first, 0u);
  CHECK_EQ(c[0].log().end(), 201u);
  CHECK_EQ(c[0].log().base(), 192u);
  CHECK_EQ(c.machines[0]->status[protocol::kLogBase], 192.0);
}

TEST(a_full_log_with_checkpoints_has_clients_wait_for_the_next_one) {
  Checkpoints c(8, 16);
  c.call(40);
  CHECK_EQ(c[0].log().end(), 16u);
  CHECK(c.machines[0]->status[protocol::kRefused] > 0);
  CHECK_EQ(c.caller.done.size(), 15u);
  for (int round = 0; round < 20 && c.caller.done.size() < 40; round++) {
    c.commit();
    for (size_t i = 0; i < 3; i++)
      while (const uint64_t due = c.due(i)) {
        c.sessionsAt(i, due);
        c[i].checkpointed(due);
        CHECK(c[i].truncate(due));
      }
    c.run(1'000'000);
  }
  CHECK_EQ(c.caller.done.size(), 40u);
  for (const auto& done : c.caller.done) CHECK_EQ(done.first, 0u);
}

TEST(truncation_stops_at_what_is_committed) {
  Checkpoints c;
  c.call(10);
  CHECK(!c[0].truncate(1));
  CHECK(c[0].commitTo(6));
  CHECK(c[0].truncate(6));
  CHECK(c[0].truncate(3));               // gone already
  CHECK(!c[0].truncate(7));
  CHECK_EQ(c[0].log().base(), 6u);
  std::vector<uint8_t> out;
  CHECK(!c[0].checkpointSessions(6, out));
  CHECK(!c[0].checkpointSessions(7, out));
  CHECK(c[0].commitTo(8));
  CHECK(c[0].checkpointSessions(8, out));
}

TEST(a_duplicate_is_answered_after_its_entry_is_gone) {
  Checkpoints c;
  // The client hears nothing of the first try.
  for (uint16_t i = 0; i < 3; i++) c.hub->setBlocked(i, 3, true);
  c.send({21});
  c.run(2'000);
  CHECK_EQ(c.caller.done.size(), 0u);
  c.commit();
  for (auto& r : c.replicas) CHECK(r->truncate(r->log().end()));
  CHECK_EQ(c[0].log().base(), 2u);
  for (uint16_t i = 0; i < 3; i++) c.hub->setBlocked(i, 3, false);
  c.run(3'000'000);
  CHECK_EQ(c.caller.done.size(), 1u);
  if (!c.caller.done.empty()) CHECK_EQ(c.caller.done[0].second, 42);
  CHECK_EQ(c.machines[0]->executed, 1u);
  CHECK_EQ(c[0].log().end(), 2u);
}

TEST(a_registration_is_answered_after_its_entry_is_gone) {
  Checkpoints c;
  c.commit();
  for (auto& r : c.replicas) CHECK(r->truncate(1));
  const double before = c.machines[0]->status[protocol::kRepliesSent];
  const uint32_t session = c[0].sessions().find(c.client->session());
  CHECK(session != log::kNoSession);
  // The registration once more, as a replica of the log's first record: a duplicate in the log, whose answer lies below it.
  Checkpoints whole;
  const Bytes registration = whole[0].log().record(1);
  std::vector<uint8_t> again(registration.begin(), registration.end());
  wire::store<uint64_t>(again.data(), c.client->session());
  c[0].freeze(1);
  CHECK(c[0].install(1, Mode::Speculative, 1, {again}));
  CHECK(c[0].log().at(2).kind == log::EntryKind::NoOp);
  CHECK_EQ(c[0].log().at(2).previousSlotSeqno, 1u);
  CHECK_EQ(c.machines[0]->status[protocol::kRepliesSent], before + 1);
}

TEST(a_blank_replica_takes_snapshot_and_suffix) {
  Checkpoints c;
  c.call(20);
  c.commit();
  const uint64_t at = 16;
  const auto sessions = c.sessionsAt(0, at);
  const log::Position position = c[0].log().position(at);
  const auto suffix = c.records(0, at + 1);
  const auto hashes = c.hashes(0, at + 1);
  c.restart();
  CHECK(!c[2].appendCommitted(suffix, Bytes(hashes).first(hashes.size() - 1)));
  CHECK(!c[2].restore(at + 1, position, sessions));
  CHECK(c[2].restore(at, position, sessions));
  CHECK(c[2].appendCommitted(suffix, hashes));
  CHECK(c.equal(0, 2));
  CHECK_EQ(c.machines[2]->executed, 5u);
  CHECK_EQ(c.machines[2]->status[protocol::kCommitted], 21.0);
  CHECK(!c[2].restore(at, position, sessions));           // below what is committed now
  CHECK(c[2].status() == Status::Recovery);
  CHECK(!c[2].appendCommitted({Bytes(hashes).first(7)}));
  CHECK_EQ(c[2].log().end(), 21u);
  CHECK(c[2].setLife(LifeId{7}));
  CHECK(c[2].hasLife());
  CHECK(c[2].status() == Status::Recovery);

  // A START-VIEW that does not count it ends the recovery; then it serves like the others.
  for (auto& r : c.replicas) { r->freeze(1); CHECK(r->install(1, Mode::Speculative, 21, {})); r->flush(); }
  CHECK(!c[2].setLife(LifeId{8}));
  CHECK(!c[2].appendCommitted({}));
  c.call(3);
  CHECK_EQ(c.caller.done.size(), 23u);
  CHECK(c.equal(0, 2));
}

TEST(who_recovers_leaves_the_multicast_group_and_is_in_it_again_with_the_view) {
  const uint16_t group = fabric::kFirstLoopGroup;
  Checkpoints c(8, 1024, 4096, Mode::Speculative, fabric::loopAddress(group));
  const uint16_t members[] = {0, 1, 2};
  c.hub->setGroup(group, members, 3);
  const auto dropped = [&] {
    double sum = 0;
    for (uint32_t r = 0; r < static_cast<uint32_t>(DropReason::Count); r++) sum += c.machines[2]->status[protocol::kDropBase + r];
    return sum;
  };
  // A stranger's frame to the group is dropped, and counted, by whoever hears it.
  const auto heard = [&] {
    const double before = dropped();
    fabric::Fabric& port = *c.hub->port(c.clientPort);
    wire::writeHeader(port.reserve(0, wire::kFrameOverhead), {wire::kWireVersion, static_cast<uint8_t>(MessageType::Request), wire::kFrameOverhead, 0, 9, ~0ull, 77, Salt{77}, 1});
    const fabric::Address to = fabric::loopAddress(group);
    port.commit(0, wire::kFrameOverhead, &to, 1);
    port.flush();
    c.run(1'000);
    return dropped() - before;
  };
  c.call(6);
  CHECK_EQ(heard(), 1.0);
  c[2].hearRequests(false);              // it takes part: no
  CHECK_EQ(heard(), 1.0);
  c.restart();
  CHECK(c[2].setLife(LifeId{7}));
  CHECK_EQ(heard(), 1.0);
  c[2].hearRequests(false);
  CHECK_EQ(heard(), 0.0);
  c[2].hearRequests(true);
  CHECK_EQ(heard(), 1.0);
  c[2].hearRequests(false);
  CHECK(c[2].install(1, Mode::Speculative, 0, c.records(0, 1), c.hashes(0, 1)));
  CHECK_EQ(heard(), 1.0);
}

TEST(install_follows_restore_at_once) {
  Checkpoints c;
  c.call(20);
  c.commit();
  const auto sessions = c.sessionsAt(0, 8);
  c.restart();
  CHECK(c[2].setLife(LifeId{7}));
  CHECK(c[2].restore(8, c[0].log().position(8), sessions));
  CHECK(!c[2].install(3, Mode::Speculative, 7, c.records(0, 8)));
  CHECK(c[2].install(3, Mode::Speculative, 8, c.records(0, 9), c.hashes(0, 9)));
  CHECK(c.equal(0, 2));
  CHECK_EQ(c[2].view(), 3u);
  CHECK(c[2].status() == Status::Normal);
  CHECK(!c[2].restore(21, c[0].log().position(21), sessions));   // NORMAL in a SPECULATIVE view
}

TEST(a_frozen_replica_takes_a_snapshot_in_place_of_its_log) {
  Checkpoints c;
  c.call(6);
  c.hub->setBlocked(3, 2, true);         // replica 2 hears no clients
  c.call(3);
  CHECK_EQ(c[2].log().end(), 7u);
  for (int i = 0; i < 2; i++) CHECK(c[i].commitTo(10));
  c[2].freeze(1);
  CHECK(c[2].restore(9, c[0].log().position(9), c.sessionsAt(0, 9)));
  CHECK_EQ(c[2].log().base(), 9u);
  CHECK(c[2].install(1, Mode::Speculative, 9, c.records(0, 10)));
  CHECK(c.equal(0, 2));
  // The client's stream outlived the table: replica 2 answers it.
  c.hub->setBlocked(3, 2, false);
  for (int i = 0; i < 2; i++) { c[i].freeze(1); CHECK(c[i].install(1, Mode::Speculative, 10, {})); c[i].flush(); }
  c[2].flush();
  const size_t before = c.caller.done.size();
  c.call(1);
  CHECK_EQ(c.caller.done.size(), before + 1);
}

TEST(a_backup_that_fell_behind_catches_up_within_the_view) {
  Checkpoints c(8, 1024, 4096, Mode::Leader);
  c.call(3);
  c.hub->setBlocked(0, 2, true);         // it hears nothing of the leader
  c.call(20);
  CHECK_EQ(c.caller.done.size(), 23u);
  CHECK_EQ(c[2].log().end(), 4u);
  CHECK_EQ(c[0].log().end(), 24u);
  const auto sessions = c.sessionsAt(0, 16);
  const log::Position position = c[0].log().position(16);
  CHECK(c[0].truncate(16));
  CHECK_EQ(c[0].prepareAgain(-1), 4u);   // replica 2 needs what is gone
  CHECK(!c[0].restore(24, c[0].log().position(24), c.sessionsAt(0, 24)));   // not at the leader
  CHECK(!c[0].appendCommitted({}));
  CHECK(c[2].restore(16, position, sessions));
  CHECK(c[2].appendCommitted(c.records(0, 17), c.hashes(0, 17)));
  CHECK(c.equal(0, 2));
  c.hub->setBlocked(0, 2, false);
  c.call(2);
  CHECK(c.equal(0, 2));
  CHECK_EQ(c.machines[2]->status[protocol::kStatus], static_cast<double>(Status::Normal));
}

TEST(execution_again_gives_the_same_or_is_refused) {
  Checkpoints c;
  c.call(40);                            // more than one batch of rows
  const uint32_t executed = c.machines[0]->executed;
  CHECK(c[0].reexecute(2, 41));
  CHECK_EQ(c.machines[0]->executed, executed + 40);
  CHECK(c[0].reexecute(17, 17));
  CHECK(!c[0].reexecute(2, 42));
  c.machines[0]->throwing = true;
  CHECK(!c[0].reexecute(30, 41));
  c.machines[0]->throwing = false;
  c.machines[0]->factor = 3;
  CHECK(!c[0].reexecute(30, 41));
  c.machines[0]->factor = 2;
  c.machines[0]->resultBytes = 2;
  CHECK(!c[0].reexecute(30, 41));
  c.machines[0]->resultBytes = 1;
  c.commit();
  CHECK(c[0].truncate(20));
  CHECK(!c[0].reexecute(20, 41));
  CHECK(c[0].reexecute(21, 41));
  CHECK_EQ(c.machines[0]->status[protocol::kExecuted], 41.0);
}

TEST(large_results_demand_checkpoints_of_their_own) {
  Checkpoints c(1 << 20);
  for (auto& machine : c.machines) machine->resultBytes = 12'000;
  c.call(600);
  c.commit();
  CHECK_EQ(c.due(0), 0u);
  c.call(200);
  CHECK_EQ(c.due(0), 601u);              // what is committed
  c.sessionsAt(0, 601);
  c[0].checkpointed(601);
  CHECK_EQ(c.due(0), 0u);
}

TEST(a_long_catch_up_stops_for_truncations) {
  Checkpoints c(1 << 20, 4096);
  c.call(3500);
  c.commit();
  const auto records = c.records(0, 1);
  c.restart();
  c.machines[2]->resultBytes = 12'000;
  int stops = 0;
  while (!c[2].appendCommitted({records.begin() + static_cast<ptrdiff_t>(c[2].log().end()), records.end()}) && stops < 10) {
    stops++;
    const double end = c.machines[2]->status[protocol::kLogEnd];
    CHECK(end > 1000);
    CHECK_EQ(c.machines[2]->status[protocol::kCommitted], end);
    CHECK_EQ(c.machines[2]->status[protocol::kExecuted], end);
    CHECK(c.due(2) != 0);
    c[2].checkpointed(c[2].log().end());
    CHECK(c[2].truncate(c[2].log().end()));
  }
  CHECK_EQ(stops, 1);
  CHECK_EQ(c.machines[2]->status[protocol::kExecuted], 3501.0);
  CHECK(c.equal(0, 2));
}

TEST(execution_waits_for_room_for_its_results) {
  Checkpoints c(1 << 20, 4096);
  c.call(3000);
  c.commit();
  const auto records = c.records(0, 1);
  c.restart();
  c.machines[2]->resultBytes = 12'000;
  CHECK(c[2].appendCommitted({records.begin(), records.begin() + 1501}));
  CHECK(c[2].install(1, Mode::Speculative, 1501, {records.begin() + 1501, records.end()}));
  CHECK_EQ(c[2].log().end(), 3001u);
  const double executed = c.machines[2]->status[protocol::kExecuted];
  CHECK(executed > 1501 && executed < 3001);
  CHECK_EQ(c.machines[2]->status[protocol::kHalted], 0.0);
  CHECK(c[2].truncate(1501));
  CHECK_EQ(c.machines[2]->status[protocol::kExecuted], 3001.0);
  CHECK(c.equal(0, 2));
}

TEST(nobody_hears_of_another_session_that_had_its_place) {
  Checkpoints c(0, 4096, 1);
  const auto record = [](uint64_t session, uint64_t request, uint8_t flags) {
    std::vector<uint8_t> bytes(wire::kRecordBytes + 24);
    wire::writeRecordHeader(bytes.data(), session, request, 1, 0, flags, 24);
    return bytes;
  };
  std::vector<std::vector<uint8_t>> all{record(7, 0, wire::kRegister), record(7, 1, 0)};
  for (uint64_t id = 1; id <= log::Sessions::kEvictionSlack; id++) all.push_back(record(1000 + id, 0, wire::kRegister));
  const Bytes own = c[0].log().record(1);
  all.push_back({own.begin(), own.end()});
  for (size_t from = 0, view = 1; from < all.size(); from += 500, view++) {
    c[0].freeze(view);
    CHECK(c[0].install(view, Mode::Speculative, from, {all.begin() + from, all.begin() + std::min(from + 500, all.size())}));
    CHECK(c[0].commitTo(c[0].log().end()));
  }
  CHECK(c[0].log().at(2).kind == log::EntryKind::Execute);
  const uint32_t session = c[0].sessions().find(c.client->session());
  CHECK_EQ(session, c[0].log().at(2).session);
  c.call(1);                             // now its stream is known
  CHECK(c[0].sessions()[session].stream != ~0u);
  const double before = c.machines[0]->status[protocol::kRepliesSent];
  c[0].answer(1, 2);
  CHECK_EQ(c.machines[0]->status[protocol::kRepliesSent], before);
  c[0].answer(1, c[0].log().end());
  CHECK_EQ(c.machines[0]->status[protocol::kRepliesSent], before + 2);
}

TEST(verbs_of_a_closed_engine_do_nothing) {
  Checkpoints c;
  c.call(10);
  c.commit();
  const auto sessions = c.sessionsAt(0, 8);
  const log::Position position = c[0].log().position(8);
  c[0].close();
  std::vector<uint8_t> out;
  CHECK(!c[0].checkpointSessions(8, out));
  CHECK(!c[0].truncate(8));
  CHECK(!c[0].restore(11, position, sessions));
  CHECK(!c[0].appendCommitted({}));
  CHECK(!c[0].reexecute(2, 3));
  CHECK(!c[0].setLife(LifeId{7}));
  c[0].checkpointed(8);
  c[0].discard();
}
