// Layouts of FAST-PREPARE and FAST-VOTE bodies, the messages of FAST views. Little-endian; records lie back to back.
#pragma once

#include "wire/records.h"

namespace squall::wire {

// FAST-PREPARE: 0 view 8 | 8 leader's committed seqno 8 | 16 seqno of the first record 8 | 24 first half of the leader's summary hash at the
// seqno before 16 | 40 count 4 | 44 zero 4 | 48 `count` request records. Without records it asks to accept what lies before `first`.
constexpr size_t kFastPrepareBytes = 48;
// FAST-VOTE: 0 view 8 | 8 log end 8 | 16 first half of the summary hash there 16 | 32 accepted 8 | 40 flags 1 | 41 zero 7
constexpr size_t kFastVoteBytes = 48;
enum FastVoteFlags : uint8_t { kFastGap = 1 };

struct FastPrepare {
  uint64_t view, committed, first;
  const uint8_t* hash;          // kReplyHashBytes
  uint32_t count;
  Bytes records;
};

/// False unless the body is `count` whole records within the limit and nothing else.
inline bool parseFastPrepare(Bytes body, uint32_t maxOperationBytes, FastPrepare& out) {
  if (body.size() < kFastPrepareBytes) return false;
  const uint8_t* p = body.data();
  out.view = load<uint64_t>(p);
  out.committed = load<uint64_t>(p + 8);
  out.first = load<uint64_t>(p + 16);
  out.hash = p + 24;
  out.count = load<uint32_t>(p + 40);
  out.records = body.subspan(kFastPrepareBytes);
  return out.first != 0 && load<uint32_t>(p + 44) == 0 && wholeRecords(out.records, out.count, maxOperationBytes);
}

inline void writeFastPrepareHeader(uint8_t* p, uint64_t view, uint64_t committed, uint64_t first, const uint8_t* hash, uint32_t count) {
  store<uint64_t>(p, view);
  store<uint64_t>(p + 8, committed);
  store<uint64_t>(p + 16, first);
  std::memcpy(p + 24, hash, kReplyHashBytes);
  store<uint32_t>(p + 40, count);
  store<uint32_t>(p + 44, 0);
}

struct FastVote {
  uint64_t view, seqno;
  const uint8_t* hash;          // kReplyHashBytes
  uint64_t accepted;
  uint8_t flags;
};

inline bool parseFastVote(Bytes body, FastVote& out) {
  if (body.size() != kFastVoteBytes) return false;
  const uint8_t* p = body.data();
  out.view = load<uint64_t>(p);
  out.seqno = load<uint64_t>(p + 8);
  out.hash = p + 16;
  out.accepted = load<uint64_t>(p + 32);
  out.flags = p[40];
  for (size_t i = 41; i < kFastVoteBytes; i++) if (p[i]) return false;
  return !(out.flags & ~kFastGap) && out.accepted <= out.seqno;
}

inline void writeFastVote(uint8_t* p, const FastVote& vote) {
  std::memset(p, 0, kFastVoteBytes);
  store<uint64_t>(p, vote.view);
  store<uint64_t>(p + 8, vote.seqno);
  std::memcpy(p + 16, vote.hash, kReplyHashBytes);
  store<uint64_t>(p + 32, vote.accepted);
  p[40] = vote.flags;
}

}  // namespace squall::wire
