#include "log/sessions.h"

#include <algorithm>
#include <bit>

namespace squall::log {

using wire::ResultStatus;

namespace {
uint64_t mix(uint64_t x) { x ^= x >> 33; x *= 0xff51afd7ed558ccdULL; x ^= x >> 33; return x; }
}  // namespace

Sessions::Sessions(uint32_t maxSessions, uint32_t window, bool dedupe, uint32_t retainedBytes)
    : maxSessions_(maxSessions), capacity_(maxSessions + kEvictionSlack), window_(window),
      indexMask_(std::bit_ceil(capacity_ * 2) - 1), dedupe_(dedupe),
      arena_(Arena::need<Session>(capacity_) + Arena::need<Slot>(uint64_t{capacity_} * window) + Arena::need<uint32_t>(indexMask_ + 1)),
      sessions_(arena_.take<Session>(capacity_)), slots_(arena_.take<Slot>(uint64_t{capacity_} * window)),
      index_(arena_.take<uint32_t>(indexMask_ + 1)), retained_(uint64_t{capacity_} * window, retainedBytes) {}

uint32_t Sessions::find(uint64_t id) const {
  for (uint32_t i = mix(id) & indexMask_; index_[i]; i = (i + 1) & indexMask_)
    if (sessions_[index_[i] - 1].id == id) return index_[i] - 1;
  return kNoSession;
}

void Sessions::insert(uint32_t session) {
  uint32_t i = mix(sessions_[session].id) & indexMask_;
  while (index_[i]) i = (i + 1) & indexMask_;
  index_[i] = session + 1;
  liveCount_++;
}

void Sessions::erase(uint32_t session) {
  uint32_t i = mix(sessions_[session].id) & indexMask_;
  while (index_[i] && index_[i] != session + 1) i = (i + 1) & indexMask_;
  if (!index_[i]) return;
  liveCount_--;
  // Backward shift: entries that were pushed past the hole move into it.
  for (uint32_t j = i;;) {
    index_[i] = 0;
    for (;;) {
      j = (j + 1) & indexMask_;
      if (!index_[j]) return;
      const uint32_t home = mix(sessions_[index_[j] - 1].id) & indexMask_;
      if (((j - home) & indexMask_) >= ((j - i) & indexMask_)) break;
    }
    index_[i] = index_[j];
    i = j;
  }
}

uint32_t Sessions::freeSlot() {
  for (uint32_t tried = 0; tried < capacity_; tried++) {
    const uint32_t i = nextFree_;
    nextFree_ = (nextFree_ + 1) % capacity_;
    if (!sessions_[i].live && !sessions_[i].evictedAt) return i;
  }
  return kNoSession;
}

const Slot* Sessions::executed(uint32_t session, uint64_t request) const {
  if (!dedupe_) return nullptr;
  const Slot& s = slot(session, request);
  return s.seqno && s.request == request ? &s : nullptr;
}

void Sessions::apply(Log& log, uint64_t seqno, const wire::Record& record, bool refuse) {
  Entry& e = log.at(seqno);
  const uint32_t found = find(record.session);
  e.kind = EntryKind::NoOp;
  e.session = found;
  if (record.flags & wire::kRegister) {
    if (record.request != 0 || record.operation.size() < 8) { e.status = ResultStatus::Stale; return; }
    const uint64_t clientId = wire::load<uint64_t>(record.operation.data());
    if (found != kNoSession) {   // idempotent: the same registration once more
      e.status = sessions_[found].clientId == clientId ? ResultStatus::Ok : ResultStatus::UnknownSession;
      e.previousSlotSeqno = sessions_[found].registeredAt;
      return;
    }
    if (refuse) { e.status = ResultStatus::LogFull; return; }
    if (liveCount_ >= maxSessions_) {
      uint32_t victim = kNoSession;
      for (uint32_t i = 0; i < capacity_; i++)
        if (sessions_[i].live && (victim == kNoSession || sessions_[i].touched < sessions_[victim].touched)) victim = i;
      erase(victim);
      sessions_[victim].live = 0;
      sessions_[victim].evictedAt = seqno;
      evictions_++;
      e.evicted = victim;
    }
    uint32_t fresh = freeSlot();
    if (fresh == kNoSession) {   // a checkpoint that is due holds what is final: it has to do without, replicas must not differ
      release(final_);
      fresh = freeSlot();
    }
    if (fresh == kNoSession) { e.status = ResultStatus::UnknownSession; return; }
    sessions_[fresh] = Session{record.session, clientId, 1, seqno, seqno, 0, {}, ~0u, 0, 1, {}};
    std::memcpy(sessions_[fresh].registeredHash, e.hash.data(), kReplyHashBytes);
    std::memset(slots_ + uint64_t{fresh} * window_, 0, window_ * sizeof(Slot));
    insert(fresh);
    e.kind = EntryKind::Register;
    e.session = fresh;
    e.status = ResultStatus::Ok;
    return;
  }
  if (found == kNoSession) { e.status = ResultStatus::UnknownSession; return; }
  Session& session = sessions_[found];
  const uint64_t low = std::max(session.lowMark, record.lowMark);
  if (const Slot* done = executed(found, record.request)) {
    e.status = ResultStatus::Ok;
    e.previousSlotSeqno = done->seqno;
    return;
  }
  e.previousSlotSeqno = 0;
  if (record.request < low || record.request >= low + window_ || record.request == 0) { e.status = ResultStatus::Stale; return; }
  if ((record.flags & wire::kOrdered) && record.request > low) {
    const Slot& before = slot(found, record.request - 1);
    if (before.request != record.request - 1 || !before.seqno) { e.status = ResultStatus::PredecessorMissing; return; }
  }
  Slot& s = slot(found, record.request);
  e.previousSlotRequest = s.request;
  e.previousSlotSeqno = s.seqno;
  e.previousLowMark = session.lowMark;
  e.previousTouched = session.touched;
  s = {record.request, seqno};
  session.lowMark = low;
  session.touched = seqno;
  e.kind = refuse ? EntryKind::Refused : record.flags & wire::kQuery ? EntryKind::Query : EntryKind::Execute;
  e.status = refuse ? ResultStatus::LogFull : ResultStatus::Ok;
}

void Sessions::undoRequest(const Entry& e, Session& session, Slot& slot) {
  slot = {e.previousSlotRequest, e.previousSlotSeqno};
  session.lowMark = e.previousLowMark;
  session.touched = e.previousTouched;
}

void Sessions::undo(const Log& log, uint64_t seqno) {
  const Entry& e = log.at(seqno);
  if (runsOnMachine(e.kind) || e.kind == EntryKind::Refused) {
    undoRequest(e, sessions_[e.session], slot(e.session, log.request(seqno)));
  } else if (e.kind == EntryKind::Register) {
    erase(e.session);
    sessions_[e.session].live = 0;
    if (e.evicted != kNoSession) {
      sessions_[e.evicted].live = 1;
      sessions_[e.evicted].evictedAt = 0;
      evictions_--;
      insert(e.evicted);
    }
  }
}

void Sessions::commit(const Log& log, uint64_t seqno) {
  final_ = seqno;
  const uint64_t due = log.checkpointDue();
  release(due ? std::min(due, seqno) : seqno);
}

void Sessions::release(uint64_t seqno) {
  if (!evictions_) return;
  for (uint32_t i = 0; i < capacity_ && evictions_; i++)
    if (sessions_[i].evictedAt && sessions_[i].evictedAt <= seqno) { sessions_[i].evictedAt = 0; evictions_--; }
}

void Sessions::hashSession(wire::Sha256& hash, const Session& s) {
  const uint64_t head[4] = {s.id, s.clientId, s.lowMark, s.touched};
  hash.update({reinterpret_cast<const uint8_t*>(head), sizeof head});
}

void Sessions::hashSlot(wire::Sha256& hash, const Slot& slot) { hash.update({reinterpret_cast<const uint8_t*>(&slot), sizeof slot}); }

void Sessions::digest(Hash& out) const {
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < capacity_; i++) if (sessions_[i].live) order.push_back(i);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return sessions_[a].id < sessions_[b].id; });
  wire::Sha256 hash;
  for (uint32_t i : order) {
    hashSession(hash, sessions_[i]);
    for (uint32_t w = 0; w < window_; w++) {
      const Slot& slot = slots_[uint64_t{i} * window_ + w];
      if (slot.seqno && slot.request >= sessions_[i].lowMark) hashSlot(hash, slot);
    }
  }
  hash.finish(out);
}

void Sessions::retain(const Log& log, uint64_t seqno) {
  if (seqno <= log.base()) return;
  retained_.begin();
  for (const bool fromLog : {true, false}) {     // what the truncation brings comes first
    for (uint32_t i = 0; i < capacity_; i++) {
      const Session& session = sessions_[i];
      if (!session.live && !session.evictedAt) continue;
      for (uint32_t w = 0; w < window_; w++) {
        const uint64_t at = uint64_t{i} * window_ + w;
        const Slot& slot = slots_[at];
        Answer a;
        if (!slot.seqno || slot.seqno > seqno || (slot.seqno > log.base()) != fromLog || !answerOf(log, i, slot, a)) continue;
        // A request below the low mark is done; it keeps its hash, should the mark itself be rolled back.
        retained_.keep(at, slot.seqno, a.hash, a.status, a.complete && slot.request >= session.lowMark, a.result);
      }
    }
  }
  retained_.finish();
}

bool Sessions::answerOf(const Log& log, uint32_t session, const Slot& slot, Answer& out) const {
  if (log.has(slot.seqno)) {
    const Entry& e = log.at(slot.seqno);
    out = {e.hash.data(), e.status, true, log.result(slot.seqno)};
    return true;
  }
  const RetainedReply* r = retained_.find(slotIndex(session, slot.request), slot.seqno);
  if (!r) return false;
  out = {r->hash, r->status, retained_.complete(*r), retained_.result(*r)};
  return true;
}

}  // namespace squall::log
