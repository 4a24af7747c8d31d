// Sending: frames wait in an arena, a flush makes as few and as large calls of them as the kernel takes.
#include <algorithm>
#include <cerrno>

#include "fabric/udp_internal.h"
#include "wire/frame.h"

namespace squall::fabric {
namespace {

#ifdef __linux__
constexpr int kUdpSegment = 103;
#endif
constexpr uint32_t kEnd = ~0u;
constexpr size_t kBuckets = 2 * kMaxQueuedFrames;      // a power of two, never more than half full

uint32_t hashOf(const Address* to, size_t count) {
  uint64_t hash = count;
  for (size_t i = 0; i < count; ++i) {
    const Address& a = to[i];
    const uint64_t low = wire::load<uint64_t>(a.ip);
    const uint64_t high = wire::load<uint64_t>(a.ip + 8);
    hash = (hash ^ low ^ (high * 31) ^ (static_cast<uint64_t>(a.port) << 40)) * 0x9E3779B97F4A7C15ull;
    hash ^= hash >> 32;
  }
  return static_cast<uint32_t>(hash);
}

}  // namespace

UdpEndpoint::UdpEndpoint(UdpFabric& fabric, const EndpointOptions& endpointOptions, int descriptor,
                         const Address& address)
    : fd(descriptor), options(endpointOptions), bound(address), fabric_(fabric) {}

uint8_t* UdpEndpoint::reserve(size_t length) {
  if (!arena_) {
    arena_.reset(new uint8_t[kArenaBytes]);
    frames_.reserve(kMaxQueuedFrames);
  }
  if (used_ + length > kArenaBytes || frames_.size() >= kMaxQueuedFrames) flush();
  reserved_ = static_cast<uint32_t>(length);
  return arena_.get() + used_;
}

void UdpEndpoint::commit(size_t length, const Address* to, size_t count) {
  if (length > reserved_) return;        // nothing was reserved for this
  reserved_ = 0;
  const uint32_t list = listFor(to, count);
  const auto frame = static_cast<uint32_t>(frames_.size());
  frames_.push_back({used_, static_cast<uint32_t>(length), kEnd});
  List& its = lists_[list];
  if (its.head == kEnd) its.head = frame;
  else frames_[its.tail].next = frame;
  its.tail = frame;
  used_ += static_cast<uint32_t>(length);
}

bool UdpEndpoint::sameAddresses(const List& list, const Address* to, size_t count) const {
  return list.addresses == count && std::equal(to, to + count, addresses_.data() + list.firstAddress);
}

void UdpEndpoint::insertBucket(uint32_t list) {
  const List& its = lists_[list];
  uint32_t at = hashOf(&addresses_[its.firstAddress], its.addresses) & (kBuckets - 1);
  while (buckets_[at].epoch == epoch_) at = (at + 1) & (kBuckets - 1);
  buckets_[at] = {epoch_, list};
}

/// Replies to many clients alternate: each list of addresses is found again, so that its frames leave together.
uint32_t UdpEndpoint::listFor(const Address* to, size_t count) {
  if (!lists_.empty()) {
    const auto last = static_cast<uint32_t>(lists_.size()) - 1;
    if (sameAddresses(lists_[last], to, count)) return last;
    if (buckets_.empty()) buckets_.assign(kBuckets, Bucket{0, 0});
    while (hashedLists_ < lists_.size()) insertBucket(hashedLists_++);
    uint32_t at = hashOf(to, count) & (kBuckets - 1);
    for (; buckets_[at].epoch == epoch_; at = (at + 1) & (kBuckets - 1)) {
      if (sameAddresses(lists_[buckets_[at].list], to, count)) return buckets_[at].list;
    }
  }
  lists_.push_back({static_cast<uint32_t>(addresses_.size()), static_cast<uint32_t>(count), kEnd, kEnd});
  addresses_.insert(addresses_.end(), to, to + count);
  return static_cast<uint32_t>(lists_.size()) - 1;
}

void UdpEndpoint::flush() {
  if (frames_.empty()) return;
  if (fd >= 0) {
    if (frames_.size() == 1 && addresses_.size() == 1) sendSingle();
    else sendLists();
  }
  frames_.clear();
  lists_.clear();
  addresses_.clear();
  used_ = 0;
  reserved_ = 0;
  if (hashedLists_ != 0) {
    hashedLists_ = 0;
    if (++epoch_ == 0) {
      buckets_.clear();
      epoch_ = 1;
    }
  }
}

void UdpEndpoint::sendSingle() {
  SocketAddress to;
  const socklen_t toLength = toSocketAddress(addresses_.front(), to);
  const uint32_t length = frames_.front().length;
  ssize_t sent;
  do {
    sent = sendto(fd, arena_.get() + frames_.front().offset, length, MSG_DONTWAIT, &to.any, toLength);
  } while (sent < 0 && errno == EINTR);
  ++counters.sendCalls;
  if (sent < 0) {
    ++counters.sendDrops;
  } else {
    ++counters.datagramsSent;
    counters.bytesSent += length;
  }
}

void UdpEndpoint::sendLists() {
  if (!batch_) {
    batch_ = std::make_unique<SendBatch>();
    batch_->vectors.reserve(kMaxQueuedFrames);      // messages point into it
    batch_->plans.reserve(kMaxQueuedFrames);
    batch_->order.reserve(kMaxQueuedFrames);
  }
  batch_->count = 0;
  batch_->order.clear();
  batch_->plans.clear();
  batch_->vectors.clear();
  for (const List& list : lists_) {
    const size_t firstPlan = batch_->plans.size();
    planList(list, fabric_.capabilities().segmentation && maxSegmentBytes_ != 0);
    for (size_t i = firstPlan; i < batch_->plans.size(); ++i) {
      for (uint32_t a = 0; a < list.addresses; ++a) addMessage(batch_->plans[i], addresses_[list.firstAddress + a]);
    }
  }
  submit();
}

/// A datagram is routed by its first frame alone, so it holds frames of one group only.
bool UdpEndpoint::sameGroup(const Frame& a, const Frame& b) const {
  return a.length >= wire::kHeaderBytes && b.length >= wire::kHeaderBytes &&
         std::memcmp(arena_.get() + a.offset + 8, arena_.get() + b.offset + 8, 8) == 0;
}

void UdpEndpoint::planList(const List& list, bool segment) {
  auto& order = batch_->order;
  const auto begin = static_cast<uint32_t>(order.size());
  for (uint32_t frame = list.head; frame != kEnd; frame = frames_[frame].next) order.push_back(frame);
  const auto end = static_cast<uint32_t>(order.size());
  const auto frameAt = [&](uint32_t i) -> const Frame& { return frames_[order[i]]; };

  if (!fabric_.packing()) {
    for (uint32_t i = begin; i < end; ++i) addPlan(i, 1, 0);
    return;
  }
  for (uint32_t i = begin; i < end;) {
    const Frame& first = frameAt(i);
    uint32_t packed = 1;
    for (uint32_t bytes = first.length; i + packed < end; ++packed) {
      const Frame& next = frameAt(i + packed);
      bytes += next.length;
      if (bytes > fabric_.maxDatagramBytes() || !sameGroup(first, next)) break;
    }
    uint32_t train = 1;
    if (segment && first.length <= maxSegmentBytes_ && first.length > 0) {
      for (uint32_t bytes = first.length; i + train < end && train < kMaxSegments; ++train) {
        const uint32_t length = frameAt(i + train).length;
        bytes += length;
        if (length > first.length || length == 0 || bytes > kMaxTrainBytes) break;
        if (length < first.length) {        // a shorter segment ends the train
          ++train;
          break;
        }
      }
    }
    if (train > 1 && train >= packed) {
      addPlan(i, train, static_cast<uint16_t>(first.length));
      i += train;
    } else {
      addPlan(i, packed, 0);
      i += packed;
    }
  }
}

void UdpEndpoint::addPlan(uint32_t first, uint32_t frames, uint16_t segmentBytes) {
  auto& vectors = batch_->vectors;
  SendBatch::Plan plan{first, frames, static_cast<uint32_t>(vectors.size()), 0, 0, segmentBytes};
  for (uint32_t i = first; i < first + frames; ++i) {
    const Frame& frame = frames_[batch_->order[i]];
    uint8_t* data = arena_.get() + frame.offset;
    plan.bytes += frame.length;
    if (plan.vectors != 0) {
      iovec& last = vectors.back();
      if (static_cast<uint8_t*>(last.iov_base) + last.iov_len == data) {
        last.iov_len += frame.length;
        continue;
      }
    }
    vectors.push_back({data, frame.length});
    ++plan.vectors;
  }
  batch_->plans.push_back(plan);
}

void UdpEndpoint::addMessage(const SendBatch::Plan& plan, const Address& to) {
  if (batch_->count == kSendMessages) submit();
  const size_t i = batch_->count++;
  batch_->planOf[i] = &plan;
  batch_->addressOf[i] = &to;
  msghdr& header = batch_->messages[i].msg_hdr;
  header = {};
  header.msg_name = &batch_->to[i];
  header.msg_namelen = toSocketAddress(to, batch_->to[i]);
  header.msg_iov = &batch_->vectors[plan.firstVector];
  header.msg_iovlen = plan.vectors;
#ifdef __linux__
  if (plan.segmentBytes != 0) {
    header.msg_control = batch_->control[i];
    header.msg_controllen = sizeof batch_->control[i];
    cmsghdr* control = CMSG_FIRSTHDR(&header);
    control->cmsg_level = IPPROTO_UDP;
    control->cmsg_type = kUdpSegment;
    control->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    std::memcpy(CMSG_DATA(control), &plan.segmentBytes, sizeof(uint16_t));
  }
#endif
}

void UdpEndpoint::submit() {
  size_t done = 0;
  while (done < batch_->count) {
    ++counters.sendCalls;
    int sent;
#ifdef __linux__
    if (batch_->count - done > 1) {
      sent = sendmmsg(fd, batch_->messages + done, static_cast<unsigned>(batch_->count - done), MSG_DONTWAIT);
    } else {
      sent = sendmsg(fd, &batch_->messages[done].msg_hdr, MSG_DONTWAIT) < 0 ? -1 : 1;
    }
#else
    sent = sendmsg(fd, &batch_->messages[done].msg_hdr, MSG_DONTWAIT) < 0 ? -1 : 1;
#endif
    if (sent < 0) {
      if (errno == EINTR) continue;
      refused(done++, errno);
      continue;
    }
    for (const size_t end = done + static_cast<size_t>(sent); done < end; ++done) {
      const SendBatch::Plan& plan = *batch_->planOf[done];
      counters.datagramsSent += plan.segmentBytes != 0 ? plan.frames : 1;
      counters.bytesSent += plan.bytes;
    }
  }
  batch_->count = 0;
}

void UdpEndpoint::refused(size_t message, int error) {
  const SendBatch::Plan& plan = *batch_->planOf[message];
  if (plan.segmentBytes == 0) {
    ++counters.sendDrops;
    return;
  }
  if (error != EINVAL && error != EIO && error != EMSGSIZE) {
    counters.sendDrops += plan.frames;
    return;
  }
  // The device cannot segment at all, or the segments exceed the MTU of this path. If plain datagrams fail as well, the
  // address is to blame.
  if (!sendUnsegmented(plan, *batch_->addressOf[message])) return;
  constexpr uint32_t kSmallestMtuPayload = 512;
  const uint32_t longest = error == EIO || plan.segmentBytes <= kSmallestMtuPayload ? 0 : plan.segmentBytes - 1u;
  maxSegmentBytes_ = std::min(maxSegmentBytes_, longest);
}

/// The same frames without the kernel's help; true if it took any. Rare, hence one call each.
bool UdpEndpoint::sendUnsegmented(const SendBatch::Plan& plan, const Address& address) {
  SocketAddress to;
  const socklen_t toLength = toSocketAddress(address, to);
  bool any = false;
  for (uint32_t i = plan.first; i < plan.first + plan.frames; ++i) {
    const Frame& frame = frames_[batch_->order[i]];
    ++counters.sendCalls;
    if (sendto(fd, arena_.get() + frame.offset, frame.length, MSG_DONTWAIT, &to.any, toLength) < 0) {
      ++counters.sendDrops;
    } else {
      any = true;
      ++counters.datagramsSent;
      counters.bytesSent += frame.length;
    }
  }
  return any;
}

}  // namespace squall::fabric
