// What needs no event loop; sockets are tested from Node.
#include "check.h"
#include "fabric/address.h"

using namespace squall::fabric;

TEST(address_reads_and_writes_ipv4) {
  Address a;
  CHECK(parseAddress("10.1.2.3", 7'000, a));
  CHECK_EQ(a.family, 4);
  CHECK_EQ(a.port, 7'000);
  CHECK_EQ(a.ip[3], 3);
  CHECK(formatAddress(a) == "10.1.2.3:7000");
  CHECK(formatIp(a) == "10.1.2.3");
  CHECK(!isMulticast(a));
}

TEST(address_reads_and_writes_ipv6) {
  Address a;
  CHECK(parseAddress("fe80::1%3", 1, a));
  CHECK_EQ(a.family, 6);
  CHECK_EQ(a.scope, 3u);
  CHECK(formatAddress(a) == "[fe80::1%3]:1");
  CHECK(parseAddress("::1", 9, a));
  CHECK(formatAddress(a) == "[::1]:9");
}

TEST(address_refuses_what_is_no_address) {
  Address a;
  a.port = 5;
  for (const char* text : {"", "localhost", "1.2.3", "1.2.3.4.5", "256.1.1.1", "::1%", "::1%nosuchinterface",
                           "1.2.3.4%1", "::1%99999999999", ":::"}) {
    CHECK(!parseAddress(text, 1, a));
  }
  CHECK_EQ(a.port, 5);                              // untouched
}

TEST(address_knows_multicast) {
  Address a;
  CHECK(parseAddress("239.1.2.3", 1, a) && isMulticast(a));
  CHECK(parseAddress("ff02::1", 1, a) && isMulticast(a));
  CHECK(parseAddress("224.0.0.1", 1, a) && isMulticast(a));
  CHECK(parseAddress("223.0.0.1", 1, a) && !isMulticast(a));
}
