// The simulator's network on virtual time: deterministic, single-threaded, no sockets, no clocks, no JavaScript.
// One seed gives one run. Every path between two ports draws its faults from a stream of its own, so that a change on
// one path leaves the others as they were.
#pragma once

#include <memory>
#include <vector>

#include "fabric/fabric.h"
#include "wire/crypto.h"

namespace squall::fabric {

constexpr uint8_t kLoopFamily = 1;
constexpr uint16_t kFirstLoopGroup = 0xF000;     // ports from here on are multicast groups
constexpr uint64_t kNever = ~0ull;

inline Address loopAddress(uint16_t port) {
  Address address;
  address.family = kLoopFamily;
  address.port = port;
  return address;
}

/// xoshiro256**, seeded by splitmix64.
class Random {
 public:
  explicit Random(uint64_t seed = 0);
  uint64_t next();
  /// Uniform in [0, bound); 0 for bound 0.
  uint64_t below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
  }
  bool chance(uint32_t ppm) { return ppm != 0 && below(1'000'000) < ppm; }
  /// Exponential with this mean, clipped at ten times the mean; integer arithmetic, hence the same on every platform.
  uint64_t exponential(uint64_t mean);
  void fill(uint8_t* out, size_t length);

 private:
  uint64_t state_[4];
};

/// One direction between two ports. Loss, duplication, reordering and corruption are per million datagrams.
struct PathOptions {
  uint32_t baseDelayUs = 50;
  uint32_t jitterUs = 0;             // mean of an exponential, clipped at ten times
  uint32_t lossPpm = 0;
  uint32_t duplicatePpm = 0;
  uint32_t reorderPpm = 0;           // delayed further and exempt from the path's FIFO order
  uint32_t reorderDelayUs = 1'000;   // uniform up to this
  uint32_t corruptPpm = 0;           // one bit flipped, or the end cut off
  bool blocked = false;
};

/// What really happened, not what was asked for. Copies count one by one.
/// Of one port: datagrams handed to a path, one for each member of a group, and those delivered to a receiver.
struct LoopPortCounters { uint64_t sent = 0, received = 0; };

struct LoopCounters {
  uint64_t sent = 0;                 // datagrams handed to a path; a multicast counts once per member
  uint64_t delivered = 0;            // to at least one receiver
  uint64_t lost = 0;
  uint64_t duplicated = 0;
  uint64_t reordered = 0;
  uint64_t corrupted = 0;
  uint64_t blocked = 0;
  uint64_t deferred = 0;             // events that waited for the end of a pause
  uint64_t closed = 0;               // sent by or addressed to a closed or unknown port, or one without receivers
  uint64_t foreign = 0;              // too short for a header, or of a group nobody on the port serves
  uint64_t queueFull = 0;            // dropped at the limit of the event queue or of a port's receive queue
  uint64_t timers = 0;               // onTimer calls
};

class LoopPort;

class LoopHub {
 public:
  /// Without tracing the hash is that of the empty input, and the run is faster.
  explicit LoopHub(uint64_t seed, bool tracing = true);
  ~LoopHub();
  LoopHub(const LoopHub&) = delete;
  LoopHub& operator=(const LoopHub&) = delete;

  /// Ports are numbered from 0 and live as long as the hub. Null when 61,440 exist.
  LoopPort* addPort();
  LoopPort* port(uint16_t index);
  size_t portCount() const { return ports_.size(); }

  /// Processes events in order of (time, sequence) until the next one lies behind untilUs or none is left, and then
  /// leaves the time at untilUs (at the last event if untilUs is kNever). maxEvents and stop() end it earlier and leave
  /// the time where it is. Returns the number of events processed; 0 when called from inside a callback.
  uint64_t run(uint64_t untilUs, uint64_t maxEvents = kNever);
  void stop() { stopped_ = true; }
  uint64_t nowUs() const { return nowUs_; }
  /// Time of the next event, kNever if there is none. A timer that was moved may make it earlier than what happens.
  uint64_t nextEventUs() const;
  size_t queuedEvents() const { return heap_.size(); }

  /// Runs fn(context) at that virtual time, as an event among the others: workloads and fault schedules.
  void schedule(uint64_t atUs, void (*fn)(void*), void* context);

  void setAllPaths(const PathOptions& options);                       // those that exist and those to come
  void setPath(uint16_t from, uint16_t to, const PathOptions& options);
  PathOptions path(uint16_t from, uint16_t to);
  void setBlocked(uint16_t from, uint16_t to, bool blocked);          // one direction; keeps the path's other options

  /// Members of a multicast group (groupPort >= kFirstLoopGroup). The sender gets a copy if it is a member.
  void setGroup(uint16_t groupPort, const uint16_t* ports, size_t count);
  /// With a skew, the copies of one multicast share one sample of delay (the options of setAllPaths), and each adds a
  /// delay of its own of up to skewUs; 0 gives all receivers one order. Such copies keep FIFO order among themselves
  /// only. kNoSkew, the default: every copy has the delay of its own path.
  static constexpr uint32_t kNoSkew = ~0u;
  void setMulticastSkew(uint32_t skewUs) { multicastSkewUs_ = skewUs; }

  /// Everything for this port, timers included, waits in order until then. A later call may extend or (with a time in
  /// the past) end the pause.
  void pause(uint16_t port, uint64_t untilUs);
  /// local = virtual + offset, running driftPpm faster from now on. wallClockUs follows jumps; nowUs never goes back.
  void setClock(uint16_t port, int64_t offsetUs, int32_t driftPpm);
  /// A closed port neither sends nor receives, and what waits in a pause is gone. Timers go on.
  void closePort(uint16_t port);
  void reopenPort(uint16_t port);
  /// Datagrams that may wait during a pause, as in a socket's buffer; 0: no limit.
  void setReceiveQueueLimit(uint16_t port, size_t datagrams);
  void setEventLimit(size_t events) { eventLimit_ = events; }
  void setMaxDatagramBytes(uint32_t bytes) { maxDatagramBytes_ = bytes; }
  /// Packs consecutive frames of one flush to the same addresses into datagrams of up to maxDatagramBytes, as UDP does
  /// where it cannot segment. Off by default: one frame is one datagram.
  void setPacking(bool packing) { packing_ = packing; }

  bool tracing() const { return tracing_; }
  /// SHA-256 of all records so far: time u64, from u16, to u16, kind u8, length u32 (little-endian), bytes. The hub
  /// goes on; the hash may be taken at any time.
  void traceHash(Hash& out);
  const LoopCounters& counters() const { return counters_; }
  LoopPortCounters portCounters(uint16_t port) const { return port < portCounters_.size() ? portCounters_[port] : LoopPortCounters{}; }
  /// A stream of its own for the workload, derived from the seed.
  Random streamFor(uint64_t purpose) const;

 private:
  friend class LoopPort;
  struct Buffer;
  struct Path;
  struct Event;
  struct Group;
  struct HeapItem { uint64_t timeUs; uint64_t sequence; uint32_t event; };
  enum class TraceKind : uint8_t { Sent = 1, Delivered = 2, Record = 3 };

  Path& pathOf(uint16_t from, uint16_t to);
  Buffer* allocate(size_t length);
  void release(Buffer* buffer);
  void send(LoopPort& from, const Address& to, Buffer* buffer, uint32_t length);
  void sendOn(uint16_t from, uint16_t to, uint16_t group, Buffer* buffer, uint32_t length, bool multicast, uint64_t commonDelayUs);
  void push(uint64_t timeUs, const Event& event);
  void pushDatagram(uint64_t timeUs, uint16_t from, uint16_t to, uint16_t group, Buffer* buffer, uint32_t length);
  Event pop();
  void process(const Event& event, uint64_t& events, uint64_t maxEvents);
  void defer(LoopPort& port, const Event& event);
  void deliver(LoopPort& port, const Event& event);
  void endBatch(LoopPort& port);
  void resume(LoopPort& port, uint64_t& events, uint64_t maxEvents);
  void traceFrame(TraceKind kind, uint16_t from, uint16_t to, const uint8_t* data, uint32_t length);

  uint64_t seed_;
  uint64_t nowUs_ = 0;
  uint64_t sequence_ = 0;
  bool tracing_;
  bool running_ = false;
  bool stopped_ = false;
  bool packing_ = false;
  uint32_t multicastSkewUs_ = kNoSkew;
  uint32_t maxDatagramBytes_ = 1'400;
  size_t eventLimit_ = 1'000'000;
  PathOptions defaults_;
  LoopCounters counters_;
  LoopPortCounters& countersOf(uint16_t port) {
    if (port >= portCounters_.size()) portCounters_.resize(port + 1u);
    return portCounters_[port];
  }
  std::vector<LoopPortCounters> portCounters_;

  std::vector<std::unique_ptr<LoopPort>> ports_;
  std::vector<std::vector<std::unique_ptr<Path>>> paths_;   // [from][to]
  std::vector<Group> groups_;
  std::vector<HeapItem> heap_;
  std::vector<Event> events_;
  std::vector<uint32_t> freeEvents_;
  Buffer* freeBuffers_[9] = {};                             // by size class
  std::vector<std::unique_ptr<uint8_t[]>> chunks_;

  wire::Sha256 hash_;
  std::vector<uint8_t> traceBuffer_;
};

/// The fabric one engine sees. Several receivers may attach; each gets the datagrams of its group once, however many
/// endpoints it has.
class LoopPort final : public Fabric {
 public:
  ~LoopPort() override;
  uint16_t index() const { return index_; }
  LoopHub& hub() { return hub_; }

  Capabilities capabilities() const override;
  /// bind: port 0 or the port's own index, else EADDRNOTAVAIL; with multicast, a group (LoopHub::setGroup decides which ports it reaches;
  /// there it is for those that are attached to it).
  int attach(const EndpointOptions& options, Receiver* receiver, EndpointId& out) override;
  void detach(EndpointId endpoint, Receiver* receiver) override;
  Address addressOf(EndpointId endpoint) const override;
  uint8_t* reserve(EndpointId endpoint, size_t length) override;
  void commit(EndpointId endpoint, size_t length, const Address* to, size_t count) override;
  void flush() override;
  uint64_t nowUs(const Receiver* receiver) const override;
  uint64_t wallClockUs(const Receiver* receiver) const override;
  void setTimer(Receiver* receiver, uint64_t atUs) override;
  void entropy(uint8_t* out, size_t length) override;
  void trace(const Receiver* receiver, uint8_t tag, Bytes bytes) override;
  bool tracing() const override { return hub_.tracing(); }

 private:
  friend class LoopHub;
  struct Member;
  struct Queued;
  LoopPort(LoopHub& hub, uint16_t index);

  Member* find(const Receiver* receiver) const;
  bool listens(const Member& member, uint16_t group) const;
  uint64_t localUs(uint64_t virtualUs) const;
  uint64_t virtualUs(uint64_t localUs) const;               // the first virtual time at which the port's clock shows it
  void armTimer(uint32_t slot);
  bool fireTimer(uint32_t slot, uint32_t generation);
  void dropDeferred();

  LoopHub& hub_;
  uint16_t index_;
  bool open_ = true;
  bool paused_ = false;
  uint64_t pausedUntilUs_ = 0;
  size_t receiveQueueLimit_ = 0;
  size_t deferredDatagrams_ = 0;
  std::vector<LoopHub::Event> deferred_;                    // waits for the end of the pause, from deferredHead_ on
  size_t deferredHead_ = 0;
  Random entropy_;

  uint64_t clockSetUs_ = 0;                                 // virtual time of the last setClock
  uint64_t clockBaseUs_ = 0;                                // what nowUs showed then
  int64_t wallOffsetUs_ = 0;
  int32_t driftPpm_ = 0;

  std::vector<std::unique_ptr<Member>> members_;            // slots are kept: timer events refer to them
  std::vector<uint16_t> endpoints_;                         // id -> port or group
  std::vector<Queued> queue_;
  std::vector<Address> addresses_;
  LoopHub::Buffer* reserved_ = nullptr;
};

}  // namespace squall::fabric
