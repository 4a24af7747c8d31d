// Receiving: batches from the kernel, trains split into datagrams, each to the receivers of its group.
#include "fabric/udp_receive.h"

#include <algorithm>
#include <cerrno>

#include "wire/frame.h"

namespace squall::fabric {
namespace {

constexpr int kMaxRounds = 8;             // then timers and the other handles of the loop have their turn

#ifdef __linux__
constexpr int kUdpGro = 104;

/// Bytes of each datagram in the train; the last may be shorter.
uint32_t segmentBytes(msghdr& message, uint32_t length) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != kUdpGro) continue;
    int bytes = 0;
    std::memcpy(&bytes, CMSG_DATA(c), sizeof bytes);
    if (bytes > 0) return static_cast<uint32_t>(bytes);
  }
  return length;
}
#endif

/// An error that says nothing about the datagrams behind it.
bool transient(int error) { return error == EINTR || error == ECONNREFUSED; }

}  // namespace

#ifdef __linux__
UdpFabric::ReceiveRing::ReceiveRing() : messages{}, bytes(new uint8_t[kReceiveMessages * kReceiveBytes]) {
  for (size_t i = 0; i < kReceiveMessages; ++i) {
    vectors[i] = {bytes.get() + i * kReceiveBytes, kReceiveBytes};
    msghdr& header = messages[i].msg_hdr;
    header.msg_iov = &vectors[i];
    header.msg_iovlen = 1;
    header.msg_name = &from[i];
    header.msg_control = control[i];
    header.msg_namelen = sizeof from[i];
    header.msg_controllen = sizeof control[i];
  }
}
#else
UdpFabric::ReceiveRing::ReceiveRing() : bytes(new uint8_t[kReceiveBytes]) {}
#endif

void UdpFabric::onReadable(uv_poll_t* handle, int status, int) {
  auto* endpoint = static_cast<UdpEndpoint*>(handle->data);
  UdpFabric* fabric = endpoint->lifetime->fabric;
  if (fabric == nullptr || endpoint->fd < 0) return;
  fabric->receive(*endpoint, kMaxRounds);
  if (status < 0 && endpoint->fd >= 0) {
    // libuv stops a handle whose descriptor reports an error, and for UDP that is only an ICMP message: go on.
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(endpoint->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    uv_poll_start(&endpoint->poll, UV_READABLE, &UdpFabric::onReadable);
  }
}

size_t UdpFabric::poll() {
  if (receiving_) return 0;
  size_t received = 0;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].endpoint != nullptr) received += receive(*slots_[i].endpoint, 1);
  }
  return received;
}

inline void UdpFabric::arrived(UdpEndpoint& endpoint, const uint8_t* data, uint32_t length, const Address& from) {
  if (reordering_ == nullptr) [[likely]] dispatch(endpoint, data, length, from);
  else dispatchReordered(endpoint, data, length, from);
}

size_t UdpFabric::receive(UdpEndpoint& endpoint, int maxRounds) {
  if (receiving_) return 0;
  receiving_ = true;
  size_t received = 0;
  // A callback may detach the last receiver: the endpoint is closed then, but lives until the loop turns.
  for (int round = 0; round < maxRounds && endpoint.fd >= 0; ++round) {
    if (endpoint.holes) {
      std::erase(endpoint.receivers, nullptr);
      endpoint.holes = false;
    }
    ++endpoint.counters.receiveCalls;
#ifdef __linux__
    const int count = recvmmsg(endpoint.fd, ring_->messages, kReceiveMessages, MSG_DONTWAIT, nullptr);
    if (count < 0) {
      if (transient(errno)) continue;
      break;
    }
    for (int i = 0; i < count; ++i) {
      mmsghdr& message = ring_->messages[i];
      const uint32_t length = message.msg_len;
      const uint32_t segment = std::max(segmentBytes(message.msg_hdr, length), 1u);
      const auto* data = static_cast<const uint8_t*>(ring_->vectors[i].iov_base);
      Address from;
      fromSocketAddress(ring_->from[i], from);
      message.msg_hdr.msg_namelen = sizeof ring_->from[i];
      message.msg_hdr.msg_controllen = sizeof ring_->control[i];
      uint32_t at = 0;
      do {
        arrived(endpoint, data + at, std::min(segment, length - at), from);
        ++received;
        at += segment;
      } while (at < length);
    }
    endBatch();
    if (count < static_cast<int>(kReceiveMessages)) break;
#else
    size_t batch = 0;
    for (; batch < kReceiveMessages && endpoint.fd >= 0; ++batch) {
      SocketAddress address{};
      socklen_t addressLength = sizeof address;
      const ssize_t length = recvfrom(endpoint.fd, ring_->bytes.get(), kReceiveBytes, MSG_DONTWAIT, &address.any,
                                      &addressLength);
      if (length < 0) {
        if (transient(errno)) continue;
        break;
      }
      Address from;
      fromSocketAddress(address, from);
      arrived(endpoint, ring_->bytes.get(), static_cast<uint32_t>(length), from);
      ++received;
    }
    endBatch();
    if (batch < kReceiveMessages) break;
#endif
  }
  receiving_ = false;
  traffic_ += received;
  return received;
}

void UdpFabric::hand(Member& member, const Datagram& datagram) {
  if (!member.touched) {
    member.touched = true;
    touched_.push_back(&member);
  }
  member.receiver->onDatagram(datagram);
}

void UdpFabric::dispatch(UdpEndpoint& endpoint, const uint8_t* data, uint32_t length, const Address& from) {
  ++endpoint.counters.datagramsReceived;
  endpoint.counters.bytesReceived += length;
  if (endpoint.addressed.size() > 1) dispatchAddressed(endpoint, {data, length, from});
  else dispatchToAll(endpoint, {data, length, from});
}

/// Frames to the receivers that they name, neighbours to the same one in one piece. What is no frame goes where the frame before it went.
void UdpFabric::dispatchAddressed(UdpEndpoint& endpoint, const Datagram& datagram) {
  const Bytes all{datagram.data, datagram.length};
  const auto frameBytes = [](Bytes rest) -> size_t {
    if (rest.size() < wire::kFrameOverhead) return 0;
    const size_t bytes = wire::load<uint16_t>(rest.data() + 2);
    return bytes >= wire::kFrameOverhead && bytes <= rest.size() ? bytes : 0;
  };
  const auto destination = [](Bytes rest) { return wire::load<uint64_t>(rest.data() + 16); };
  for (Bytes rest = all; !rest.empty();) {
    size_t bytes = frameBytes(rest);
    const uint64_t whose = bytes != 0 ? destination(rest) : 0;
    while (bytes != 0 && bytes < rest.size()) {
      const size_t more = frameBytes(rest.subspan(bytes));
      if (more != 0 && destination(rest.subspan(bytes)) != whose) break;
      bytes = more != 0 ? bytes + more : rest.size();
    }
    const Datagram piece{rest.data(), static_cast<uint32_t>(bytes != 0 ? bytes : rest.size()), datagram.from};
    const auto found = endpoint.addressed.find(whose);
    if (found != endpoint.addressed.end() && bytes != 0 && found->second->receiver->group() == wire::load<uint64_t>(piece.data + 8)) hand(*found->second, piece);
    else dispatchToAll(endpoint, piece);
    rest = rest.subspan(piece.length);
  }
}

/// To every receiver of the datagram's group that has no destination, or the endpoint for itself.
void UdpFabric::dispatchToAll(UdpEndpoint& endpoint, const Datagram& datagram) {
  const bool shared = endpoint.addressed.size() > 1;
  bool wanted = false;
  if (datagram.length >= wire::kHeaderBytes) {
    const auto group = wire::load<uint64_t>(datagram.data + 8);
    // By index and with the size of now: callbacks may detach (leaving null) and attach (behind).
    const size_t size = endpoint.receivers.size();
    for (size_t i = 0; i < size; ++i) {
      Member* member = endpoint.receivers[i];
      if (member == nullptr || (shared && member->destination != 0)) continue;
      const uint64_t its = member->receiver->group();
      if (its != 0 && its != group) continue;
      wanted = true;
      hand(*member, datagram);
    }
  }
  if (wanted) return;
  ++endpoint.counters.foreignDatagrams;
  // A greeting of another group goes to somebody who can say that it came to the wrong address.
  if (datagram.length < wire::kFrameOverhead || datagram.data[1] != static_cast<uint8_t>(MessageType::Hello)) return;
  for (Member* member : endpoint.receivers) {
    if (member == nullptr) continue;
    hand(*member, datagram);
    return;
  }
}

void UdpFabric::endBatch() {
  // A member that was detached meanwhile has no receiver, but is not freed before the loop turns.
  for (size_t i = 0; i < touched_.size(); ++i) {
    Member* member = touched_[i];
    member->touched = false;
    if (member->receiver != nullptr) member->receiver->onBatchEnd();
  }
  touched_.clear();
  flush();
}

}  // namespace squall::fabric
