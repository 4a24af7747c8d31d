// Layouts inside the bodies of READ and READ-REPLY frames. Little-endian; records lie back to back.
#pragma once

#include "wire/records.h"

namespace squall::wire {

// READ body: count 2, zero 6; then `count` read records.
constexpr size_t kReadBodyBytes = 8;
//   0 read id 8 | 8 least seqno 8 | 16 first half of the summary hash there 16 | 32 Consistency 1 | 33 attempt 1 | 34 zero 2 |
//   36 length 4 | 40 operation
constexpr size_t kReadRecordBytes = 40;

enum class Consistency : uint8_t { Linearizable = 0, Session = 1, Stale = 2 };

struct ReadRecord {
  uint64_t id, minSeqno;
  const uint8_t* minHash;       // kReplyHashBytes
  Consistency consistency;
  uint8_t attempt;
  Bytes operation;
};

/// Reads the record at the start of `in`; its length in bytes, 0 when it is cut short, oversized or of an unknown consistency.
inline size_t parseReadRecord(Bytes in, uint32_t maxOperationBytes, ReadRecord& out) {
  if (in.size() < kReadRecordBytes) return 0;
  const uint8_t* p = in.data();
  const uint32_t length = load<uint32_t>(p + 36);
  if (length > maxOperationBytes || in.size() - kReadRecordBytes < length) return 0;
  if (p[32] > static_cast<uint8_t>(Consistency::Stale) || p[34] || p[35]) return 0;
  out.id = load<uint64_t>(p);
  out.minSeqno = load<uint64_t>(p + 8);
  out.minHash = p + 16;
  out.consistency = static_cast<Consistency>(p[32]);
  out.attempt = p[33];
  out.operation = in.subspan(kReadRecordBytes, length);
  return kReadRecordBytes + length;
}

inline void writeReadRecordHeader(uint8_t* p, uint64_t id, uint64_t minSeqno, const uint8_t* minHash, Consistency consistency,
                                  uint8_t attempt, uint32_t length) {
  store<uint64_t>(p, id);
  store<uint64_t>(p + 8, minSeqno);
  std::memcpy(p + 16, minHash, kReplyHashBytes);
  p[32] = static_cast<uint8_t>(consistency);
  p[33] = attempt;
  store<uint16_t>(p + 34, 0);
  store<uint32_t>(p + 36, length);
}
constexpr size_t kReadAttemptOffset = 33;

// READ-REPLY body: that of REPLY, with the read id in the place of the request number and without the flag kCommitted. A replica sends
// the result of a linearizable read only if it is the chosen one; all confirm (epoch, mode, view, seqno, hash).

/// The replica that sends the full result of this try.
constexpr uint32_t chosenForRead(uint64_t id, uint8_t attempt, uint32_t n) { return static_cast<uint32_t>((id + attempt) % n); }

}  // namespace squall::wire
