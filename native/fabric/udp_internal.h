// What the parts of the UDP fabric share; nobody else includes this.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <memory>
#include <unordered_map>
#include <vector>

#include "fabric/udp.h"
#include "fabric/udp_alarm.h"

namespace squall::fabric {

constexpr size_t kReceiveMessages = 32;
constexpr size_t kReceiveBytes = 65'536;                 // a whole GRO train
constexpr size_t kArenaBytes = 256 * 1'024;
constexpr size_t kMaxQueuedFrames = 1'024;
constexpr size_t kMaxSegments = 64;                      // of every kernel that knows UDP_SEGMENT
constexpr size_t kMaxTrainBytes = 65'000;
constexpr size_t kSendMessages = 64;                     // of one sendmmsg

union SocketAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};
/// The length of the result, 0 for a family that sockets do not know.
socklen_t toSocketAddress(const Address& address, SocketAddress& out);
void fromSocketAddress(const SocketAddress& in, Address& out);

/// Opens, binds and sets up a non-blocking socket. 0 or errno; on success `bound` is the actual address.
int openSocket(const EndpointOptions& options, int& fd, Address& bound);
int setMulticastInterfaceOf(int fd, uint8_t family, const Address& interfaceAddress);
int setMulticastHopsOf(int fd, uint8_t family, int hops);
bool segmentationWorks();

struct UdpFabric::Lifetime {
  UdpFabric* fabric;
  uint32_t openHandles = 0;
  void (*closed)(void*) = nullptr;
  void* context = nullptr;
};

struct UdpFabric::Member {
  Alarm alarm;
  std::shared_ptr<Lifetime> lifetime;
  Receiver* receiver;                      // null once detached everywhere
  uint64_t atUs = ~0ull;                   // when onTimer is due; ~0: never
  uint64_t armedUs = ~0ull;                // never later than atUs asks for
  uint32_t attachments = 0;
  uint32_t load = 0;                       // of a shared endpoint
  uint64_t destination = 0;
  bool wantsRef = true;
  WaitMode wait = WaitMode::Block;
  bool touched = false;
};

/// Messages that leave in one call. Only the endpoint that owns it uses it, and only within one flush.
struct SendBatch {
#ifdef __linux__
  mmsghdr messages[kSendMessages];
#else
  struct Message { msghdr msg_hdr; unsigned msg_len; };
  Message messages[kSendMessages];
#endif
  SocketAddress to[kSendMessages];
  alignas(cmsghdr) uint8_t control[kSendMessages][CMSG_SPACE(sizeof(uint16_t))];
  struct Plan {
    uint32_t first, frames;                // in `order`
    uint32_t firstVector, vectors;
    uint32_t bytes;
    uint16_t segmentBytes;                 // 0: one plain datagram
  };
  const Plan* planOf[kSendMessages];
  const Address* addressOf[kSendMessages];
  size_t count = 0;
  std::vector<uint32_t> order;             // frames grouped by list
  std::vector<Plan> plans;
  std::vector<iovec> vectors;
};

class UdpEndpoint {
 public:
  UdpEndpoint(UdpFabric& fabric, const EndpointOptions& options, int fd, const Address& bound);

  uint8_t* reserve(size_t length);
  void commit(size_t length, const Address* to, size_t count);
  void flush();

  uv_poll_t poll;
  std::shared_ptr<UdpFabric::Lifetime> lifetime;
  EndpointId id = kNoEndpoint;
  int fd;                                  // -1 once closed
  const EndpointOptions options;           // the sharing key, with what was asked for
  const Address bound;
  std::vector<UdpFabric::Member*> receivers;   // null: detached during a receive, removed before the next
  std::unordered_map<uint64_t, UdpFabric::Member*> addressed;   // those of them that have a destination
  uint32_t load = 0;                       // of all receivers of a shared endpoint
  bool holes = false;
  bool dirty = false;
  UdpCounters counters;

 private:
  struct Frame { uint32_t offset, length, next; };
  /// Frames to the same addresses, in the order of their commits.
  struct List { uint32_t firstAddress, addresses, head, tail; };
  struct Bucket { uint32_t epoch, list; };

  uint32_t listFor(const Address* to, size_t count);
  bool sameAddresses(const List& list, const Address* to, size_t count) const;
  void insertBucket(uint32_t list);
  void sendSingle();
  void sendLists();
  void planList(const List& list, bool segment);
  void addPlan(uint32_t first, uint32_t frames, uint16_t segmentBytes);
  void addMessage(const SendBatch::Plan& plan, const Address& to);
  void submit();
  void refused(size_t message, int error);
  bool sendUnsegmented(const SendBatch::Plan& plan, const Address& to);
  bool sameGroup(const Frame& a, const Frame& b) const;

  UdpFabric& fabric_;
  uint32_t maxSegmentBytes_ = 65'000;      // lowered when the kernel refuses longer segments; 0: no segmentation
  uint32_t used_ = 0;                      // of the arena
  uint32_t reserved_ = 0;
  std::unique_ptr<uint8_t[]> arena_;
  std::vector<Frame> frames_;
  std::vector<List> lists_;
  std::vector<Address> addresses_;
  std::unique_ptr<SendBatch> batch_;       // allocated when a flush first holds more than one datagram
  std::vector<Bucket> buckets_;            // hash of address lists, valid for one epoch
  uint32_t epoch_ = 1;
  uint32_t hashedLists_ = 0;
};

}  // namespace squall::fabric
