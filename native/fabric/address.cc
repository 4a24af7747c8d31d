#include "fabric/address.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <cstdlib>

namespace squall::fabric {

bool parseAddress(const char* ip, uint16_t port, Address& out) {
  Address address;
  address.port = port;
  if (inet_pton(AF_INET, ip, address.ip) == 1) {
    address.family = 4;
    out = address;
    return true;
  }
  std::string text(ip);
  if (const size_t percent = text.find('%'); percent != std::string::npos) {
    const std::string scope = text.substr(percent + 1);
    char* end = nullptr;
    const unsigned long number = std::strtoul(scope.c_str(), &end, 10);
    const bool numeric = !scope.empty() && scope[0] >= '0' && scope[0] <= '9' && *end == '\0' && number <= 0xFFFFFFFFul;
    address.scope = numeric ? static_cast<uint32_t>(number) : if_nametoindex(scope.c_str());
    if (address.scope == 0) return false;
    text.resize(percent);
  }
  if (inet_pton(AF_INET6, text.c_str(), address.ip) != 1) return false;
  address.family = 6;
  out = address;
  return true;
}

std::string formatIp(const Address& address) {
  if (address.family != 4 && address.family != 6) return {};
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(address.family == 4 ? AF_INET : AF_INET6, address.ip, text, sizeof text);
  return text;
}

std::string formatAddress(const Address& address) {
  const std::string port = std::to_string(address.port);
  switch (address.family) {
    case 1: return "loop:" + port;
    case 4: return formatIp(address) + ":" + port;
    case 6: {
      const std::string scope = address.scope != 0 ? "%" + std::to_string(address.scope) : std::string();
      return "[" + formatIp(address) + scope + "]:" + port;
    }
    default: return "none";
  }
}

bool isMulticast(const Address& address) {
  switch (address.family) {
    case 1: return address.port >= 0xF000;
    case 4: return (address.ip[0] & 0xF0) == 0xE0;
    case 6: return address.ip[0] == 0xFF;
    default: return false;
  }
}

}  // namespace squall::fabric
