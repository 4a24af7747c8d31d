// What the hub and its ports share; nobody else includes this.
#pragma once

#include "fabric/loop.h"

namespace squall::fabric {

/// Datagram bytes in the slab. Copies of a multicast and duplicates share one buffer, so nobody writes to it after
/// it was queued.
struct LoopHub::Buffer {
  Buffer* next;            // in the free list
  uint32_t references;
  uint32_t sizeClass;
  uint8_t* data() { return reinterpret_cast<uint8_t*>(this + 1); }
};

struct LoopHub::Path {
  PathOptions options;
  Random random;
  uint64_t lastArrivalUs = 0;            // FIFO: nothing overtakes this
  uint64_t lastMulticastArrivalUs = 0;   // the same for multicast copies with a common delay
};

struct LoopHub::Event {
  enum class Kind : uint8_t { Datagram, Timer, Call, Resume };
  struct Timer { uint32_t slot; uint32_t generation; };
  struct Call { void (*fn)(void*); void* context; };
  Kind kind;
  uint16_t from;
  uint16_t to;             // the port concerned; unused by Call
  uint16_t group;          // a datagram's: the group it was sent to, or 0
  uint32_t length;
  union {
    Buffer* buffer;
    Timer timer;
    Call call;
  };
};

struct LoopHub::Group {
  std::vector<uint16_t> members;
  std::vector<std::unique_ptr<Random>> delays;   // the common sample, one stream per sender
};

struct LoopPort::Member {
  Receiver* receiver = nullptr;          // null: the slot is free
  uint64_t timerAtUs = kNever;           // in the port's own time
  uint64_t armedUs = kNever;             // virtual time of the queued event, never later than timerAtUs asks for
  uint32_t generation = 0;               // an event with an older one is stale
  bool touched = false;
  std::vector<EndpointId> attachments;
};

struct LoopPort::Queued {
  LoopHub::Buffer* buffer;
  uint32_t length;
  uint32_t firstAddress;
  uint32_t addressCount;
};

/// The seed of one stream among many; different arguments give unrelated streams.
uint64_t streamSeed(uint64_t seed, uint64_t kind, uint64_t a, uint64_t b);

}  // namespace squall::fabric
