#include <string>

#include "loop_node.h"

using namespace squall;
using namespace squall::fabric;

namespace {

PathOptions rough() {
  PathOptions options;
  options.baseDelayUs = 100;
  options.jitterUs = 200;
  options.lossPpm = 50'000;
  options.duplicatePpm = 50'000;
  options.reorderPpm = 50'000;
  options.corruptPpm = 20'000;
  return options;
}

Hash runRough(uint64_t seed, uint8_t firstByte = 0) {
  LoopHub hub(seed);
  hub.setAllPaths(rough());
  Node a(hub), b(hub);
  b.onData = [&](const Datagram& datagram) {
    const uint32_t value = wire::load<uint32_t>(datagram.data + wire::kHeaderBytes);
    if (value > 0 && value < 1'000) b.sendNow(0, value - 1);
  };
  a.onData = [&](const Datagram& datagram) {
    const uint32_t value = wire::load<uint32_t>(datagram.data + wire::kHeaderBytes);
    if (value > 0 && value < 1'000) a.sendNow(1, value - 1);
  };
  for (uint32_t i = 0; i < 50; ++i) a.sendNow(1, i);
  const uint8_t record[] = {firstByte, 2, 3};
  a.port->trace(&a, 9, record);
  hub.run(1'000'000);
  Hash hash;
  hub.traceHash(hash);
  return hash;
}

}  // namespace

TEST(loop_same_seed_same_trace) {
  const Hash first = runRough(1);
  CHECK(first == runRough(1));
  CHECK(first != runRough(2));
  CHECK(first != runRough(1, 1));
}

TEST(loop_trace_hash_may_be_taken_at_any_time) {
  LoopHub one(3), two(3);
  Node a(one), b(one), c(two), d(two);
  Hash hash, other;
  a.sendNow(1, 5);
  one.traceHash(hash);
  one.run(1'000);
  one.traceHash(hash);
  c.sendNow(1, 5);
  two.run(1'000);
  two.traceHash(other);
  CHECK(hash == other);
}

TEST(loop_paths_do_not_disturb_each_other) {
  std::vector<uint64_t> times[2];
  for (int variant = 0; variant < 2; ++variant) {
    LoopHub hub(4, false);
    hub.setAllPaths(rough());
    Node a(hub), b(hub), c(hub);
    if (variant == 1) hub.setPath(0, 2, PathOptions{});
    for (uint32_t i = 0; i < 500; ++i) {
      a.sendNow(1, i);
      if (variant == 1 || i % 3 == 0) a.sendNow(2, i);
      hub.run(hub.nowUs() + 50);
    }
    hub.run(1'000'000);
    for (const Arrival& arrival : b.arrivals) times[variant].push_back(arrival.timeUs);
  }
  CHECK(times[0] == times[1]);
}

TEST(loop_keeps_fifo_despite_jitter) {
  LoopHub hub(5);
  PathOptions options;
  options.jitterUs = 1'000;
  hub.setAllPaths(options);
  Node a(hub), b(hub);
  for (uint32_t i = 0; i < 1'000; ++i) {
    a.sendNow(1, i);
    hub.run(hub.nowUs() + 10);
  }
  hub.run(10'000'000);
  CHECK_EQ(b.arrivals.size(), size_t{1'000});
  bool ordered = true;
  for (uint32_t i = 0; i < b.arrivals.size(); ++i) ordered &= b.arrivals[i].value == i;
  CHECK(ordered);
}

TEST(loop_faults_happen_as_often_as_asked) {
  LoopHub hub(6, false);
  PathOptions options = rough();
  options.lossPpm = 100'000;
  hub.setAllPaths(options);
  Node a(hub), b(hub);
  for (uint32_t i = 0; i < 20'000; ++i) {
    a.sendNow(1, i);
    hub.run(hub.nowUs() + 20);
  }
  hub.run(kNever);
  const LoopCounters& c = hub.counters();
  CHECK_EQ(c.sent, uint64_t{20'000});
  CHECK(c.lost > 1'800 && c.lost < 2'200);
  CHECK(c.duplicated > 750 && c.duplicated < 1'050);
  CHECK(c.reordered > 750 && c.reordered < 1'150);
  CHECK(c.corrupted > 280 && c.corrupted < 480);
  CHECK_EQ(c.delivered + c.foreign, c.sent - c.lost + c.duplicated);
  CHECK_EQ(c.delivered, uint64_t{b.arrivals.size()});
  uint32_t late = 0;
  for (size_t i = 1; i < b.arrivals.size(); ++i) late += b.arrivals[i].value < b.arrivals[i - 1].value;
  CHECK(late > 100);
}

TEST(loop_blocks_one_direction) {
  LoopHub hub(7);
  Node a(hub), b(hub);
  hub.setBlocked(0, 1, true);
  a.sendNow(1, 1);
  b.sendNow(0, 2);
  hub.run(1'000);
  CHECK_EQ(b.arrivals.size(), size_t{0});
  CHECK_EQ(a.arrivals.size(), size_t{1});
  CHECK_EQ(hub.counters().blocked, uint64_t{1});
  hub.setBlocked(0, 1, false);
  a.sendNow(1, 3);
  hub.run(2'000);
  CHECK_EQ(b.arrivals.size(), size_t{1});
  CHECK_EQ(hub.nowUs(), uint64_t{2'000});
}

TEST(loop_pause_defers_in_order_timers_included) {
  LoopHub hub(8);
  Node a(hub), b(hub);
  b.port->setTimer(&b, 80);
  hub.pause(1, 500);
  a.sendNow(1, 1);                                  // due at 50
  hub.run(100);
  a.sendNow(1, 2);                                  // due at 150
  std::vector<int> order;
  b.onData = [&](const Datagram&) { order.push_back(1); };
  b.onTime = [&] { order.push_back(2); };
  hub.run(450);
  CHECK(order.empty());
  a.sendNow(1, 3);                                  // due at 500, behind what waits
  hub.run(1'000);
  CHECK((order == std::vector<int>{1, 2, 1, 1}));
  CHECK_EQ(b.arrivals[0].timeUs, uint64_t{500});
  CHECK_EQ(b.arrivals[2].value, uint32_t{3});
  CHECK_EQ(hub.counters().deferred, uint64_t{3});
}

TEST(loop_pause_survives_small_steps_and_extension) {
  LoopHub hub(9);
  Node a(hub), b(hub);
  hub.pause(1, 200);
  hub.pause(1, 400);
  for (uint32_t i = 0; i < 10; ++i) a.sendNow(1, i);
  hub.run(399);
  CHECK_EQ(b.arrivals.size(), size_t{0});
  for (int step = 0; step < 30; ++step) hub.run(1'000, 1);
  CHECK_EQ(b.arrivals.size(), size_t{10});
  bool ordered = true;
  for (uint32_t i = 0; i < b.arrivals.size(); ++i) ordered &= b.arrivals[i].value == i;
  CHECK(ordered);
}

TEST(loop_receive_queue_is_bounded_while_paused) {
  LoopHub hub(10);
  Node a(hub), b(hub);
  hub.setReceiveQueueLimit(1, 4);
  hub.pause(1, 1'000);
  for (uint32_t i = 0; i < 10; ++i) a.sendNow(1, i);
  hub.run(2'000);
  CHECK_EQ(b.arrivals.size(), size_t{4});
  CHECK_EQ(hub.counters().queueFull, uint64_t{6});
}

TEST(loop_timers_move_and_cancel) {
  LoopHub hub(13);
  Node a(hub);
  a.port->setTimer(&a, 100);
  a.port->setTimer(&a, 300);
  a.port->setTimer(&a, 200);
  hub.run(1'000);
  CHECK((a.timers == std::vector<uint64_t>{200}));
  a.port->setTimer(&a, 1'500);
  a.port->setTimer(&a, kNever);
  hub.run(2'000);
  CHECK_EQ(a.timers.size(), size_t{1});
  a.port->setTimer(&a, 10);                         // in the past: at once
  hub.run(2'000);
  CHECK((a.timers == std::vector<uint64_t>{200, 2'000}));
  a.port->setTimer(&a, 2'500);
  a.port->detach(a.endpoint, &a);
  hub.run(3'000);
  CHECK_EQ(a.timers.size(), size_t{2});
  CHECK_EQ(hub.counters().timers, uint64_t{2});
}

TEST(loop_clock_skew_moves_timers) {
  LoopHub hub(14);
  Node a(hub), b(hub);
  hub.setClock(0, 5'000, 100'000);                  // 5 ms ahead and a tenth faster
  CHECK_EQ(a.port->nowUs(&a), uint64_t{5'000});
  const uint64_t wall = b.port->wallClockUs(&b);
  CHECK_EQ(a.port->wallClockUs(&a), wall + 5'000);
  a.port->setTimer(&a, 16'000);
  std::vector<uint64_t> fired;
  a.onTime = [&] { fired.push_back(hub.nowUs()); };
  hub.run(20'000);
  CHECK((fired == std::vector<uint64_t>{10'000}));
  CHECK((a.timers == std::vector<uint64_t>{16'000}));
  CHECK_EQ(a.port->nowUs(&a), uint64_t{27'000});
  a.port->setTimer(&a, 37'000);
  hub.setClock(0, 0, 0);                            // the monotonic clock does not go back, the wall clock does
  CHECK_EQ(a.port->nowUs(&a), uint64_t{27'000});
  CHECK_EQ(a.port->wallClockUs(&a), b.port->wallClockUs(&b));
  hub.run(40'000);
  CHECK((fired == std::vector<uint64_t>{10'000, 30'000}));
}

TEST(loop_slow_clock_never_fires_early) {
  LoopHub hub(15);
  Node a(hub);
  hub.setClock(0, 0, -333'333);
  uint64_t wanted = 1;
  bool early = false;
  a.onTime = [&] {
    early |= a.port->nowUs(&a) < wanted;
    a.port->setTimer(&a, wanted += 7);
  };
  a.port->setTimer(&a, wanted);
  hub.run(100'000);
  CHECK(a.timers.size() > 9'000);
  CHECK(!early);
}

TEST(loop_batches_what_arrives_at_one_time) {
  LoopHub hub(16);
  Node a(hub), b(hub);
  for (uint32_t i = 0; i < 8; ++i) a.send(1, i);
  a.port->flush();
  hub.run(1'000);
  CHECK_EQ(b.arrivals.size(), size_t{8});
  CHECK_EQ(b.batches, 1);
}

TEST(loop_packs_frames_when_told) {
  LoopHub hub(17);
  Node a(hub), b(hub);
  hub.setPacking(true);
  for (uint32_t i = 0; i < 8; ++i) a.send(1, i);
  a.send(1, 8, 200, kGroup + 1);
  a.port->flush();
  hub.run(1'000);
  CHECK_EQ(b.arrivals.size(), size_t{2});
  CHECK_EQ(b.arrivals[0].length, uint32_t{1'400});
  CHECK_EQ(b.arrivals[1].length, uint32_t{200});
  CHECK_EQ(hub.counters().foreign, uint64_t{1});
}

TEST(loop_routes_by_group_and_counts_foreign) {
  LoopHub hub(18);
  Node a(hub), b(hub), relay(hub, 0);
  a.send(1, 1, 200, 99);
  a.send(2, 1, 200, 99);
  a.send(1, 1, 40);
  a.port->flush();
  hub.run(1'000);
  CHECK_EQ(b.arrivals.size(), size_t{0});
  CHECK_EQ(relay.arrivals.size(), size_t{1});
  CHECK_EQ(hub.counters().foreign, uint64_t{2});
}

TEST(loop_closed_port_drops_both_ways) {
  LoopHub hub(19);
  Node a(hub), b(hub);
  hub.closePort(1);
  a.sendNow(1, 1);
  b.sendNow(0, 2);
  hub.run(1'000);
  CHECK_EQ(a.arrivals.size() + b.arrivals.size(), size_t{0});
  CHECK_EQ(hub.counters().closed, uint64_t{2});
  hub.reopenPort(1);
  a.sendNow(1, 3);
  hub.run(2'000);
  CHECK_EQ(b.arrivals.size(), size_t{1});
}

TEST(loop_event_limit_drops_and_counts) {
  LoopHub hub(20);
  Node a(hub), b(hub);
  hub.setEventLimit(10);
  for (uint32_t i = 0; i < 20; ++i) a.send(1, i);
  a.port->flush();
  hub.run(1'000);
  CHECK_EQ(b.arrivals.size(), size_t{10});
  CHECK_EQ(hub.counters().queueFull, uint64_t{10});
}

TEST(loop_receiver_may_detach_in_its_callback) {
  LoopHub hub(21);
  Node a(hub), b(hub);
  b.onData = [&](const Datagram&) { b.port->detach(b.endpoint, &b); };
  for (uint32_t i = 0; i < 3; ++i) a.send(1, i);
  a.port->flush();
  hub.run(1'000);
  CHECK_EQ(b.arrivals.size(), size_t{1});
  CHECK_EQ(b.batches, 0);
}

TEST(loop_stop_and_nested_run) {
  LoopHub hub(22);
  Node a(hub), b(hub);
  b.onData = [&](const Datagram&) {
    CHECK_EQ(hub.run(kNever), uint64_t{0});
    hub.stop();
  };
  a.sendNow(1, 1);
  hub.run(10);
  a.sendNow(1, 2);
  CHECK_EQ(hub.run(1'000), uint64_t{1});
  CHECK_EQ(hub.nowUs(), uint64_t{50});
  CHECK_EQ(hub.run(1'000), uint64_t{1});
  CHECK_EQ(hub.nowUs(), uint64_t{60});
}

TEST(loop_schedule_runs_in_time_order) {
  LoopHub hub(23);
  static std::vector<uint64_t> seen;
  seen.clear();
  for (const uint64_t at : {30u, 10u, 20u}) {
    hub.schedule(at, [](void* context) { seen.push_back(static_cast<LoopHub*>(context)->nowUs()); }, &hub);
  }
  CHECK_EQ(hub.run(25), uint64_t{2});
  CHECK_EQ(hub.nowUs(), uint64_t{25});
  hub.run(kNever);
  CHECK((seen == std::vector<uint64_t>{10, 20, 30}));
}

TEST(loop_random_has_the_right_shape) {
  Random random(24);
  uint64_t sum = 0, most = 0;
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t value = random.exponential(1'000);
    sum += value;
    most = std::max(most, value);
  }
  CHECK(sum > 98'000'000 && sum < 102'000'000);
  CHECK(most <= 10'000 && most > 8'000);
  LoopHub hub(24);
  Node a(hub), b(hub);
  uint8_t x[16], y[16];
  a.port->entropy(x, 16);
  b.port->entropy(y, 16);
  CHECK(std::memcmp(x, y, 16) != 0);
}
