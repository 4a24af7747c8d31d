// Replica and client engines against each other on the loop, without JavaScript.
#include "check.h"
#include "engines.h"

using namespace squall;

TEST(operations_commit_in_one_round_trip) {
  for (uint32_t n : {1u, 3u, 5u, 7u}) {
    Cluster c(n);
    c.send({1, 2, 3});
    c.run(150);                           // 50 us each way
    CHECK_EQ(c.caller.done.size(), 3u);
    CHECK_EQ(c.caller.done[2].second, 6);
    for (auto& machine : c.machines) CHECK_EQ(machine->executed, 3u);
    for (auto& replica : c.replicas) CHECK(std::memcmp(replica->log().hashAt(4), c.replicas[0]->log().hashAt(4), 32) == 0);
  }
}

TEST(a_lost_request_is_sent_again_and_executed_once) {
  Cluster c(3);
  fabric::PathOptions lossy;
  lossy.lossPpm = 300'000;
  c.hub->setAllPaths(lossy);
  for (int i = 0; i < 50; i++) { c.send({static_cast<uint8_t>(i)}); c.run(400'000); }
  c.hub->setAllPaths({});
  c.run(3'000'000);
  // What diverged waits for a reconciliation, which is the control plane's; nothing is executed twice.
  for (auto& machine : c.machines) CHECK(machine->executed <= 50);
  CHECK(c.caller.done.size() >= 20);
}

TEST(large_operations_travel_in_fragments) {
  Cluster c(3);
  c.send({21}, 1 << 14);
  c.run(5'000);
  CHECK_EQ(c.caller.done.size(), 1u);
  CHECK_EQ(c.caller.done[0].second, 42);
}

TEST(a_full_log_refuses_in_the_log) {
  Cluster c(3, 64);
  for (int i = 0; i < 60; i++) { c.send({1}); c.run(1'000); }
  CHECK_EQ(c.caller.done.size(), 60u);
  CHECK_EQ(c.caller.done[10].first, 0u);
  CHECK_EQ(c.caller.done.back().first, static_cast<uint32_t>(wire::ResultStatus::LogFull));
  CHECK(c.machines[0]->executed < 60);
}

TEST(a_log_without_any_room_ends_operations_too) {
  Cluster c(3, 64);
  for (int i = 0; i < 80; i++) { c.send({1}); c.run(1'000); }
  // Beyond the 64th entry nothing can be logged, not even a refusal; nobody waits for ever.
  CHECK_EQ(c.replicas[0]->log().end(), 64u);
  CHECK_EQ(c.caller.done.size(), 80u);
  if (!c.caller.done.empty()) CHECK_EQ(c.caller.done.back().first, static_cast<uint32_t>(wire::ResultStatus::LogFull));
}

TEST(replies_wait_while_the_log_is_frozen) {
  Cluster c(3);
  for (auto& replica : c.replicas) replica->freeze(1);
  c.send({5});
  c.run(1'000);
  CHECK_EQ(c.caller.done.size(), 0u);
  for (auto& replica : c.replicas) CHECK(replica->install(1, Mode::Speculative, replica->log().end(), {}));
  for (auto& replica : c.replicas) replica->flush();
  c.run(1'000);
  CHECK_EQ(c.caller.done.size(), 1u);     // taken from the buffer, no time-out needed
}

TEST(install_rolls_back_what_differs_and_answers) {
  Cluster c(3);
  c.send({1, 2});
  c.run(1'000);
  protocol::Replica& r = *c.replicas[0];
  const Bytes second = r.log().record(3);
  const std::vector<uint8_t> copy(second.begin(), second.end());
  r.freeze(1);
  CHECK(r.install(1, Mode::Speculative, 1, {copy}));
  CHECK_EQ(r.log().end(), 2u);
  CHECK_EQ(r.view(), 1u);
  CHECK(r.commitTo(2));
  CHECK(!r.commitTo(3));
  r.freeze(2);
  CHECK(!r.install(2, Mode::Speculative, 1, {}));   // would undo what is committed
}

TEST(views_and_hashes_must_match_for_acceptance) {
  Cluster c(3);
  // Replica 2 goes to another view: its replies no longer count with the others'.
  c.replicas[2]->freeze(1);
  CHECK(c.replicas[2]->install(1, Mode::Speculative, c.replicas[2]->log().end(), {}));
  c.send({1});
  c.run(200);
  CHECK_EQ(c.caller.done.size(), 0u);
  for (int i = 0; i < 2; i++) {
    c.replicas[i]->freeze(1);
    CHECK(c.replicas[i]->install(1, Mode::Speculative, c.replicas[i]->log().end(), {}));
    c.replicas[i]->flush();
  }
  c.run(200);
  CHECK_EQ(c.caller.done.size(), 1u);
}

TEST(one_committed_reply_is_enough) {
  Cluster c(3);
  c.hub->setBlocked(1, 3, true);
  c.hub->setBlocked(2, 3, true);
  c.send({4});
  c.run(300);
  CHECK_EQ(c.caller.done.size(), 0u);
  CHECK(c.replicas[0]->commitTo(2));
  c.replicas[0]->answer(2, 2);
  c.replicas[0]->flush();
  c.run(300);
  CHECK_EQ(c.caller.done.size(), 1u);
  if (!c.caller.done.empty()) CHECK_EQ(c.caller.done[0].second, 8);
}
