// The receive streams of one engine: found by (salt, sender, kind), bounded, the least recently used goes first.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "wire/channel.h"
#include "wire/replay.h"

namespace squall::wire {

inline bool isReplica(Sender kind) { return kind != Sender::Client && kind != Sender::Operator; }

struct Stream {
  StreamInfo info{};
  uint32_t generation = 0;
  bool established = false;     // has sent an authentic frame of the present life
  ReplayWindow window;
  uint64_t answers = 0;         // counter of the frames sent back
  Aead receive[2];              // [1]: outside a life
  Aead reply[2];

 private:
  friend class StreamTable;
  uint32_t nextInBucket = kNoStream;
  uint32_t newer = kNoStream, older = kNoStream;
  uint8_t list = 0;
};

class StreamTable {
 public:
  // A replica has one salt for each time it started: more than a handful in use at once can only be replays.
  static constexpr uint32_t kStreamsPerReplica = 16;

  StreamTable(uint32_t maxStreams, uint64_t seed0, uint64_t seed1)
      : maxPeers_(std::max(maxStreams, 1u)), seed0_(seed0), seed1_(seed1) {
    size_t buckets = 64;
    while (buckets < maxPeers_ && buckets < (1u << 20)) buckets *= 2;
    buckets_.assign(buckets, kNoStream);
  }

  uint32_t find(const Salt& salt, uint64_t sender, Sender kind) const {
    uint32_t i = buckets_[bucketOf(salt, sender)];
    while (i != kNoStream) {
      const Stream& s = *streams_[i];
      if (s.info.salt == salt && s.info.sender == sender && s.info.kind == kind) break;
      i = s.nextInBucket;
    }
    return i;
  }

  /// A new stream, perhaps in the place of another one, which onEvict(index) hears of first.
  template <class OnEvict> uint32_t create(const Salt& salt, uint64_t sender, Sender kind, OnEvict&& onEvict) {
    uint32_t i = victimFor(sender, kind);
    if (i == kNoStream) {
      i = static_cast<uint32_t>(streams_.size());
      streams_.push_back(std::make_unique<Stream>());
    } else {
      onEvict(i);
      unlinkFromBucket(i);
      unlink(i);
      Stream& old = *streams_[i];
      answersFloor_ = std::max(answersFloor_, old.answers);
      const uint32_t generation = old.generation;
      old = Stream{};
      old.generation = generation;
    }
    Stream& s = *streams_[i];
    s.info.salt = salt;
    s.info.sender = sender;
    s.info.kind = kind;
    s.generation++;
    // The same salt may come back after an eviction and get the same keys: its counters must not start again.
    s.answers = answersFloor_;
    uint32_t& bucket = buckets_[bucketOf(salt, sender)];
    s.nextInBucket = bucket;
    bucket = i;
    link(i, isReplica(kind) ? kReplicas : kNewcomers);
    return i;
  }

  /// Called for each authentic frame.
  void touch(uint32_t i, bool inLife) {
    Stream& s = *streams_[i];
    const bool promoted = inLife && !s.established;
    s.established |= inLife;
    const uint8_t list = promoted && s.list == kNewcomers ? uint8_t{kEstablished} : s.list;
    if (list == s.list && lists_[list].newest == i) return;
    unlink(i);
    link(i, list);
  }

  /// The keys of the former life go; streams, windows and counters stay.
  void forgetLife() {
    for (uint32_t i = 0; i < streams_.size(); i++) {
      Stream& s = *streams_[i];
      s.receive[0] = Aead();
      s.reply[0] = Aead();
      s.established = false;
      if (s.list == kEstablished) {
        unlink(i);
        link(i, kNewcomers);
      }
    }
  }

  /// Answers are sealed under the sender's own id, which is another one from now on.
  void forgetReplies() {
    for (auto& stream : streams_)
      for (Aead& reply : stream->reply) reply = Aead();
  }

  bool live(uint32_t i) const { return i < streams_.size(); }
  Stream& at(uint32_t i) { return *streams_[i]; }
  const Stream& at(uint32_t i) const { return *streams_[i]; }

 private:
  // Newcomers have shown nothing but frames outside a life, which anybody can record and replay for ever: they make
  // room before any stream that has spoken in this life.
  enum : uint8_t { kNewcomers, kEstablished, kReplicas, kLists };
  struct List { uint32_t newest = kNoStream, oldest = kNoStream; };

  uint32_t victimFor(uint64_t sender, Sender kind) const {
    if (!isReplica(kind)) {
      if (peers_ < maxPeers_) return kNoStream;
      const uint32_t newcomer = lists_[kNewcomers].oldest;
      return newcomer != kNoStream ? newcomer : lists_[kEstablished].oldest;
    }
    uint32_t count = 0, oldest = kNoStream, oldestNewcomer = kNoStream;
    for (uint32_t i = lists_[kReplicas].oldest; i != kNoStream; i = streams_[i]->newer) {
      const Stream& s = *streams_[i];
      if (s.info.sender != sender) continue;
      count++;
      if (oldest == kNoStream) oldest = i;
      if (oldestNewcomer == kNoStream && !s.established) oldestNewcomer = i;
    }
    if (count < kStreamsPerReplica) return kNoStream;
    return oldestNewcomer != kNoStream ? oldestNewcomer : oldest;
  }

  size_t bucketOf(const Salt& salt, uint64_t sender) const {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(load<uint64_t>(salt.data()) ^ seed0_) *
                         (load<uint64_t>(salt.data() + 8) ^ seed1_ ^ (sender * 0x9e3779b97f4a7c15ull));
    return (static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64)) & (buckets_.size() - 1);
  }

  void unlinkFromBucket(uint32_t i) {
    const Stream& s = *streams_[i];
    uint32_t* at = &buckets_[bucketOf(s.info.salt, s.info.sender)];
    while (*at != i) at = &streams_[*at]->nextInBucket;
    *at = s.nextInBucket;
  }

  void link(uint32_t i, uint8_t list) {
    Stream& s = *streams_[i];
    s.list = list;
    s.newer = kNoStream;
    s.older = lists_[list].newest;
    (s.older == kNoStream ? lists_[list].oldest : streams_[s.older]->newer) = i;
    lists_[list].newest = i;
    if (list != kReplicas) peers_++;
  }

  void unlink(uint32_t i) {
    Stream& s = *streams_[i];
    (s.newer == kNoStream ? lists_[s.list].newest : streams_[s.newer]->older) = s.older;
    (s.older == kNoStream ? lists_[s.list].oldest : streams_[s.older]->newer) = s.newer;
    if (s.list != kReplicas) peers_--;
  }

  std::vector<std::unique_ptr<Stream>> streams_;   // pointers: references stay good when the table grows
  std::vector<uint32_t> buckets_;
  List lists_[kLists];
  uint32_t maxPeers_, peers_ = 0;                  // clients and operators
  uint64_t answersFloor_ = 0;                      // highest counter any evicted stream was answered with
  uint64_t seed0_, seed1_;
};

}  // namespace squall::wire
