// The log and the session table: what is decided at execution, and that every decision can be undone.
#include "check.h"
#include "log/sessions.h"

using namespace squall;
using namespace squall::log;
using wire::Record;
using wire::ResultStatus;

namespace {

struct World {
  Log log{256, 1 << 20, true};
  Sessions sessions{2, 4, true};
  std::vector<std::vector<uint8_t>> kept;

  uint64_t put(uint64_t session, uint64_t request, uint64_t low, uint8_t flags = 0, uint8_t byte = 0) {
    const uint32_t length = flags & wire::kRegister ? 24 : 8;
    std::vector<uint8_t> bytes(wire::kRecordBytes + length);
    wire::writeRecordHeader(bytes.data(), session, request, low, 1000 + log.end(), flags, length);
    bytes[wire::kRecordBytes] = byte;
    Record record;
    CHECK(wire::parseRecord(bytes, 1 << 10, record));
    log.append(record.all, record.clockUs, 0);
    sessions.apply(log, log.end(), record, false);
    return log.end();
  }
  void rollback(uint64_t keepTo) {
    for (uint64_t s = log.end(); s > keepTo; s--) sessions.undo(log, s);
    log.rollbackTo(keepTo);
  }
  Hash digest() const { Hash h; sessions.digest(h); return h; }
  EntryKind kind(uint64_t s) const { return log.at(s).kind; }
  ResultStatus status(uint64_t s) const { return log.at(s).status; }
};

}  // namespace

TEST(session_executes_each_request_once) {
  World w;
  w.put(7, 0, 0, wire::kRegister);
  CHECK(w.kind(w.put(7, 1, 1)) == EntryKind::Execute);
  const uint64_t again = w.put(7, 1, 1, 0, 99);     // other bytes under the same number change nothing
  CHECK(w.kind(again) == EntryKind::NoOp);
  CHECK(w.status(again) == ResultStatus::Ok);
  CHECK_EQ(w.log.at(again).previousSlotSeqno, 2u);
  CHECK(w.kind(w.put(7, 2, 2)) == EntryKind::Execute);
  CHECK(w.status(w.put(7, 6, 2)) == ResultStatus::Stale);     // beyond the window of 4
  CHECK(w.kind(w.put(7, 5, 2)) == EntryKind::Execute);
  w.put(7, 3, 3);
  CHECK(w.status(w.put(7, 2, 3)) == ResultStatus::Ok);        // still in its slot: the answer is known
  w.put(7, 6, 5);
  CHECK(w.status(w.put(7, 2, 3)) == ResultStatus::Stale);     // below the low mark and forgotten
}

TEST(session_of_nobody_is_a_defined_no_op) {
  World w;
  CHECK(w.status(w.put(8, 1, 1)) == ResultStatus::UnknownSession);
  CHECK(w.kind(1) == EntryKind::NoOp);
}

TEST(ordered_request_waits_for_its_predecessor) {
  World w;
  w.put(7, 0, 0, wire::kRegister);
  CHECK(w.status(w.put(7, 2, 1, wire::kOrdered)) == ResultStatus::PredecessorMissing);
  CHECK(w.kind(w.put(7, 1, 1, wire::kOrdered)) == EntryKind::Execute);
  CHECK(w.kind(w.put(7, 2, 1, wire::kOrdered)) == EntryKind::Execute);   // the same bytes, now in order
}

TEST(session_table_rolls_back_with_the_log) {
  World w;
  w.put(7, 0, 0, wire::kRegister);
  w.put(7, 1, 1);
  const Hash before = w.digest();
  const uint64_t keep = w.log.end();
  w.put(7, 2, 2);
  w.put(8, 0, 0, wire::kRegister);
  w.put(8, 1, 1);
  w.put(9, 0, 0, wire::kRegister);       // a third session of two: evicts the least recently used
  CHECK_EQ(w.sessions.live(), 2u);
  CHECK_EQ(w.sessions.find(7), kNoSession);
  w.put(9, 1, 1);
  w.put(7, 3, 3);
  w.rollback(keep);
  CHECK(w.digest() == before);
  CHECK(w.sessions.find(7) != kNoSession);
  CHECK_EQ(w.sessions.find(9), kNoSession);
  CHECK(w.kind(w.put(7, 2, 2)) == EntryKind::Execute);
}

TEST(eviction_is_final_at_commit) {
  World w;
  w.put(7, 0, 0, wire::kRegister);
  w.put(8, 0, 0, wire::kRegister);
  for (int i = 0; i < 40; i++) {
    w.put(100 + i, 0, 0, wire::kRegister);
    w.sessions.commit(w.log, w.log.end());
    CHECK_EQ(w.sessions.live(), 2u);
    CHECK(w.sessions.find(100 + i) != kNoSession);
  }
}

TEST(same_requests_give_the_same_table_at_every_replica) {
  World a, b;
  b.put(50, 0, 0, wire::kRegister);     // b went another way first and rolled back
  b.put(50, 1, 1);
  b.rollback(0);
  for (World* w : {&a, &b}) { w->put(7, 0, 0, wire::kRegister); w->put(8, 0, 0, wire::kRegister); w->put(7, 1, 1); w->put(8, 1, 1); }
  CHECK(a.digest() == b.digest());
}

TEST(summary_hash_covers_every_byte_of_the_record) {
  World a, b, c;
  a.put(7, 1, 1, 0, 1);
  b.put(7, 1, 1, 0, 2);
  CHECK(std::memcmp(a.log.hashAt(1), b.log.hashAt(1), 32) != 0);
  c.put(7, 1, 2, 0, 1);                 // the low mark too
  CHECK(std::memcmp(a.log.hashAt(1), c.log.hashAt(1), 32) != 0);
}

TEST(logical_time_never_runs_backwards) {
  World w;
  for (int i = 0; i < 3; i++) w.put(7, 0, 0, wire::kRegister);
  std::vector<uint8_t> bytes(wire::kRecordBytes);
  wire::writeRecordHeader(bytes.data(), 7, 1, 1, 5, 0, 0);
  w.log.append(bytes, 5, 0);
  CHECK(w.log.at(4).timeUs >= w.log.at(3).timeUs);
}

TEST(log_refuses_softly_before_it_is_full) {
  World w;
  w.put(7, 0, 0, wire::kRegister);
  while (!w.log.beyondSoftLimit()) w.put(1, 1, 1);
  CHECK(w.log.end() < w.log.capacity());
  CHECK(w.log.hasRoom(64));
}

TEST(results_survive_a_rollback_of_what_follows) {
  World w;
  w.put(7, 0, 0, wire::kRegister);
  w.put(7, 1, 1);
  w.put(7, 2, 1);
  const uint8_t one[] = {1, 1, 1}, two[] = {2, 2, 2, 2};
  CHECK(w.log.setResult(2, ResultStatus::Ok, one));
  CHECK(w.log.setResult(3, ResultStatus::Ok, two));
  w.rollback(2);
  w.put(7, 2, 1, 0, 5);
  CHECK(w.log.setResult(3, ResultStatus::Ok, one));
  CHECK_EQ(w.log.result(2).size(), 3u);
  CHECK_EQ(w.log.result(2)[0], 1);
}
