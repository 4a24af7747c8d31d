// Log and session table to and from bytes, for the explorer.
#include "log/state.h"

#include "log/sessions.h"

namespace squall::log {

namespace {

/// Undo information that this kind of entry has none of: left over from whatever had the place in the ring before.
void forgetUnused(Entry& e) {
  if (runsOnMachine(e.kind) || e.kind == EntryKind::Refused) return;
  e.previousSlotRequest = e.previousLowMark = e.previousTouched = 0;
  if (e.kind != EntryKind::NoOp || e.status != wire::ResultStatus::Ok) e.previousSlotSeqno = 0;
}

}  // namespace

void Log::save(StateWriter& out, bool views) const {
  out.put(base_);
  out.put(end_);
  out.put(atBase_);
  out.put(checkpointed_);
  out.put(due_);
  for (uint64_t s = base_ + 1; s <= end_; s++) {
    Entry e = at(s);
    e.recordOffset = e.resultOffset = 0;
    if (!views) e.view = 0;
    forgetUnused(e);
    out.put(e);
    out.bytes(record(s));
    out.bytes(result(s));
  }
}

bool Log::load(StateReader& in) {
  restart(in.get<uint64_t>());
  const uint64_t end = in.get<uint64_t>();
  atBase_ = in.get<Position>();
  checkpointed_ = in.get<uint64_t>();
  due_ = in.get<uint64_t>();
  if (!in.ok() || end < base_ || end - base_ > maxEntries_) return false;
  while (end_ < end) {
    Entry e = in.get<Entry>();
    const Bytes record = in.bytes(), result = in.bytes();
    uint8_t* to = room(record.size(), e.recordOffset);
    if (!in.ok() || !to) return false;
    std::memcpy(to, record.data(), record.size());
    e.resultOffset = e.recordOffset;
    if (!result.empty()) {
      to = room(result.size(), e.resultOffset);
      if (!to) return false;
      std::memcpy(to, result.data(), result.size());
    }
    if (end_ - base_ == entryRing_) growEntries();
    at(++end_) = e;
  }
  return true;
}

void Sessions::save(StateWriter& out) const {
  out.put(evictions_);
  out.put(nextFree_);
  out.put(final_);
  uint32_t used = 0;
  for (uint32_t i = 0; i < capacity_; i++) used += sessions_[i].live || sessions_[i].evictedAt;
  out.put(used);
  for (uint32_t i = 0; i < capacity_ && used; i++) {
    if (!sessions_[i].live && !sessions_[i].evictedAt) continue;
    used--;
    out.put(i);
    out.put(sessions_[i]);
    out.bytes({reinterpret_cast<const uint8_t*>(slots_ + uint64_t{i} * window_), window_ * sizeof(Slot)});
  }
}

bool Sessions::load(StateReader& in) {
  for (uint32_t i = 0; i < capacity_; i++) {
    if (sessions_[i].live) erase(i);
    sessions_[i].live = 0;
    sessions_[i].evictedAt = 0;
  }
  evictions_ = in.get<uint32_t>();
  nextFree_ = in.get<uint32_t>();
  final_ = in.get<uint64_t>();
  const uint32_t used = in.get<uint32_t>();
  for (uint32_t k = 0; k < used; k++) {
    const uint32_t i = in.get<uint32_t>();
    const auto session = in.get<Session>();
    const Bytes slots = in.bytes();
    if (!in.ok() || i >= capacity_ || slots.size() != window_ * sizeof(Slot)) return false;
    sessions_[i] = session;
    std::memcpy(slots_ + uint64_t{i} * window_, slots.data(), slots.size());
    if (session.live) insert(i);
  }
  return true;
}

}  // namespace squall::log
