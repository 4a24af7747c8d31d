// The session table as bytes: as of a committed entry while the log has newer ones, and back.
#include <algorithm>
#include <unordered_map>

#include "log/sessions.h"

namespace squall::log {

using wire::ResultStatus;

namespace {

constexpr uint32_t kVersion = 1;
struct TableImage {
  Hash digest;
  uint64_t seqno;
  uint32_t version, window, sessions, zero;
};
struct SessionImage {
  uint64_t id, clientId, lowMark, touched, registeredAt;
  uint8_t hash[kReplyHashBytes];
  uint32_t slots, zero;
};
enum class Kept : uint8_t { Nothing = 0, Hash = 1, Result = 2 };
struct SlotImage {
  uint64_t request, seqno;
  uint8_t hash[kReplyHashBytes];
  uint32_t bytes;
  ResultStatus status;
  Kept kept;
  uint16_t zero;
};
static_assert(sizeof(TableImage) == 56 && sizeof(SessionImage) == 64 && sizeof(SlotImage) == 40);

template <class T> void put(std::vector<uint8_t>& out, const T& value) {
  const auto* p = reinterpret_cast<const uint8_t*>(&value);
  out.insert(out.end(), p, p + sizeof value);
}
template <class T> bool take(Bytes& in, T& value) {
  if (in.size() < sizeof value) return false;
  std::memcpy(&value, in.data(), sizeof value);
  in = in.subspan(sizeof value);
  return true;
}

}  // namespace

/// The rows in use, apart from the table: they can be rolled back without it.
struct Sessions::Clone {
  std::vector<Session> rows;
  std::vector<Slot> slots;         // window a row
  std::vector<uint32_t> from, to;  // row in the table by row here, and the reverse (kNoSession: none)
};

bool Sessions::cloneAt(const Log& log, uint64_t seqno, Clone& clone) const {
  clone.to.assign(capacity_, kNoSession);
  for (uint32_t i = 0; i < capacity_; i++) {
    if (!sessions_[i].live && !sessions_[i].evictedAt) continue;
    clone.to[i] = static_cast<uint32_t>(clone.rows.size());
    clone.from.push_back(i);
    clone.rows.push_back(sessions_[i]);
    clone.slots.insert(clone.slots.end(), slots_ + uint64_t{i} * window_, slots_ + uint64_t{i + 1} * window_);
  }
  for (uint64_t s = log.end(); s > seqno; s--) {
    const Entry& e = log.at(s);
    if (e.kind == EntryKind::NoOp) continue;
    const uint32_t row = clone.to[e.session];
    if (row == kNoSession) return false;
    if (e.kind != EntryKind::Register) {
      undoRequest(e, clone.rows[row], clone.slots[uint64_t{row} * window_ + log.request(s) % window_]);
      continue;
    }
    clone.rows[row].live = 0;
    if (e.evicted == kNoSession) continue;
    const uint32_t victim = clone.to[e.evicted];
    if (victim == kNoSession || clone.rows[victim].evictedAt != s) return false;
    clone.rows[victim].evictedAt = 0;
    clone.rows[victim].live = 1;
  }
  return true;
}

bool Sessions::serialize(const Log& log, uint64_t seqno, std::vector<uint8_t>& out) const {
  out.clear();
  Clone clone;
  if (!cloneAt(log, seqno, clone)) return false;
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < clone.rows.size(); i++) if (clone.rows[i].live) order.push_back(i);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return clone.rows[a].id < clone.rows[b].id; });
  wire::Sha256 hash;
  uint64_t room = retained_.capacity();
  put(out, TableImage{{}, seqno, kVersion, window_, static_cast<uint32_t>(order.size()), 0});
  for (uint32_t i : order) {
    const Session& session = clone.rows[i];
    hashSession(hash, session);
    const size_t at = out.size();
    SessionImage image{session.id, session.clientId, session.lowMark, session.touched, session.registeredAt, {}, 0, 0};
    std::memcpy(image.hash, session.registeredHash, sizeof image.hash);
    put(out, image);
    for (uint32_t w = 0; w < window_; w++) {
      const Slot& slot = clone.slots[uint64_t{i} * window_ + w];
      if (!slot.seqno || slot.request < session.lowMark) continue;
      hashSlot(hash, slot);
      image.slots++;
      SlotImage s{slot.request, slot.seqno, {}, 0, ResultStatus::Ok, Kept::Nothing, 0};
      Answer a;
      if (answerOf(log, clone.from[i], slot, a)) {
        std::memcpy(s.hash, a.hash, sizeof s.hash);
        s.status = a.status;
        s.kept = a.complete && a.result.size() <= room ? Kept::Result : Kept::Hash;
        if (s.kept == Kept::Result) s.bytes = static_cast<uint32_t>(a.result.size());
      }
      put(out, s);
      out.insert(out.end(), a.result.begin(), a.result.begin() + s.bytes);
      room -= s.bytes;
    }
    std::memcpy(out.data() + at + offsetof(SessionImage, slots), &image.slots, sizeof image.slots);
  }
  Hash digest;
  hash.finish(digest);
  std::memcpy(out.data() + offsetof(TableImage, digest), digest.data(), digest.size());
  return true;
}

/// Whether `in` is a table of this shape as of `seqno`, nothing in it out of bounds.
bool Sessions::wellFormed(Bytes in, uint64_t seqno) const {
  TableImage table;
  if (!take(in, table) || table.seqno != seqno || table.version != kVersion || table.window != window_ || table.sessions > maxSessions_ || table.zero)
    return false;
  wire::Sha256 hash;
  uint64_t before = 0;
  std::vector<uint64_t> touched;
  for (uint32_t i = 0; i < table.sessions; i++) {
    SessionImage s;
    if (!take(in, s) || (i && s.id <= before) || s.zero || s.slots > window_ || !s.lowMark || !s.registeredAt ||
        s.registeredAt > s.touched || s.touched > seqno) return false;
    before = s.id;
    touched.push_back(s.touched);
    hashSession(hash, Session{s.id, s.clientId, s.lowMark, s.touched, 0, 0, {}, 0, 0, 0, {}});
    for (uint32_t n = 0, next = 0; n < s.slots; n++) {
      SlotImage slot;
      if (!take(in, slot)) return false;
      const uint32_t place = static_cast<uint32_t>(slot.request % window_);
      if (place < next || slot.request < s.lowMark || slot.request - s.lowMark >= window_ || slot.seqno <= s.registeredAt ||
          slot.seqno > s.touched || slot.status > ResultStatus::RanOverSize || slot.kept > Kept::Result || slot.zero ||
          (slot.bytes && slot.kept != Kept::Result) || slot.bytes > in.size()) return false;
      next = place + 1;
      in = in.subspan(slot.bytes);
      hashSlot(hash, {slot.request, slot.seqno});
    }
  }
  Hash digest;
  hash.finish(digest);
  // The least recently used is evicted: no two may be it.
  std::sort(touched.begin(), touched.end());
  return in.empty() && digest == table.digest && std::adjacent_find(touched.begin(), touched.end()) == touched.end();
}

bool Sessions::restore(Bytes in, uint64_t seqno) {
  if (!wellFormed(in, seqno)) return false;
  struct Stream { uint32_t index, generation; };
  std::unordered_map<uint64_t, Stream> streams;
  for (uint32_t i = 0; i < capacity_; i++)
    if (sessions_[i].live || sessions_[i].evictedAt) streams[sessions_[i].id] = {sessions_[i].stream, sessions_[i].streamGeneration};
  std::memset(sessions_, 0, capacity_ * sizeof(Session));
  std::memset(index_, 0, (uint64_t{indexMask_} + 1) * sizeof(uint32_t));
  liveCount_ = evictions_ = nextFree_ = 0;
  final_ = seqno;
  retained_.begin();
  TableImage table;
  take(in, table);
  for (uint32_t i = 0; i < table.sessions; i++) {
    SessionImage s;
    take(in, s);
    const auto known = streams.find(s.id);
    const Stream stream = known == streams.end() ? Stream{~0u, 0} : known->second;
    sessions_[i] = Session{s.id, s.clientId, s.lowMark, s.touched, s.registeredAt, 0, {}, stream.index, stream.generation, 1, {}};
    std::memcpy(sessions_[i].registeredHash, s.hash, sizeof s.hash);
    std::memset(slots_ + uint64_t{i} * window_, 0, window_ * sizeof(Slot));
    insert(i);
    for (uint32_t n = 0; n < s.slots; n++) {
      SlotImage image;
      take(in, image);
      const uint64_t at = slotIndex(i, image.request);
      slots_[at] = {image.request, image.seqno};
      if (image.kept == Kept::Nothing) retained_.forget(at);
      else retained_.keep(at, image.seqno, image.hash, image.status, image.kept == Kept::Result, in.first(image.bytes));
      in = in.subspan(image.bytes);
    }
  }
  nextFree_ = table.sessions % capacity_;
  retained_.finish();
  return true;
}

}  // namespace squall::log
