#include "loop_node.h"

using namespace squall;
using namespace squall::fabric;

TEST(loop_multicast_with_zero_skew_has_one_order) {
  LoopHub hub(11);
  PathOptions options;
  options.jitterUs = 300;
  hub.setAllPaths(options);
  hub.setMulticastSkew(0);
  Node a(hub), b(hub), r0(hub), r1(hub), r2(hub);
  const uint16_t members[] = {2, 3, 4};
  hub.setGroup(kFirstLoopGroup, members, 3);
  for (Node* node : {&r0, &r1, &r2}) node->join(kFirstLoopGroup);
  for (uint32_t i = 0; i < 500; ++i) {
    a.sendNow(kFirstLoopGroup, 2 * i);
    hub.run(hub.nowUs() + 7);
    b.sendNow(kFirstLoopGroup, 2 * i + 1);
    hub.run(hub.nowUs() + 7);
  }
  hub.run(1'000'000);
  CHECK_EQ(r0.arrivals.size(), size_t{1'000});
  bool same = r1.arrivals.size() == 1'000 && r2.arrivals.size() == 1'000;
  for (size_t i = 0; same && i < 1'000; ++i) {
    same = r0.arrivals[i].value == r1.arrivals[i].value && r0.arrivals[i].value == r2.arrivals[i].value;
  }
  CHECK(same);
  CHECK_EQ(a.arrivals.size(), size_t{0});
}

TEST(loop_multicast_is_for_those_that_listen) {
  LoopHub hub(9, false);
  Node a(hub), b(hub);
  const uint16_t members[] = {1};
  hub.setGroup(kFirstLoopGroup, members, 1);
  const auto heard = [&] {
    b.arrivals.clear();
    a.sendNow(kFirstLoopGroup, 1);
    hub.run(hub.nowUs() + 10'000);
    return b.arrivals.size();
  };
  CHECK_EQ(heard(), size_t{0});
  const EndpointId group = b.join(kFirstLoopGroup);
  CHECK_EQ(heard(), size_t{1});
  b.port->detach(group, &b);
  CHECK_EQ(heard(), size_t{0});
  a.sendNow(1, 2);
  hub.run(hub.nowUs() + 10'000);
  CHECK_EQ(b.arrivals.size(), size_t{1});
}

TEST(loop_multicast_without_skew_is_independent) {
  LoopHub hub(12);
  PathOptions options;
  options.jitterUs = 300;
  hub.setAllPaths(options);
  Node a(hub), b(hub), r0(hub), r1(hub);
  const uint16_t members[] = {2, 3};
  hub.setGroup(kFirstLoopGroup, members, 2);
  for (Node* node : {&r0, &r1}) node->join(kFirstLoopGroup);
  for (uint32_t i = 0; i < 200; ++i) {
    a.sendNow(kFirstLoopGroup, 2 * i);
    b.sendNow(kFirstLoopGroup, 2 * i + 1);
    hub.run(hub.nowUs() + 20);
  }
  hub.run(1'000'000);
  CHECK_EQ(r0.arrivals.size(), size_t{400});
  bool same = true;
  for (size_t i = 0; i < 400; ++i) same &= r0.arrivals[i].value == r1.arrivals[i].value;
  CHECK(!same);
}
