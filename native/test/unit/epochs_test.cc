// From one configuration to the next: what a closing view refuses, who follows, and that two epochs do not hear each other.
#include "engines.h"

using namespace squall;

namespace {

std::vector<uint8_t> reconfiguration(uint32_t epoch) {
  std::vector<uint8_t> record(wire::kRecordBytes + 3, 'c');
  wire::writeRecordHeader(record.data(), 0, epoch, 0, 0, wire::kReconfigure, 3);
  return record;
}

struct Epochs : Cluster {
  explicit Epochs(uint64_t checkpointEvery = 0)
      : Epochs([=](protocol::ReplicaConfig& c) { c.checkpointEvery = checkpointEvery; }) {}
  explicit Epochs(const std::function<void(protocol::ReplicaConfig&)>& configure) : Cluster(3, configure) {}

  /// All replicas install a view whose log ends with the reconfiguration.
  void close() {
    const std::vector<uint8_t> record = reconfiguration(replicas[0]->epoch() + 1);
    for (auto& r : replicas) {
      r->freeze(r->view() + 1);
      CHECK(r->install(r->view(), Mode::Speculative, r->log().end(), {Bytes{record}}));
    }
  }
  /// The configuration whose index i is the present replica members[i].
  wire::Members configuration(std::initializer_list<size_t> members) {
    wire::Members out;
    out.life = LifeId{7};
    out.epoch = replicas[0]->epoch() + 1;
    for (size_t i : members) out.replicas.push_back(fabric::loopAddress(static_cast<uint16_t>(i)));
    return out;
  }
  void enter(size_t i, const wire::Members& members, uint32_t index, uint64_t view, Mode mode = Mode::Speculative) {
    CHECK(replicas[i]->commitTo(replicas[i]->log().end()));
    CHECK(replicas[i]->reconfigure(members, index));
    CHECK(replicas[i]->status() == Status::Recovery);
    CHECK(replicas[i]->beginEpoch(view, mode));
    replicas[i]->flush();
  }
};

}  // namespace

TEST(nothing_follows_the_reconfiguration_in_a_closing_view) {
  Epochs c;
  c.send({1});
  c.run(5'000);
  CHECK_EQ(c.caller.done.size(), 1u);
  c.close();
  const uint64_t end = c.replicas[0]->log().end();
  const uint32_t executed = c.machines[0]->executed;
  c.send({2, 3});
  c.run(20'000);
  for (auto& r : c.replicas) CHECK_EQ(r->log().end(), end);
  CHECK_EQ(c.machines[0]->executed, executed);      // nor does the machine ever see it
  CHECK_EQ(c.caller.done.size(), 1u);
  // A later view of the same epoch that keeps it closes too.
  for (auto& r : c.replicas) {
    r->freeze(9);
    CHECK(r->install(9, Mode::Leader, end, {}));
  }
  c.run(20'000);
  for (auto& r : c.replicas) CHECK_EQ(r->log().end(), end);
}

TEST(a_client_follows_to_the_next_epoch_and_loses_nothing) {
  Epochs c;
  c.send({1});
  c.run(5'000);
  c.close();
  c.send({2, 3});
  c.run(2'000);
  const uint64_t end = c.replicas[0]->log().end();
  const wire::Members swapped = c.configuration({2, 1, 0});    // indices change
  c.enter(0, swapped, 2, 100);
  c.enter(1, swapped, 1, 100);
  c.enter(2, swapped, 0, 100);
  c.run(30'000);
  CHECK_EQ(c.caller.status[client::kEpoch], 1.0);
  CHECK_EQ(c.caller.done.size(), 3u);
  for (auto& done : c.caller.done) CHECK_EQ(done.first, 0u);
  for (auto& r : c.replicas) CHECK_EQ(r->log().end(), end + 2);
  for (auto& m : c.machines) CHECK_EQ(m->executed, 3u);        // each once
}

TEST(replicas_of_two_epochs_do_not_hear_each_other) {
  Epochs c;
  c.close();
  const wire::Members next = c.configuration({0, 1, 2});
  c.enter(0, next, 0, 100);
  c.enter(1, next, 1, 100);
  c.machines[2]->controls.clear();
  const std::vector<uint8_t> body(8, 1);
  c.replicas[0]->send(2, MessageType::Sync, body);
  c.replicas[0]->flush();
  c.run(5'000);
  CHECK(c.machines[2]->controls.empty());
  // What is outside a life arrives, even from a machine that has the receiver's own index there.
  c.replicas[0]->sendToAddress(fabric::loopAddress(2), MessageType::NewEpoch, body);
  c.replicas[0]->flush();
  c.run(5'000);
  CHECK_EQ(c.machines[2]->controls.size(), 1u);
  c.enter(2, next, 2, 100);
  c.replicas[0]->send(2, MessageType::Sync, body);
  c.replicas[0]->flush();
  c.run(5'000);
  CHECK_EQ(c.machines[2]->controls.size(), 2u);
}

TEST(the_leader_of_an_epoch_that_is_not_on_its_disk_gives_no_entry_a_place) {
  Epochs c([](protocol::ReplicaConfig& config) {
    config.firstMode = Mode::Leader;
    if (config.replica == 1) config.durability = protocol::Durability::Sync;
  });
  c.close();
  const wire::Members next = c.configuration({0, 1, 2});
  for (uint32_t i = 0; i < 3; i++) c.enter(i, next, i, 100, Mode::Leader);
  protocol::Replica& leader = *c.replicas[1];
  const uint64_t end = leader.log().end();
  c.send({1});
  c.run(5'000);
  CHECK_EQ(leader.log().end(), end + 1);
  // Without memory of this view it would lead it once more, and begin anew behind `end`.
  leader.prepareAgain(-1);
  leader.flush();
  c.run(5'000);
  CHECK_EQ(c.machines[1]->status[protocol::kPrepares], 0.0);
  for (size_t i : {0, 2}) CHECK_EQ(c.replicas[i]->log().end(), end);
  leader.setDurable(end);                      // the view, not the entry: two other disks do for that
  c.run(5'000);
  for (size_t i : {0, 2}) CHECK_EQ(c.replicas[i]->log().end(), end + 1);
  CHECK_EQ(c.caller.done.size(), 1u);
}

TEST(an_epoch_begins_with_a_checkpoint_and_only_when_all_is_executed) {
  Epochs c(4);
  c.send({1});
  c.run(5'000);
  c.send({2});
  c.run(5'000);
  c.close();                                   // registration, 1, 2, and the reconfiguration at 4
  protocol::Replica& r = *c.replicas[0];
  CHECK_EQ(r.log().end(), 4u);
  CHECK_EQ(r.log().checkpointDue(), 0u);       // 4 is a multiple of 4, yet no state transfer may hide it in this epoch
  const wire::Members next = c.configuration({0, 1, 2});
  CHECK(r.reconfigure(next, 0));
  CHECK(!r.beginEpoch(100, Mode::Leader));     // not committed
  CHECK(r.commitTo(4));
  CHECK(r.beginEpoch(100, Mode::Leader));
  CHECK_EQ(r.log().checkpointDue(), 4u);
  CHECK(!r.reconfigure(next, 0));              // no later epoch
}

TEST(a_client_cannot_ask_for_the_end_of_an_epoch) {
  Epochs c;
  const uint64_t end = c.replicas[0]->log().end();
  auto frame = [&](uint64_t session, uint8_t flags) {
    std::vector<uint8_t> body(wire::kRequestBodyBytes + wire::kRecordBytes);
    wire::store<uint16_t>(body.data() + 2, 1);
    wire::writeRecordHeader(body.data() + wire::kRequestBodyBytes, session, 1, 0, 0, flags, 0);
    return body;
  };
  Salt salt{};
  wire::store<uint64_t>(salt.data(), 5);
  wire::Channels evil({wire::Role::Client, 9, 4, wire::clientKey(Key{}, 4), true, 1400, {}}, salt);
  evil.setLife(LifeId{7});
  for (uint64_t session : {0, 5}) {
    const std::vector<uint8_t> body = frame(session, wire::kReconfigure);
    std::vector<uint8_t> sealed(body.size() + wire::kFrameOverhead);
    std::memcpy(sealed.data() + wire::kHeaderBytes, body.data(), body.size());
    sealed.resize(evil.seal(sealed.data(), body.size(), MessageType::Request, wire::Target::all()));
    CHECK(!sealed.empty());
    c.replicas[0]->onDatagram({sealed.data(), static_cast<uint32_t>(sealed.size()), fabric::loopAddress(40)});
    c.replicas[0]->onBatchEnd();
  }
  CHECK_EQ(c.replicas[0]->log().end(), end);
}

TEST(members_are_read_as_they_were_written_and_nothing_else_is) {
  wire::Members members{LifeId{1, 2}, 5, {fabric::loopAddress(3), fabric::loopAddress(4), fabric::loopAddress(5)}};
  std::vector<uint8_t> body = wire::encodeMembers(members);
  wire::Members out;
  CHECK(wire::parseMembers(body, out));
  CHECK(out.life == members.life && out.epoch == 5 && out.replicas == members.replicas);
  for (size_t length = 0; length < body.size(); length++) CHECK(!wire::parseMembers(Bytes{body}.first(length), out));
  std::vector<uint8_t> even = body;
  even[20] = 2;
  CHECK(!wire::parseMembers(even, out));
  std::vector<uint8_t> family = body;
  family[wire::kMembersHeadBytes] = 9;
  CHECK(!wire::parseMembers(family, out));
  CHECK(wire::epochLife(LifeId{1}, 0) == LifeId{1});
  CHECK(wire::epochLife(LifeId{1}, 1) != wire::epochLife(LifeId{1}, 2));
}
