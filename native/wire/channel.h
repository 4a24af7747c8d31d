// All streams of one engine: derives keys, seals and opens frames, rejects replays, fragments and reassembles.
//
// Keys (architecture: security model). replicaKey, operatorKey and clientKey(c) come from the cluster secret by HKDF;
// a client is given only its own clientKey. The key of a stream is
//   HMAC-SHA256(roleKey, "squall stream 1" | sender kind | life id or zero | group | sender | sender's salt | receiver's salt)[0..16)
// where the receiver's salt is the client's for frames from a replica to a client or operator, else zero.
// The keys of replicas and operators are HKDF(secret, "squall replica") and HKDF(secret, "squall operator").
//
// A sender's counter is shared by its frames in and outside a life, so that one replay window covers both. An evicted
// stream that comes back gets keys it had before: the counters of answers to it go on, never start again. What it sent
// before can then be replayed to us once more: requests are deduplicated above by session, registrations by nonce.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "fabric/fabric.h"
#include "wire/crypto.h"
#include "wire/frame.h"

namespace squall::wire {

enum class Role : uint8_t { Replica, Client, Operator };

constexpr uint32_t kNoStream = ~0u;

struct ChannelLimits {
  uint32_t maxStreams = 4096;               // streams of clients and operators kept: the least recently used goes, first
                                            // of all those that never spoke in this life; replicas have 16 each besides
  uint32_t maxMessageBytes = (1u << 20) + 4096;  // largest reassembled message a client may send
  uint32_t maxControlBytes = 256u << 20;    // the same for replicas and operators (suffixes, snapshots)
  uint32_t reassemblyBytes = 64u << 20;     // partial messages of clients together, and again those of all others; besides
                                            // these, one message at a time between replicas may be larger than this
  uint32_t reassembliesPerStream = 64;      // the oldest goes
};

struct ChannelConfig {
  Role role;
  uint64_t group;
  uint64_t self;                 // replica index, client id or operator id
  Key secret;                    // replica, operator: the cluster secret; client: its clientKey
  bool sealed = true;
  uint32_t maxFrameBytes = 1400; // larger messages are fragmented; taken as 256 to 65,000
  ChannelLimits limits{};
  uint8_t newestVersion = kWireVersion;   // frames of later versions are dropped
};

/// Where a frame goes. `stream` is the receive stream of the client or operator that is answered.
struct Target {
  enum Kind : uint8_t { AllReplicas, OneReplica, Stream } kind;
  uint64_t replica = 0;
  uint32_t stream = 0;
  static Target all() { return {AllReplicas, 0, 0}; }
  static Target one(uint64_t r) { return {OneReplica, r, 0}; }
  static Target back(uint32_t s) { return {Stream, 0, s}; }
};

/// Result of open(): `body` is valid until the next call of open().
/// A Reject is not authentic: it comes complete, with stream == kNoStream, and proves nothing. Of a dropped frame only
/// `dropped` and `frameBytes` count; `type` and `sender`, if the header could be read, are claims.
struct Opened {
  DropReason dropped = DropReason::None;
  bool complete = false;        // false and not dropped: a fragment that is not the last one
  MessageType type{};
  uint64_t sender = 0;
  uint32_t stream = kNoStream;  // index of the sender's receive stream: stable while it is in use
  uint32_t frameBytes = 0;      // how far to advance in the datagram (0: the rest is unusable)
  Bytes body;
};

struct StreamInfo {             // of a receive stream
  Salt salt;
  uint64_t sender;
  Sender kind;
  fabric::Address address;      // where the last authentic frame came from
  uint8_t version;              // of the last authentic frame: it is answered in the same
};

class Channels {
 public:
  Channels(const ChannelConfig& config, const Salt& ownSalt);
  ~Channels();
  /// Forgets all keys of the former life and all partial messages; streams keep their index, window and counters.
  /// Until a life is set (the zero id is none), frames of a life are neither sealed nor opened.
  void setLife(const LifeId& life);
  /// The version of frames to replicas within a life, at most newestVersion. At first, and outside a life, the oldest.
  void speak(uint8_t version);
  const LifeId& life() const;
  /// A replica's index in another configuration. Its frames to replicas go on with the same counters.
  void setSelf(uint64_t self);
  const Salt& salt() const;

  /// Takes the first frame of `datagram`: header, group, destination, role, key, tag, replay, fragments, in this order.
  void open(Bytes datagram, const fabric::Address& from, Opened& out);

  /// Body of at most maxBody() bytes already in place at frame + kHeaderBytes; writes header and tag; returns the frame's length.
  /// 0, and nothing may be sent: the body is too large, there is no such stream, this role doesn't send this type to this
  /// target, the type needs a life and none is set, or there is no crypto.
  size_t seal(uint8_t* frame, size_t bodyLength, MessageType type, Target target);
  /// A Reject for a client whose frame could not be authenticated: it has no stream, only the group and the salt it claims
  /// (its own group, so that it listens even when that group lives elsewhere).
  size_t sealReject(uint8_t* frame, size_t bodyLength, uint64_t claimedGroup, const Salt& claimed);
  size_t maxBody() const;                            // maxFrameBytes - kFrameOverhead

  /// Seals one message of any size as one frame or as fragments, each passed to emit(frame, length).
  /// messageKey: equal for a byte-identical retransmission, so that fragments of several tries complete each other.
  /// reserve(length) gives room for a frame of that length, emit(length) says it is written there; where seal() would
  /// return 0, nothing is emitted.
  template <class Reserve, class Emit>
  void sealMessage(MessageType type, Target target, Bytes body, uint64_t messageKey, Reserve&& reserve, Emit&& emit) {
    if (body.size() <= maxBody()) {
      uint8_t* frame = reserve(body.size() + kFrameOverhead);
      if (!body.empty()) std::memcpy(frame + kHeaderBytes, body.data(), body.size());
      if (const size_t length = seal(frame, body.size(), type, target)) emit(length);
      return;
    }
    if (body.size() > UINT32_MAX) return;
    const size_t room = maxBody() - kFragmentHeaderBytes;
    for (size_t offset = 0; offset < body.size(); offset += room) {
      const size_t part = std::min(room, body.size() - offset);
      uint8_t* frame = reserve(part + kFragmentHeaderBytes + kFrameOverhead);
      uint8_t* p = frame + kHeaderBytes;
      store<uint64_t>(p, messageKey);
      store<uint32_t>(p + 8, static_cast<uint32_t>(body.size()));
      store<uint32_t>(p + 12, static_cast<uint32_t>(offset));
      std::memcpy(p + kFragmentHeaderBytes, body.data() + offset, part);
      const size_t length = sealFragment(frame, part + kFragmentHeaderBytes, type, target);
      if (!length) return;
      emit(length);
    }
  }
  static constexpr size_t kFragmentHeaderBytes = 16;   // message key 8, total bytes 4, offset 4

  const StreamInfo& stream(uint32_t index) const;
  bool streamLive(uint32_t index) const;
  /// A stable name for a live stream: changes when the index is reused for another sender.
  uint32_t streamGeneration(uint32_t index) const;

 private:
  size_t sealFragment(uint8_t* frame, size_t bodyLength, MessageType type, Target target);
  size_t sealTyped(uint8_t* frame, size_t bodyLength, uint8_t type, Target target);
  struct State;
  std::unique_ptr<State> state_;
};

/// A name for a new stream.
inline Salt freshSalt(fabric::Fabric& fabric) {
  Salt salt;
  fabric.entropy(salt.data(), salt.size());
  return salt;
}

/// roleKey of a client: what `squall key issue` hands out. HKDF(secret, "squall client" | id LE).
Key clientKey(const Key& secret, uint64_t clientId);

}  // namespace squall::wire
