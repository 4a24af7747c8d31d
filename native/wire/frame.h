// Frame = clear, authenticated routing header + order stamp outside the authentication + sealed body + tag.
// All integers are little-endian. A datagram holds one or more frames back to back.
//
//   off size
//     0    1  version (kWireVersion)
//     1    1  type (MessageType, perhaps with kFragmentBit)
//     2    2  length of the whole frame, header and tag included
//     4    4  key hash, a routing hint for directories (0: none)
//     8    8  group
//    16    8  destination: replica index, kAllReplicas, or the first 8 bytes of a client's salt
//    24    8  sender: replica index, client id, or operator id
//    32   16  sender's salt: names the stream
//    48    8  counter: the nonce, strictly rising within a stream
//    56   16  order stamp: zero until a sequencer writes it; a hint, never trusted for safety, not authenticated
//    72    n  body (AES-128-GCM)
//  72+n   16  tag (all zero in the unsealed mode)
#pragma once

#include "wire/types.h"

namespace squall::wire {

/// Frames of versions between these are understood. A release raises the newest; it raises the oldest only when no release that speaks it is
/// supported beside it any more (docs/upgrading.md).
constexpr uint8_t kOldestWireVersion = 1;
constexpr uint8_t kWireVersion = 1;
constexpr size_t kHeaderBytes = 72;
constexpr size_t kAuthenticatedBytes = 56;
constexpr size_t kTagBytes = 16;
constexpr size_t kFrameOverhead = kHeaderBytes + kTagBytes;
constexpr size_t kMaxFrameBytes = 65'000;        // below the largest UDP payload of both address families
constexpr uint64_t kAllReplicas = ~0ull;

template <class T> inline T load(const uint8_t* p) { T v; std::memcpy(&v, p, sizeof v); return v; }
template <class T> inline void store(uint8_t* p, T v) { std::memcpy(p, &v, sizeof v); }

struct FrameHeader {
  uint8_t version, type;
  uint16_t length;
  uint32_t keyHash;
  uint64_t group, destination, sender;
  Salt salt;
  uint64_t counter;
};

/// Reads the header of the first frame of `datagram`. Never reads beyond it. Checks version, type and length
/// (length >= kFrameOverhead and <= datagram.size()); nothing is authenticated yet.
DropReason parseHeader(Bytes datagram, FrameHeader& out, uint8_t newestVersion = kWireVersion);
void writeHeader(uint8_t* frame, const FrameHeader& header);   // the order stamp is zeroed

enum class Sender : uint8_t { Client, Replica, ReplicaToClient, Operator, ReplicaToOperator };
/// Which side sends this type; false for an unknown type.
bool senderOf(uint8_t type, Sender& out);
/// HELLO, WELCOME, status, RECOVERING and bootstrap frames travel outside a life (sealed under the zero life id).
bool isOutsideLife(uint8_t type);
/// Whether it comes from another configuration, where another machine may have the receiver's index.
bool crossesEpochs(uint8_t type);

}  // namespace squall::wire
