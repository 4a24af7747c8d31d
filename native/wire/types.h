// Vocabulary of the data plane: ids, sizes, message types, reasons for which a frame is dropped.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace squall {

using Bytes = std::span<const uint8_t>;
using Hash = std::array<uint8_t, 32>;
using Salt = std::array<uint8_t, 16>;
using LifeId = std::array<uint8_t, 16>;
using Key = std::array<uint8_t, 32>;

constexpr size_t kMaxReplicas = 9;
constexpr size_t kReplyHashBytes = 16;   // a reply carries the first half of the 256-bit summary hash

constexpr uint32_t majority(uint32_t n) { return n / 2 + 1; }
/// f + ceil(f/2) + 1 with n = 2f+1: 3 of 3, 4 of 5, 6 of 7, 7 of 9 (section 4.2.2).
constexpr uint32_t superquorum(uint32_t n) { const uint32_t f = (n - 1) / 2; return f + (f + 1) / 2 + 1; }
static_assert(superquorum(3) == 3 && superquorum(5) == 4 && superquorum(7) == 6 && superquorum(9) == 7);

enum class Status : uint8_t { Recovery = 0, Normal = 1, Reconciliation = 2, Closed = 3 };
enum class Mode : uint8_t { Speculative = 0, Leader = 1, Fast = 2 };
constexpr uint8_t kModes = 3;

enum class MessageType : uint8_t {
  // client to replica
  Hello = 1, Request = 2, StatusRequest = 3, Read = 4,
  // replica to client
  Welcome = 16, Reply = 17, StatusReply = 18, Reject = 19, ReadReply = 20, Members = 21,
  // replica to replica
  Sync = 32, SyncReply = 33, Commit = 34, StartReconciliation = 35, Reconcile = 36, StartView = 37,
  StartViewRequest = 38, InView = 39, Fetch = 40, FetchReply = 41, Fault = 42, Recovering = 43,
  Prepare = 44, PrepareOk = 45, Forward = 46, Heartbeat = 47, RecoveryQuery = 52, RecoveryAnswer = 53, FetchSnapshot = 54, SnapshotChunk = 55,
  NewEpoch = 56, FastPrepare = 59, FastVote = 60, FetchEpochState = 61, EpochState = 62,
  // operator (holds the cluster secret) to replica and back
  BootstrapPrepare = 48, BootstrapCommit = 49, Blank = 50, Bootstrapped = 51, Reconfigure = 57, ReconfigureAnswer = 58,
  NewLife = 63,
};
/// Set in the type byte of a frame that carries a part of a message of that type.
constexpr uint8_t kFragmentBit = 0x80;

/// Why input was dropped; each has a counter that `squall status` shows.
enum class DropReason : uint8_t {
  None = 0, Truncated, Oversized, BadVersion, ForeignGroup, UnknownType, WrongDestination, WrongRole,
  BadTag, Replayed, BadBody, FragmentLimit, StreamLimit, BufferFull, ClockSkew, Window, UnknownSession, Status,
  Count
};

}  // namespace squall
