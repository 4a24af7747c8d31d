// Opening sockets: options, multicast membership, what the kernel can do.
#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "fabric/address.h"
#include "fabric/udp_internal.h"

namespace squall::fabric {
namespace {

#ifdef __linux__
// Older headers lack these; the kernel refuses what it does not know.
constexpr int kUdpSegment = 103;
constexpr int kUdpGro = 104;
constexpr int kIpMulticastAll = 49;
constexpr int kIpv6MulticastAll = 29;
#endif

template <class T> int set(int fd, int level, int name, const T& value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : errno;
}

void setBuffer(int fd, [[maybe_unused]] int force, int name, int bytes) {
#ifdef __linux__
  if (set(fd, SOL_SOCKET, force, bytes) == 0) return;
#endif
  set(fd, SOL_SOCKET, name, bytes);      // what the system's limit allows
}

bool isAny(const Address& address) {
  for (const uint8_t byte : address.ip) {
    if (byte != 0) return false;
  }
  return true;
}

/// The index of the interface that has this IPv6 address; 0 (any) for none.
unsigned interfaceIndex(const Address& address) {
  if (address.scope != 0) return address.scope;
  if (address.family != 6 || isAny(address)) return 0;
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return 0;
  unsigned index = 0;
  for (const ifaddrs* i = all; i != nullptr && index == 0; i = i->ifa_next) {
    if (i->ifa_addr == nullptr || i->ifa_addr->sa_family != AF_INET6) continue;
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(i->ifa_addr);
    if (std::memcmp(&v6->sin6_addr, address.ip, 16) == 0) index = if_nametoindex(i->ifa_name);
  }
  freeifaddrs(all);
  return index;
}

ip_mreqn membership(const Address* group, const Address& interfaceAddress) {
  ip_mreqn request{};
  if (group != nullptr) std::memcpy(&request.imr_multiaddr, group->ip, 4);
  if (interfaceAddress.family == 4) std::memcpy(&request.imr_address, interfaceAddress.ip, 4);
  request.imr_ifindex = static_cast<int>(interfaceAddress.scope);
  return request;
}

int join(int fd, const Address& group, const Address& interfaceAddress) {
  if (group.family == 4) return set(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, membership(&group, interfaceAddress));
  ipv6_mreq request{};
  std::memcpy(&request.ipv6mr_multiaddr, group.ip, 16);
  request.ipv6mr_interface = interfaceIndex(interfaceAddress);
  if (request.ipv6mr_interface == 0) request.ipv6mr_interface = group.scope;
  return set(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, request);
}

int setUp(int fd, const EndpointOptions& options) {
  const bool v6 = options.bind.family == 6;
  const int one = 1;
#ifndef __linux__
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return errno;
#endif
  if (v6) {
    if (const int error = set(fd, IPPROTO_IPV6, IPV6_V6ONLY, one)) return error;
  }
  if (options.multicast) {
    if (const int error = set(fd, SOL_SOCKET, SO_REUSEADDR, one)) return error;
#if !defined(__linux__) && defined(SO_REUSEPORT)
    if (const int error = set(fd, SOL_SOCKET, SO_REUSEPORT, one)) return error;
#endif
  }
  const int bytes = static_cast<int>(std::min(options.receiveBufferBytes, 0x3FFF'FFFFu));
#ifdef __linux__
  setBuffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, bytes);
  setBuffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, bytes);
  set(fd, IPPROTO_UDP, kUdpGro, one);
  // Only groups joined on this very socket, not those of others on the same port.
  const int zero = 0;
  if (v6) set(fd, IPPROTO_IPV6, kIpv6MulticastAll, zero);
  else set(fd, IPPROTO_IP, kIpMulticastAll, zero);
#else
  setBuffer(fd, 0, SO_RCVBUF, bytes);
  setBuffer(fd, 0, SO_SNDBUF, bytes);
#endif

  Address local = options.bind;
  // The kernel binds to a link-local group only together with its interface.
  if (v6 && options.multicast && local.scope == 0) local.scope = interfaceIndex(options.interfaceAddress);
  SocketAddress address;
  const socklen_t length = toSocketAddress(local, address);
  if (bind(fd, &address.any, length) != 0) return errno;

  if (options.multicast) {
    if (const int error = join(fd, options.bind, options.interfaceAddress)) return error;
  }
  if (const int error = setMulticastHopsOf(fd, options.bind.family, 1)) return error;
  if (v6) set(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1u);
  else set(fd, IPPROTO_IP, IP_MULTICAST_LOOP, static_cast<uint8_t>(1));
  // What is bound to one address also sends its multicasts from there; a caller may choose another way later.
  if (options.interfaceAddress.family != 0 || options.interfaceAddress.scope != 0) {
    return setMulticastInterfaceOf(fd, options.bind.family, options.interfaceAddress);
  }
  if (!options.multicast && !isAny(options.bind)) setMulticastInterfaceOf(fd, options.bind.family, options.bind);
  return 0;
}

}  // namespace

socklen_t toSocketAddress(const Address& address, SocketAddress& out) {
  if (address.family == 4) {
    out.v4 = {};
    out.v4.sin_family = AF_INET;
    out.v4.sin_port = htons(address.port);
    std::memcpy(&out.v4.sin_addr, address.ip, 4);
    return sizeof out.v4;
  }
  if (address.family == 6) {
    out.v6 = {};
    out.v6.sin6_family = AF_INET6;
    out.v6.sin6_port = htons(address.port);
    std::memcpy(&out.v6.sin6_addr, address.ip, 16);
    out.v6.sin6_scope_id = address.scope;
    return sizeof out.v6;
  }
  return 0;
}

void fromSocketAddress(const SocketAddress& in, Address& out) {
  out = Address{};
  if (in.any.sa_family == AF_INET) {
    out.family = 4;
    out.port = ntohs(in.v4.sin_port);
    std::memcpy(out.ip, &in.v4.sin_addr, 4);
  } else if (in.any.sa_family == AF_INET6) {
    out.family = 6;
    out.port = ntohs(in.v6.sin6_port);
    std::memcpy(out.ip, &in.v6.sin6_addr, 16);
    out.scope = in.v6.sin6_scope_id;
  }
}

int openSocket(const EndpointOptions& options, int& fd, Address& bound) {
  if (options.bind.family != 4 && options.bind.family != 6) return EAFNOSUPPORT;
  if (options.multicast && !isMulticast(options.bind)) return EINVAL;
  int type = SOCK_DGRAM;
#ifdef __linux__
  type |= SOCK_NONBLOCK | SOCK_CLOEXEC;
#endif
  const int opened = socket(options.bind.family == 4 ? AF_INET : AF_INET6, type, 0);
  if (opened < 0) return errno;
  int error = setUp(opened, options);
  SocketAddress address{};
  socklen_t length = sizeof address;
  if (error == 0 && getsockname(opened, &address.any, &length) != 0) error = errno;
  if (error != 0) {
    ::close(opened);
    return error;
  }
  fromSocketAddress(address, bound);
  fd = opened;
  return 0;
}

int setMulticastInterfaceOf(int fd, uint8_t family, const Address& interfaceAddress) {
  if (family == 4) return set(fd, IPPROTO_IP, IP_MULTICAST_IF, membership(nullptr, interfaceAddress));
  const unsigned index = interfaceIndex(interfaceAddress);
  if (index == 0 && !isAny(interfaceAddress)) return EADDRNOTAVAIL;
  return set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, index);
}

int setMulticastHopsOf(int fd, uint8_t family, int hops) {
  if (hops < 0 || hops > 255) return EINVAL;
  if (family == 4) return set(fd, IPPROTO_IP, IP_MULTICAST_TTL, static_cast<uint8_t>(hops));
  return set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops);
}

bool segmentationWorks() {
#ifdef __linux__
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const bool works = set(fd, IPPROTO_UDP, kUdpSegment, 0) == 0;
  ::close(fd);
  return works;
#else
  return false;
#endif
}

}  // namespace squall::fabric
