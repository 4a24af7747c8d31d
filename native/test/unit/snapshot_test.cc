// Session tables as bytes and replies that outlive their log entries, against a table and a log that forget nothing.
#include <map>
#include <random>

#include "check.h"
#include "log/sessions.h"

using namespace squall;
using namespace squall::log;
using wire::Record;
using wire::ResultStatus;

namespace {

constexpr uint32_t kWindow = 4, kSessions = 4;

std::vector<uint8_t> resultOf(const Log& log, uint64_t seqno) {
  const uint8_t* h = log.hashAt(seqno);
  return std::vector<uint8_t>(h[0] % 3 ? h[1] : 0, h[2]);
}

struct Site {
  Log log;
  Sessions sessions;
  uint64_t executed = 0, committed = 0;
  explicit Site(uint64_t checkpointEvery, uint32_t retainedBytes = Sessions::kRetainedBytes)
      : log(1 << 12, 1, true, checkpointEvery), sessions(kSessions, kWindow, true, retainedBytes) {}

  void append(Bytes bytes) {
    Record record;
    CHECK(wire::parseRecord(bytes, 1 << 10, record));
    log.append(record.all, record.clockUs, 0);
    sessions.apply(log, log.end(), record, false);
  }
  void execute() {
    for (; executed < log.end(); executed++)
      if (log.at(executed + 1).kind == EntryKind::Execute) CHECK(log.setResult(executed + 1, ResultStatus::Ok, resultOf(log, executed + 1)));
  }
  void rollback(uint64_t keepTo) {
    for (uint64_t s = log.end(); s > keepTo; s--) sessions.undo(log, s);
    log.rollbackTo(keepTo);
    executed = std::min(executed, keepTo);
  }
  void commit(uint64_t seqno) { committed = seqno; sessions.commit(log, seqno); }
  void truncate(uint64_t seqno) { sessions.retain(log, seqno); log.truncate(seqno); }
  Hash digest() const { Hash h; sessions.digest(h); return h; }
  std::vector<uint8_t> serialize(uint64_t seqno) const { std::vector<uint8_t> out; CHECK(sessions.serialize(log, seqno, out)); return out; }
  bool restore(const std::vector<uint8_t>& bytes, uint64_t seqno, const Position& position) {
    if (!sessions.restore(bytes, seqno)) return false;
    log.restore(seqno, position);
    executed = committed = seqno;
    return true;
  }
};

std::vector<uint8_t> request(uint64_t session, uint64_t number, uint64_t low, uint8_t flags = 0) {
  const uint32_t length = flags & wire::kRegister ? 24 : 8;
  std::vector<uint8_t> bytes(wire::kRecordBytes + length);
  wire::writeRecordHeader(bytes.data(), session, number, low, 0, flags, length);
  return bytes;
}

/// A random request of one of eight clients, of which half fit into the table.
struct Clients {
  std::mt19937_64 random;
  uint64_t next[8] = {}, low[8] = {};
  explicit Clients(uint64_t seed) : random(seed) {}
  std::vector<uint8_t> draw() {
    const uint64_t c = random() % 8;
    if (!next[c] || random() % 25 == 0) { next[c] = std::max<uint64_t>(next[c], 1); low[c] = std::max<uint64_t>(low[c], 1); return request(100 + c, 0, 0, wire::kRegister); }
    if (random() % 3 == 0) low[c] = std::min(next[c], low[c] + random() % 3);
    const uint64_t number = random() % 4 == 0 ? low[c] + random() % (kWindow + 1) : next[c];
    if (number == next[c] && next[c] < low[c] + kWindow) next[c]++;
    return request(100 + c, number, low[c], random() % 5 == 0 ? wire::kOrdered : 0);
  }
};

struct Known { int results = 0, none = 0; };

/// Every request of the window is answered at `site` as at `whole`, which never forgot anything; counts what had an answer.
void compareAnswers(const Site& site, const Site& whole, Known& known) {
  for (uint64_t id = 100; id < 108; id++) {
    const uint32_t a = site.sessions.find(id), b = whole.sessions.find(id);
    CHECK_EQ(a == kNoSession, b == kNoSession);
    if (a == kNoSession || b == kNoSession) continue;
    CHECK_EQ(site.sessions[a].registeredAt, whole.sessions[b].registeredAt);
    CHECK(std::memcmp(site.sessions[a].registeredHash, whole.log.hashAt(whole.sessions[b].registeredAt), kReplyHashBytes) == 0);
    const uint64_t low = whole.sessions[b].lowMark;
    for (uint64_t number = low; number < low + kWindow; number++) {
      const Slot* mine = site.sessions.executed(a, number);
      const Slot* theirs = whole.sessions.executed(b, number);
      CHECK_EQ(mine == nullptr, theirs == nullptr);
      if (!mine || !theirs) continue;
      CHECK_EQ(mine->seqno, theirs->seqno);
      Answer x, y;
      CHECK(whole.sessions.answerOf(whole.log, b, *theirs, y));
      // Unknown only where the client had raised its low mark beyond it in an entry that was rolled back.
      if (!site.sessions.answerOf(site.log, a, *mine, x)) { known.none++; continue; }
      CHECK(std::memcmp(x.hash, y.hash, kReplyHashBytes) == 0);
      CHECK(x.status == y.status);
      if (!x.complete) { known.none++; continue; }
      known.results++;
      CHECK(std::vector<uint8_t>(x.result.begin(), x.result.end()) == std::vector<uint8_t>(y.result.begin(), y.result.end()));
    }
  }
}

}  // namespace

TEST(snapshots_and_truncation_change_nothing_that_clients_see) {
  int checkpoints = 0;
  Known restored, replayed, retained;
  for (uint64_t seed = 1; seed <= 12; seed++) {
    Clients clients(seed);
    auto& random = clients.random;
    Site site(16), whole(0);
    uint64_t last = 0;
    for (int step = 0; step < 600; step++) {
      for (uint64_t n = 1 + random() % 6; n; n--) {
        const auto record = clients.draw();
        if (!site.sessions.acceptsRegistration()) break;
        site.append(record);
        whole.append(record);
      }
      site.execute();
      whole.execute();
      if (random() % 6 == 0) {
        const uint64_t keep = site.committed + random() % (site.log.end() - site.committed + 1);
        site.rollback(keep);
        whole.rollback(keep);
        site.execute();
      }
      if (random() % 3 == 0) {
        site.commit(site.committed + random() % (site.log.end() - site.committed + 1));
        whole.commit(site.committed);
      }
      const uint64_t due = site.log.checkpointDue();
      if (due && due <= site.committed && random() % 3 == 0) {
        const auto bytes = site.serialize(due);
        const Position position = site.log.position(due);
        Site fresh(16), twin(0);
        CHECK(fresh.restore(bytes, due, position));
        for (uint64_t s = 1; s <= due; s++) { twin.append(whole.log.record(s)); twin.commit(s); }
        twin.execute();
        CHECK(fresh.digest() == twin.digest());
        compareAnswers(fresh, twin, restored);
        CHECK(std::memcmp(bytes.data(), twin.digest().data(), 32) == 0);
        for (uint64_t s = due + 1; s <= site.log.end(); s++) fresh.append(site.log.record(s));
        fresh.execute();
        CHECK(fresh.digest() == site.digest());
        compareAnswers(fresh, whole, replayed);
        site.log.checkpointed(due);
        site.commit(site.committed);
        checkpoints++;
        if (last) site.truncate(last);
        last = due;
      }
      if (random() % 20 == 0) site.truncate(site.committed);
      CHECK(site.digest() == whole.digest());
      compareAnswers(site, whole, retained);
    }
  }
  CHECK(checkpoints > 100);
  for (const Known& known : {restored, replayed, retained}) {
    CHECK(known.results > 200);
    CHECK(known.none < known.results / 10);
  }
}

TEST(a_freed_session_is_missed_not_invented) {
  Site site(4000);
  for (uint64_t id = 1; id <= 4; id++) site.append(request(id, 0, 0, wire::kRegister));
  site.append(request(9, 0, 0, wire::kRegister));       // pushes the first one out
  site.commit(5);
  std::vector<uint8_t> out;
  CHECK(site.sessions.serialize(site.log, 5, out));
  CHECK(!site.sessions.serialize(site.log, 4, out));    // the first one belongs to it and is gone
  CHECK(out.empty());
  // Its place taken by another one changes nothing.
  for (uint64_t id = 0; id < Sessions::kEvictionSlack; id++) site.append(request(1000 + id, 0, 0, wire::kRegister));
  CHECK(site.log.at(site.log.end()).status == ResultStatus::Ok);
  CHECK(site.sessions.serialize(site.log, 5, out));
  CHECK(!site.sessions.serialize(site.log, 4, out));
}

TEST(a_checkpoint_that_is_due_holds_evicted_sessions) {
  Site site(4), early(4);
  for (Site* s : {&site, &early}) for (uint64_t id = 1; id <= 4; id++) s->append(request(id, 0, 0, wire::kRegister));
  early.commit(4);
  for (uint64_t id = 9; id <= 12; id++) site.append(request(id, 0, 0, wire::kRegister));
  site.commit(8);
  CHECK(site.serialize(4) == early.serialize(4));
  site.log.checkpointed(4);
  site.commit(8);
  std::vector<uint8_t> out;
  CHECK(!site.sessions.serialize(site.log, 5, out));
  CHECK(site.sessions.serialize(site.log, 8, out));
}

TEST(evictions_find_room_while_a_checkpoint_is_not_taken) {
  Site site(1), plain(0);
  for (uint64_t id = 1; id <= 3 * Sessions::kEvictionSlack; id++) {
    for (Site* s : {&site, &plain}) { s->append(request(id, 0, 0, wire::kRegister)); s->commit(s->log.end()); }
    CHECK(site.log.at(id).status == ResultStatus::Ok);
  }
  CHECK(site.digest() == plain.digest());
}

TEST(retained_results_are_bounded_and_the_newest_stay) {
  Site site(1000, 1000);
  const std::vector<uint8_t> result(300, 7);
  uint64_t number = 0;
  const auto execute = [&] {
    site.append(request(1, ++number, 1));
    CHECK(site.log.setResult(site.log.end(), ResultStatus::Ok, result));
    site.executed = site.log.end();
  };
  site.append(request(1, 0, 0, wire::kRegister));
  execute();
  execute();
  site.commit(3);
  site.truncate(3);
  execute();
  execute();
  site.commit(5);
  site.truncate(5);
  const uint32_t s = site.sessions.find(1);
  int complete = 0;
  for (uint64_t n = 1; n <= 4; n++) {
    Answer a;
    CHECK(site.sessions.answerOf(site.log, s, *site.sessions.executed(s, n), a));
    complete += a.complete;
    CHECK_EQ(a.result.size(), a.complete ? 300u : 0u);
    if (n > 2) CHECK(a.complete);
  }
  CHECK_EQ(complete, 3);
}

TEST(malformed_session_tables_are_refused) {
  Site site(16);
  Clients clients(3);
  for (int i = 0; i < 200; i++) site.append(clients.draw());
  site.execute();
  site.commit(200);
  const auto good = site.serialize(200);
  const Position position = site.log.position(200);
  CHECK(good.size() > 200);
  Site fresh(16);
  fresh.append(request(5, 0, 0, wire::kRegister));
  const Hash before = fresh.digest();
  CHECK(!fresh.sessions.restore(good, 199));
  CHECK(!fresh.sessions.restore({}, 200));
  for (size_t cut = 0; cut < good.size(); cut++) CHECK(!fresh.sessions.restore(Bytes(good).first(cut), 200));
  auto longer = good;
  longer.push_back(0);
  CHECK(!fresh.sessions.restore(longer, 200));
  CHECK(fresh.digest() == before);
  // What a flipped bit leaves acceptable is no part of what replicas agree on: replies, a client's registration.
  std::mt19937_64 random(4);
  int refused = 0;
  for (int i = 0; i < 4000; i++) {
    auto bad = good;
    bad[random() % bad.size()] ^= static_cast<uint8_t>(1u << random() % 8);
    Site other(16);
    if (!other.restore(bad, 200, position)) { refused++; continue; }
    CHECK(other.digest() == site.digest());
    for (int n = 0; n < 20; n++) other.append(clients.draw());
  }
  CHECK(refused > 500);
}

TEST(streams_outlive_a_restored_table) {
  Site site(16), fresh(16);
  for (uint64_t id = 1; id <= 3; id++) site.append(request(id, 0, 0, wire::kRegister));
  site.commit(3);
  fresh.append(request(2, 0, 0, wire::kRegister));
  fresh.sessions[fresh.sessions.find(2)].stream = 77;
  fresh.sessions[fresh.sessions.find(2)].streamGeneration = 5;
  CHECK(fresh.restore(site.serialize(3), 3, site.log.position(3)));
  CHECK_EQ(fresh.sessions[fresh.sessions.find(2)].stream, 77u);
  CHECK_EQ(fresh.sessions[fresh.sessions.find(2)].streamGeneration, 5u);
  CHECK_EQ(fresh.sessions[fresh.sessions.find(1)].stream, ~0u);
}
