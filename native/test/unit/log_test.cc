// The log as a ring: truncation, rollback of what follows, checkpoints that the log alone decides.
#include <random>

#include "check.h"
#include "log/log.h"

using namespace squall;
using namespace squall::log;
using wire::ResultStatus;

namespace {

std::vector<uint8_t> recordOf(uint64_t request, size_t operation, uint64_t clockUs = 0) {
  std::vector<uint8_t> bytes(wire::kRecordBytes + operation, static_cast<uint8_t>(request));
  wire::writeRecordHeader(bytes.data(), 7, request, 1, clockUs, 0, static_cast<uint32_t>(operation));
  return bytes;
}
std::vector<uint8_t> bytesOf(Bytes b) { return {b.begin(), b.end()}; }
bool sameHash(const Log& a, const Log& b, uint64_t seqno) { return std::memcmp(a.hashAt(seqno), b.hashAt(seqno), 32) == 0; }

}  // namespace

TEST(truncated_log_goes_round_and_keeps_its_chain) {
  Log small(8, 1, true), large(1 << 10, 1, true);
  for (uint64_t s = 1; s <= 500; s++) {
    const auto record = recordOf(s, 40, 1000 + s);
    for (Log* log : {&small, &large}) { log->append(record, 1000 + s, 3); CHECK(log->setResult(s, ResultStatus::Ok, record)); }
    if (s % 5 == 0) small.truncate(s - 2);
    CHECK(sameHash(small, large, s));
    CHECK_EQ(small.timeUsAt(s), large.timeUsAt(s));
    CHECK_EQ(small.cumulativeBytesAt(s), large.cumulativeBytesAt(s));
  }
  CHECK_EQ(small.base(), 498u);
  CHECK(sameHash(small, large, 498));
  CHECK(bytesOf(small.record(499)) == recordOf(499, 40, 1499));
  CHECK(bytesOf(small.result(500)) == recordOf(500, 40, 1500));
  CHECK(!small.has(498));
  CHECK(small.has(499));
}

TEST(log_has_room_again_after_a_truncation) {
  Log log(4, 1, true);
  for (uint64_t s = 1; s <= 4; s++) { CHECK(log.hasRoom(64)); log.append(recordOf(s, 8), 0, 0); }
  CHECK(!log.hasRoom(64));
  log.truncate(1);
  CHECK(log.hasRoom(64));
  log.append(recordOf(5, 8), 0, 0);
  CHECK(!log.hasRoom(64));
}

TEST(bytes_of_the_ring_are_never_shared) {
  std::mt19937_64 random(5);
  Log log(1 << 12, 1, true, 64);
  struct Copy { std::vector<uint8_t> record, result; };
  std::vector<Copy> copies(1);
  uint64_t executed = 0, full = 0;
  for (int step = 0; step < 40'000; step++) {
    const uint64_t pick = random() % 100;
    if (pick < 60) {
      const auto record = recordOf(log.end() + 1, random() % 200 == 0 ? random() % (1 << 20) : random() % 20'000);
      if (!log.hasRoom(record.size())) { full++; log.truncate(std::min(executed, log.base() + (log.end() - log.base()) / 8)); continue; }
      log.append(record, 0, 0);
      copies.resize(log.end() + 1);
      copies[log.end()] = {record, {}};
    } else if (pick < 99) {
      for (uint64_t n = random() % 4; n && executed < log.end(); n--) {
        std::vector<uint8_t> result(random() % 3 ? random() % 30'000 : 0, static_cast<uint8_t>(random()));
        if (!log.setResult(executed + 1, ResultStatus::Ok, result)) break;
        copies[++executed].result = result;
      }
    } else {
      const uint64_t back = log.end() - std::min(log.end() - log.base(), random() % 40);
      log.rollbackTo(back);
      executed = std::min(executed, back);
    }
    for (int i = 0; i < 3 && log.end() > log.base(); i++) {
      const uint64_t s = log.base() + 1 + random() % (log.end() - log.base());
      CHECK(bytesOf(log.record(s)) == copies[s].record);
      if (s <= executed) CHECK(bytesOf(log.result(s)) == copies[s].result);
    }
  }
  CHECK(full > 10);
  for (uint64_t s = log.base() + 1; s <= log.end(); s++) CHECK(bytesOf(log.record(s)) == copies[s].record);
}

TEST(a_log_that_is_truncated_goes_round_in_little_memory) {
  Log log(1 << 20, 256 << 20, true, 1 << 10);
  for (uint64_t s = 1; s <= 400'000; s++) {
    CHECK(log.hasRoom(100));
    const auto record = recordOf(s, 60);
    log.append(record, 0, 0);
    CHECK(log.setResult(s, ResultStatus::Ok, record));
    if (s % 1024 == 0) log.truncate(s - 1024);
  }
  CHECK(log.residentBytes() <= 4u << 20);
}

TEST(rings_grow_wherever_what_they_hold_lies) {
  // Truncated by turns a little and a lot, so that rings have come round, or have not, when they double.
  for (uint64_t seed = 1; seed <= 20; seed++) {
    std::mt19937_64 random(seed);
    Log log(1 << 17, 64 << 20, true, 64);
    Log whole(1 << 17, 64 << 20, true);
    const uint64_t first = log.residentBytes();
    uint64_t resident = first;
    const auto compare = [&] {
      for (uint64_t s = log.base() + 1; s <= log.end(); s++) {
        CHECK(sameHash(log, whole, s));
        CHECK(bytesOf(log.record(s)) == bytesOf(whole.record(s)));
        CHECK(bytesOf(log.result(s)) == bytesOf(whole.result(s)));
      }
    };
    for (uint64_t s = 1; s <= 60'000; s++) {
      const auto record = recordOf(s, random() % 400, 1000 + s);
      CHECK(log.hasRoom(record.size()));
      for (Log* each : {&log, &whole}) { each->append(record, 0, 0); CHECK(each->setResult(s, ResultStatus::Ok, Bytes(record).first(s % 32))); }
      if (log.residentBytes() != resident) {
        resident = log.residentBytes();
        compare();
      }
      if (random() % 3'000 == 0) log.truncate(log.base() + random() % (log.end() - log.base()));
      if (random() % 5'000 == 0) {
        s -= std::min(s - log.base(), random() % 100);
        for (Log* each : {&log, &whole}) each->rollbackTo(s);
      }
    }
    compare();
    CHECK(log.residentBytes() > first);
  }
}

TEST(a_result_far_behind_survives_a_rollback) {
  // One result at the end of a long batch of records, whose other entries have none.
  Log log(1 << 14, 1, true);
  for (uint64_t s = 1; s <= 10'000; s++) log.append(recordOf(s, 8), 0, 0);
  const std::vector<uint8_t> result(100, 0xaa);
  CHECK(log.setResult(1, ResultStatus::Ok, result));
  log.rollbackTo(9'000);
  for (uint64_t s = 9'001; s <= 10'500; s++) log.append(recordOf(s, 8), 0, 0);
  CHECK(bytesOf(log.result(1)) == result);
}

TEST(a_full_ring_takes_no_result_and_loses_none) {
  Log log(1 << 12, 1, true);
  const std::vector<uint8_t> result(3 << 20, 0xbb);
  uint64_t s = 0;
  while (log.hasRoom(64) && s < 1000) {
    log.append(recordOf(++s, 8), 0, 0);
    if (!log.setResult(s, ResultStatus::Ok, result)) break;
  }
  log.append(recordOf(++s, 8), 0, 0);
  for (int i = 0; i < 3; i++) log.setResult(s, ResultStatus::Ok, result);
  CHECK(!log.setResult(s, ResultStatus::Ok, result));
  for (uint64_t i = 1; i < s; i++) { CHECK(bytesOf(log.record(i)) == recordOf(i, 8)); CHECK(bytesOf(log.result(i)) == result); }
  CHECK(log.result(s).empty());
  log.truncate(1);
  CHECK(log.setResult(s, ResultStatus::Ok, result));
}

TEST(a_restored_log_goes_on_behind_its_base) {
  Log donor(64, 1, true), log(64, 1, true);
  for (uint64_t s = 1; s <= 20; s++) donor.append(recordOf(s, 8), 5000 + s, 0);
  log.append(recordOf(99, 8), 1, 0);
  log.restore(15, donor.position(15));
  CHECK_EQ(log.base(), 15u);
  CHECK_EQ(log.end(), 15u);
  CHECK(sameHash(log, donor, 15));
  for (uint64_t s = 16; s <= 20; s++) log.append(recordOf(s, 8), 0, 0);   // an old clock: time must not run backwards
  CHECK(sameHash(log, donor, 20));
  CHECK_EQ(log.timeUsAt(20), 5015u);
  CHECK_EQ(log.cumulativeBytesAt(20), donor.cumulativeBytesAt(20));
}

TEST(verified_hashes_are_taken_as_they_are) {
  Log a(64, 1, true), b(64, 1, true);
  a.append(recordOf(1, 8), 0, 0);
  b.append(recordOf(1, 8), 0, 0, a.hashAt(1));
  CHECK(sameHash(a, b, 1));
  const Hash other{9};
  b.append(recordOf(2, 8), 0, 0, other.data());
  CHECK(std::memcmp(b.hashAt(2), other.data(), 32) == 0);
}

TEST(checkpoints_are_a_function_of_the_log) {
  std::mt19937_64 random(6);
  Log plain(1 << 12, 32 << 20, true, 100);
  std::vector<std::vector<uint8_t>> records(1);
  std::vector<uint64_t> expected;
  uint64_t before = 0;
  while (plain.hasRoom(1 << 16)) {
    const uint64_t s = plain.end() + 1;
    records.push_back(recordOf(s, s % 300 < 100 ? random() % (1 << 16) : 8));
    plain.append(records[s], 0, 0);
    const uint64_t now = plain.cumulativeBytesAt(s), part = (32 << 20) / 8;
    if (s % 100 == 0 || now / part != before / part) expected.push_back(s);
    before = now;
  }
  CHECK(expected.size() > plain.end() / 100);     // bytes made some of them
  std::vector<uint64_t> got;
  for (uint64_t due; (due = plain.checkpointDue()); plain.checkpointed(due)) got.push_back(due);
  CHECK(got == expected);

  // Another log that rolls back, truncates and takes its checkpoints late has the same ones.
  Log other(1 << 12, 32 << 20, true, 100);
  got.clear();
  uint64_t settled = 0;
  while (other.end() < plain.end()) {
    other.append(records[other.end() + 1], 0, 0);
    if (random() % 50 == 0) other.rollbackTo(std::max(settled, other.end() - std::min<uint64_t>(other.end(), random() % 120)));
    if (random() % 40 == 0) {
      settled = std::max(settled, other.end() - std::min<uint64_t>(other.end(), 60));
      while (other.checkpointDue() && other.checkpointDue() <= settled) { got.push_back(other.checkpointDue()); other.checkpointed(other.checkpointDue()); }
      if (!got.empty()) other.truncate(got.back());
    }
  }
  while (other.checkpointDue()) { got.push_back(other.checkpointDue()); other.checkpointed(other.checkpointDue()); }
  CHECK(got == expected);
}

TEST(a_checkpoint_that_rolled_back_is_not_due) {
  Log log(64, 1, true, 10);
  for (uint64_t s = 1; s <= 25; s++) log.append(recordOf(s, 8), 0, 0);
  CHECK_EQ(log.checkpointDue(), 10u);
  log.rollbackTo(9);
  CHECK_EQ(log.checkpointDue(), 0u);
  for (uint64_t s = 10; s <= 25; s++) log.append(recordOf(s, 8), 0, 0);
  log.checkpointed(10);
  CHECK_EQ(log.checkpointDue(), 20u);
  log.truncate(22);                      // nobody took it: it is gone
  CHECK_EQ(log.checkpointDue(), 0u);
}

TEST(results_that_fill_the_ring_demand_a_checkpoint) {
  Log log(1 << 12, 32 << 20, true, 1000);
  const std::vector<uint8_t> result(1 << 20);
  for (uint64_t s = 1; s <= 7; s++) { log.append(recordOf(s, 8), 0, 0); CHECK(log.setResult(s, ResultStatus::Ok, result)); }
  log.demandCheckpoint(7);
  CHECK_EQ(log.checkpointDue(), 0u);
  for (uint64_t s = 8; s <= 9; s++) { log.append(recordOf(s, 8), 0, 0); CHECK(log.setResult(s, ResultStatus::Ok, result)); }
  log.demandCheckpoint(8);
  CHECK_EQ(log.checkpointDue(), 8u);
  log.demandCheckpoint(9);
  CHECK_EQ(log.checkpointDue(), 8u);            // it stands until it is taken
  log.checkpointed(8);
  log.demandCheckpoint(9);
  CHECK_EQ(log.checkpointDue(), 0u);
}

TEST(without_checkpoints_none_is_due) {
  Log log(64, 1, true);
  for (uint64_t s = 1; s <= 50; s++) log.append(recordOf(s, 8), 0, 0);
  log.demandCheckpoint(50);
  CHECK_EQ(log.checkpointDue(), 0u);
  Log ring(64, 1, true, 16);
  for (uint64_t s = 1; s <= 63; s++) ring.append(recordOf(s, 8), 0, 0);
  CHECK(!ring.beyondSoftLimit());
  for (uint64_t s = 51; s <= 60; s++) log.append(recordOf(s, 8), 0, 0);
  CHECK(log.beyondSoftLimit());
}
