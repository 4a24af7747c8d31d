// Layouts inside the bodies of REQUEST and REPLY frames. Little-endian; records lie back to back.
#pragma once

#include "wire/frame.h"

namespace squall::wire {

// REQUEST body: flags 1, attempt 1, count 2, zero 4; then `count` request records.
constexpr size_t kRequestBodyBytes = 8;
enum RequestFlags : uint8_t { kComplaint = 1, kWantResult = 2 };

// A request record is what the log keeps and the summary hash covers, byte for byte; a retransmission repeats it exactly.
//   0 session 8 | 8 request number 8 | 16 low mark 8 | 24 client's clock, us since 1970, 8 | 32 flags 1, zero 3 | 36 length 4 | 40 operation
constexpr size_t kRecordBytes = 40;
// kQuery: runs the machine's query, changes nothing. kReconfigure: the last entry of an epoch, written by a leader, never by a client:
// session 0, request number = the next epoch, operation = the next configuration.
enum RecordFlags : uint8_t { kRegister = 1, kOrdered = 2, kQuery = 4, kReconfigure = 8 };

struct Record {
  uint64_t session, request, lowMark, clockUs;
  uint8_t flags;
  Bytes operation;
  Bytes all;
};

/// Reads the record at the start of `in`; false when it is cut short, oversized or has unknown flags.
inline bool parseRecord(Bytes in, uint32_t maxOperationBytes, Record& out) {
  if (in.size() < kRecordBytes) return false;
  const uint8_t* p = in.data();
  const uint32_t length = load<uint32_t>(p + 36);
  if (length > maxOperationBytes || in.size() - kRecordBytes < length) return false;
  out.session = load<uint64_t>(p);
  out.request = load<uint64_t>(p + 8);
  out.lowMark = load<uint64_t>(p + 16);
  out.clockUs = load<uint64_t>(p + 24);
  out.flags = p[32];
  if (out.flags & ~(kRegister | kOrdered | kQuery | kReconfigure) || p[33] || p[34] || p[35]) return false;
  out.operation = in.subspan(kRecordBytes, length);
  out.all = in.first(kRecordBytes + length);
  return true;
}

/// Whether `in` is `count` records and nothing else.
inline bool wholeRecords(Bytes in, uint32_t count, uint32_t maxOperationBytes) {
  Record record;
  for (uint32_t i = 0; i < count; i++) {
    if (!parseRecord(in, maxOperationBytes, record)) return false;
    in = in.subspan(record.all.size());
  }
  return in.empty();
}

inline void writeRecordHeader(uint8_t* p, uint64_t session, uint64_t request, uint64_t lowMark, uint64_t clockUs, uint8_t flags,
                              uint32_t length) {
  store<uint64_t>(p, session);
  store<uint64_t>(p + 8, request);
  store<uint64_t>(p + 16, lowMark);
  store<uint64_t>(p + 24, clockUs);
  store<uint32_t>(p + 32, flags);
  store<uint32_t>(p + 36, length);
}

// REPLY body: epoch 4, mode 1, zero 1, count 2, view 8; then `count` reply records.
constexpr size_t kReplyBodyBytes = 16;
//   0 request 8 | 8 seqno 8 | 16 first half of the summary hash 16 | 32 flags 1 | 33 ResultStatus 1 | 34 zero 2 | 36 length 4 | 40 result
constexpr size_t kReplyRecordBytes = 40;
enum ReplyFlags : uint8_t { kFullResult = 1, kCommitted = 2 };

enum class ResultStatus : uint8_t {
  Ok = 0, MachineThrew = 1, LogFull = 2, UnknownSession = 3, Stale = 4, PredecessorMissing = 5, RanOverSize = 6,
  QueryUnsupported = 7,
};

struct ReplyRecord {
  uint64_t request, seqno;
  const uint8_t* hash;          // kReplyHashBytes
  uint8_t flags;
  ResultStatus status;
  Bytes result;
};

inline size_t parseReplyRecord(Bytes in, ReplyRecord& out) {
  if (in.size() < kReplyRecordBytes) return 0;
  const uint8_t* p = in.data();
  const uint32_t length = load<uint32_t>(p + 36);
  if (in.size() - kReplyRecordBytes < length || p[33] > static_cast<uint8_t>(ResultStatus::QueryUnsupported)) return 0;
  out.request = load<uint64_t>(p);
  out.seqno = load<uint64_t>(p + 8);
  out.hash = p + 16;
  out.flags = p[32];
  out.status = static_cast<ResultStatus>(p[33]);
  out.result = in.subspan(kReplyRecordBytes, length);
  return kReplyRecordBytes + length;
}

inline void writeReplyRecord(uint8_t* p, uint64_t request, uint64_t seqno, const uint8_t* hash, uint8_t flags, ResultStatus status,
                             Bytes result) {
  store<uint64_t>(p, request);
  store<uint64_t>(p + 8, seqno);
  if (hash) std::memcpy(p + 16, hash, kReplyHashBytes); else std::memset(p + 16, 0, kReplyHashBytes);
  p[32] = flags;
  p[33] = static_cast<uint8_t>(status);
  store<uint16_t>(p + 34, 0);
  store<uint32_t>(p + 36, static_cast<uint32_t>(result.size()));
  if (!result.empty()) std::memcpy(p + kReplyRecordBytes, result.data(), result.size());
}

// HELLO body: nonce 16. WELCOME body: nonce 16, life id 16 (zero: blank), view 8, status 1, replicas 1, window 2, largest operation 4, epoch 4.
constexpr size_t kHelloBytes = 16;
constexpr size_t kWelcomeBytes = 52;
// REJECT body (never sealed, a hint only): reason 1 (DropReason).
constexpr size_t kRejectBytes = 1;

}  // namespace squall::wire
