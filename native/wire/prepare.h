// Layouts of PREPARE, PREPARE-OK and FORWARD bodies, the messages of LEADER views. Little-endian; records lie back to back.
#pragma once

#include "wire/records.h"

namespace squall::wire {

// PREPARE: 0 view 8 | 8 leader's committed seqno 8 | 16 seqno of the first record 8 | 24 count 4 | 28 zero 4 | 32 `count` request records.
// Without records it tells the commit, and names the seqno that the leader would give next.
constexpr size_t kPrepareBytes = 32;
// PREPARE-OK: 0 view 8 | 8 log end 8 | 16 first half of the summary hash there 16 | 32 compared 4 | 36 inverted 4 | 40 absent 4 |
// 44 flags 1 | 45 zero 3
constexpr size_t kPrepareOkBytes = 48;
enum PrepareOkFlags : uint8_t { kGap = 1 };
// FORWARD: 0 view 8 | 8 one request record
constexpr size_t kForwardBytes = 8;

struct Prepare {
  uint64_t view, committed, first;
  uint32_t count;
  Bytes records;
};

/// False unless the body is `count` whole records within the limit and nothing else.
inline bool parsePrepare(Bytes body, uint32_t maxOperationBytes, Prepare& out) {
  if (body.size() < kPrepareBytes) return false;
  const uint8_t* p = body.data();
  out.view = load<uint64_t>(p);
  out.committed = load<uint64_t>(p + 8);
  out.first = load<uint64_t>(p + 16);
  out.count = load<uint32_t>(p + 24);
  out.records = body.subspan(kPrepareBytes);
  return out.first != 0 && load<uint32_t>(p + 28) == 0 && wholeRecords(out.records, out.count, maxOperationBytes);
}

inline void writePrepareHeader(uint8_t* p, uint64_t view, uint64_t committed, uint64_t first, uint32_t count) {
  store<uint64_t>(p, view);
  store<uint64_t>(p + 8, committed);
  store<uint64_t>(p + 16, first);
  store<uint32_t>(p + 24, count);
  store<uint32_t>(p + 28, 0);
}

struct PrepareOk {
  uint64_t view, seqno;
  const uint8_t* hash;          // kReplyHashBytes
  uint32_t compared, inverted, absent;
  uint8_t flags;
};

inline bool parsePrepareOk(Bytes body, PrepareOk& out) {
  if (body.size() != kPrepareOkBytes) return false;
  const uint8_t* p = body.data();
  out.view = load<uint64_t>(p);
  out.seqno = load<uint64_t>(p + 8);
  out.hash = p + 16;
  out.compared = load<uint32_t>(p + 32);
  out.inverted = load<uint32_t>(p + 36);
  out.absent = load<uint32_t>(p + 40);
  out.flags = p[44];
  return !(out.flags & ~kGap) && !p[45] && !p[46] && !p[47];
}

inline void writePrepareOk(uint8_t* p, const PrepareOk& ok) {
  store<uint64_t>(p, ok.view);
  store<uint64_t>(p + 8, ok.seqno);
  std::memcpy(p + 16, ok.hash, kReplyHashBytes);
  store<uint32_t>(p + 32, ok.compared);
  store<uint32_t>(p + 36, ok.inverted);
  store<uint32_t>(p + 40, ok.absent);
  store<uint32_t>(p + 44, ok.flags);
}

}  // namespace squall::wire
