// Text form of network addresses.
#pragma once

#include <string>

#include "fabric/fabric.h"

namespace squall::fabric {

/// Reads a numeric IPv4 or IPv6 address; an IPv6 one may end in "%scope" (interface name or number). Never resolves
/// names.
bool parseAddress(const char* ip, uint16_t port, Address& out);

/// "10.0.0.1:7000", "[fe80::1%2]:7000", "loop:3"; "none" for family 0.
std::string formatAddress(const Address& address);

/// The IP part alone, without brackets, port and scope; empty for the other families.
std::string formatIp(const Address& address);

bool isMulticast(const Address& address);

}  // namespace squall::fabric
