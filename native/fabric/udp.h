// UDP on a libuv loop: one fabric per Node environment, shared by all engines that live there.
// Everything runs on the loop's thread. No call throws, blocks or aborts.
#pragma once

#include <uv.h>

#include <memory>
#include <unordered_map>
#include <vector>

#include "fabric/fabric.h"
#include "fabric/wait_policy.h"

namespace squall::fabric {

class UdpEndpoint;

struct UdpCounters {
  uint64_t datagramsReceived = 0;   // after GRO segments were split
  uint64_t datagramsSent = 0;       // a GSO send counts each of its segments
  uint64_t bytesReceived = 0;
  uint64_t bytesSent = 0;
  uint64_t sendDrops = 0;           // datagrams the kernel refused
  uint64_t foreignDatagrams = 0;    // too short for a header, or of a group nobody here serves
  uint64_t receiveCalls = 0;
  uint64_t sendCalls = 0;
};

/// Artificial reordering of what arrives, for tests and benchmarks.
struct ReorderOptions {
  uint32_t ppm = 0;                 // of the datagrams with a request; 0: none
  uint64_t seed = 0;                // receivers need different ones, or they all reorder the same datagrams
  uint32_t behind = 1;              // requests that pass a delayed one; it waits 1 ms at most
};

/// Looks for datagrams before the loop slept.
struct WaitCounters {
  uint64_t looks = 0;
  uint64_t found = 0;               // ended by a datagram
  uint64_t missed = 0;              // for nothing
  uint64_t robbed = 0;              // the core was taken away meanwhile
};

class UdpFabric final : public Fabric {
 public:
  explicit UdpFabric(uv_loop_t* loop);
  /// Call close() first and wait for its callback. A fabric destroyed earlier closes its handles by itself, but then
  /// the loop must still run once more.
  ~UdpFabric() override;
  UdpFabric(const UdpFabric&) = delete;
  UdpFabric& operator=(const UdpFabric&) = delete;

  /// maxDatagramBytes is what setMaxDatagramBytes was given: the size up to which frames are packed together and above
  /// which a message is better cut in fragments. Single frames up to 65,000 bytes are sent nevertheless.
  Capabilities capabilities() const override;

  /// Port 0 opens a new socket, or shares one that was opened so with a sharedLoad; any other address that is open in this fabric already
  /// (same bind address, same multicast flag and interface) is shared. Attaching a receiver twice to one endpoint changes nothing.
  /// ESHUTDOWN after close().
  int attach(const EndpointOptions& options, Receiver* receiver, EndpointId& out) override;
  /// Allowed inside any callback, for any receiver; the receiver may be destroyed as soon as this returns for its last
  /// endpoint. That also cancels its timer.
  void detach(EndpointId endpoint, Receiver* receiver) override;
  Address addressOf(EndpointId endpoint) const override;

  /// Valid until the next reserve() of the same endpoint. Null only for length > 65,000. For an endpoint that is closed
  /// it is scratch memory, and commit() drops the frame.
  uint8_t* reserve(EndpointId endpoint, size_t length) override;
  void commit(EndpointId endpoint, size_t length, const Address* to, size_t count) override;
  /// Frames to one list of addresses keep their order; frames to different lists may pass each other.
  void flush() override;
  void flushSoon() override { if (!receiving_ || touched_.size() <= 1) flush(); }

  uint64_t nowUs(const Receiver*) const override { return uv_hrtime() / 1000; }
  uint64_t wallClockUs(const Receiver*) const override;
  /// The receiver must be attached to at least one endpoint, else the call is ignored. Never fires early.
  void setTimer(Receiver* receiver, uint64_t atUs) override;
  void entropy(uint8_t* out, size_t length) override;

  /// Receives what is there on every endpoint without waiting and delivers it; the number of datagrams. For bounded
  /// polling after a send. Returns 0 inside a receive callback.
  size_t poll();

  /// A receiver with ref (the default) keeps the loop alive while it is attached.
  void ref(Receiver* receiver) { setRef(receiver, true); }
  void unref(Receiver* receiver) { setRef(receiver, false); }

  /// What this receiver wants of the loop when there is nothing to do; the most eager of all receivers decides. 0 or an errno;
  /// ESHUTDOWN for a receiver that is not attached.
  int setWait(Receiver* receiver, WaitMode mode);
  WaitCounters waitCounters() const;

  /// The interface by which datagrams to a multicast group leave: an address, or the scope (interface index).
  int setMulticastInterface(EndpointId endpoint, const Address& interfaceAddress);
  /// 0 keeps datagrams on this host; 1, the default, on the local network.
  int setMulticastHops(EndpointId endpoint, int hops);
  void setMaxDatagramBytes(uint32_t bytes);
  /// Without packing every frame is a datagram of its own, and the kernel's segmentation is not used: each goes through the whole network
  /// stack by itself.
  void setPacking(bool packing) { packing_ = packing; }
  bool packing() const { return packing_; }
  uint32_t maxDatagramBytes() const { return maxDatagramBytes_; }
  /// For all endpoints, from now on. 0 or an errno.
  int setReordering(const ReorderOptions& options);
  /// For tests, and for networks whose drivers misbehave: never use UDP_SEGMENT.
  void disableSegmentation() { segmentation_ = false; }

  /// Zeros for a closed endpoint.
  UdpCounters counters(EndpointId endpoint) const;
  /// What the kernel granted (Linux reports twice the usable size); 0 when closed.
  uint32_t receiveBufferBytes(EndpointId endpoint) const;

  /// Stops everything and closes the handles; `done` runs when the last close callback has (at once if none is open).
  /// Afterwards attach() fails and the other calls do nothing. The fabric must live until `done`, and may be deleted in
  /// it.
  void close(void (*done)(void*), void* context);
  bool closing() const { return closing_; }

 private:
  friend class UdpEndpoint;
  struct Member;                 // one attached receiver: its timer and its references
  struct ReceiveRing;
  struct Reordering;
  struct Waiter;
  struct Lifetime;               // outlives the fabric for close callbacks that come late

  Member* findMember(const Receiver* receiver) const;
  UdpEndpoint* find(EndpointId id) const;
  UdpEndpoint* sharable(const EndpointOptions& options) const;
  void setRef(Receiver* receiver, bool wanted);
  void updateEndpointRef(UdpEndpoint& endpoint);
  void armTimer(Member& member);
  void retireMember(Member* member);
  void retireEndpoint(UdpEndpoint* endpoint);
  static void releaseHandle(std::shared_ptr<Lifetime> lifetime);
  size_t receive(UdpEndpoint& endpoint, int maxRounds);
  void arrived(UdpEndpoint& endpoint, const uint8_t* data, uint32_t length, const Address& from);
  void dispatch(UdpEndpoint& endpoint, const uint8_t* data, uint32_t length, const Address& from);
  void dispatchAddressed(UdpEndpoint& endpoint, const Datagram& datagram);
  void dispatchToAll(UdpEndpoint& endpoint, const Datagram& datagram);
  void hand(Member& member, const Datagram& datagram);
  void dispatchReordered(UdpEndpoint& endpoint, const uint8_t* data, uint32_t length, const Address& from);
  template <typename Due>
  void release(Due due);
  void retireReordering();
  static void onReorderAlarm(void* context);
  static void onReorderClosed(void* context);
  int applyWait();
  void look();
  void retireWaiter();
  static void onPrepare(uv_prepare_t* handle);
  void endBatch();
  static void onTimer(void* context);
  static void onReadable(uv_poll_t* handle, int status, int events);
  static void onTimerClosed(void* context);
  static void onPollClosed(uv_handle_t* handle);

  uv_loop_t* loop_;
  bool segmentation_ = false;
  bool packing_ = true;
  bool closing_ = false;
  bool receiving_ = false;
  uint32_t maxDatagramBytes_ = 1'400;
  std::shared_ptr<Lifetime> lifetime_;

  struct Slot { UdpEndpoint* endpoint = nullptr; uint16_t generation = 0; };
  std::vector<Slot> slots_;                             // an id is generation << 16 | slot
  std::vector<UdpEndpoint*> dirty_;                     // endpoints with queued frames
  std::unordered_map<const Receiver*, Member*> members_;
  std::vector<Member*> touched_;                        // got datagrams in this batch
  Reordering* reordering_ = nullptr;                    // freed by its alarm's close callback
  Waiter* waiter_ = nullptr;                            // freed by its close callback
  uint64_t traffic_ = 0;                                // changes with whatever is sent or comes
  std::unique_ptr<ReceiveRing> ring_;                   // allocated at the first attach
  std::unique_ptr<uint8_t[]> scratch_;                  // what reserve() lends for a closed endpoint
};

}  // namespace squall::fabric
