// A replica and a client engine, unsealed, fed by an authentic but hostile peer: arbitrary bodies of every message type in well-formed
// frames. Reaches the decoders of HELLO, REQUEST, READ, REPLY, READ-REPLY, WELCOME, PREPARE, PREPARE-OK and FORWARD bodies and what stands
// behind them.
#include <cstdlib>

#include "client/client.h"
#include "fabric/loop.h"
#include "protocol/replica.h"

using namespace squall;

namespace {

struct Machine final : protocol::ReplicaUpcalls {
  double status[protocol::kStatusWords] = {};
  protocol::ExecuteRow rows[8];
  uint8_t arena[4096], results[4096];
  uint32_t execute(uint32_t count) override {
    for (uint32_t i = 0; i < count; i++) { if (rows[i].offset + rows[i].length > sizeof arena) std::abort(); rows[i].status = 0; rows[i].resultBytes = 1; }
    return count;
  }
  uint32_t query(uint32_t count) override { return execute(count); }
  void control(wire::Opened&) override {}
  void complaint(uint64_t, uint64_t) override {}
  void tick(uint64_t) override {}
};
struct Caller final : client::ClientUpcalls {
  double status[client::kClientWords] = {};
  client::RequestRow requests[4], reads[4];
  client::CompletionRow completions[4];
  uint8_t arena[4096], results[4096];
  void complete(uint32_t count) override { if (count > 4) std::abort(); }
  void state(client::ClientState) override {}
};

/// WELCOME, REPLY, READ-REPLY.
constexpr bool answers(uint8_t type) { return type == 16 || type == 17 || type == 20; }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto hub = std::make_shared<fabric::LoopHub>(1, false);
  for (int i = 0; i < 5; i++) hub->addPort();
  const auto port = [&](uint16_t i) { return std::shared_ptr<fabric::Fabric>(hub, hub->port(i)); };
  std::vector<fabric::Address> addresses{fabric::loopAddress(0), fabric::loopAddress(1), fabric::loopAddress(2)};

  Machine machine;
  protocol::ReplicaConfig rc;
  rc.group = 1;
  rc.replicas = addresses;
  rc.sealed = false;
  rc.maxOperationBytes = 2048;
  rc.maxSessions = 2;
  rc.window = 4;
  rc.logEntries = 64;
  // The first byte chooses between a SPECULATIVE view, the leader of a LEADER view and a backup of one.
  const uint8_t scenario = size ? data[0] >> 6 : 0;
  if (scenario & 1) rc.firstMode = Mode::Leader;
  if (scenario == 3) rc.replica = 1;
  protocol::Replica replica(port(static_cast<uint16_t>(rc.replica)), rc, {machine.status, machine.rows, 8, machine.arena, sizeof machine.arena, machine.results, sizeof machine.results}, machine);
  Caller caller;
  client::ClientConfig cc;
  cc.group = 1;
  cc.clientId = 1;
  cc.replicas = addresses;
  cc.bind = fabric::loopAddress(3);
  cc.sealed = false;
  cc.maxOperationBytes = 2048;
  cc.window = 4;
  client::Client client(port(3), cc, {caller.status, caller.requests, 4, caller.reads, 4, caller.arena, sizeof caller.arena, caller.completions, 4, caller.results, sizeof caller.results}, caller);
  if (!replica.ok() || replica.start() || client.open()) std::abort();
  const LifeId life{7};
  replica.bootstrap(life);
  client.start();

  // The peer speaks as client 1 and as the other two replicas.
  wire::ChannelConfig base{};
  base.group = 1;
  base.sealed = false;
  base.self = 1;
  base.role = wire::Role::Client;
  wire::Channels asClient(base, Salt{5});
  base.role = wire::Role::Replica;
  base.self = (rc.replica + 1) % 3;
  wire::Channels asOne(base, Salt{6});
  base.self = (rc.replica + 2) % 3;
  wire::Channels asTwo(base, Salt{8});
  for (wire::Channels* c : {&asClient, &asOne, &asTwo}) c->setLife(life);
  // The replicas of the peer must have heard the client: hand them its greeting.
  uint8_t frame[4096];
  wire::Opened opened;
  wire::ChannelConfig echo{};
  echo.group = 1;
  echo.sealed = false;
  echo.self = 1;
  echo.role = wire::Role::Client;
  Salt clientSalt{};
  wire::store<uint64_t>(clientSalt.data(), client.session());
  wire::Channels asGreeter(echo, clientSalt);
  for (wire::Channels* c : {&asOne, &asTwo}) c->open({frame, asGreeter.seal(frame, 0, MessageType::Hello, wire::Target::all())}, {}, opened);

  while (size >= 4) {
    const uint8_t who = data[0] % 3, type = data[1];
    size_t length = std::min<size_t>(wire::load<uint16_t>(data + 2) % 2048, size - 4);
    wire::Channels& from = who == 0 ? asClient : who == 1 ? asOne : asTwo;
    if (length) std::memcpy(frame + wire::kHeaderBytes, data + 4, length);
    const size_t bytes = from.seal(frame, length, static_cast<MessageType>(type & 0x7f), who && answers(type) ? wire::Target::back(opened.stream) : wire::Target::all());
    if (bytes) {
      const fabric::Datagram datagram{frame, static_cast<uint32_t>(bytes), addresses[who]};
      if (who == 0 || !answers(type)) {
        replica.onDatagram(datagram);
        replica.onBatchEnd();
        if (type & 0x80) replica.prepareAgain(-1);
      }
      else { client.onDatagram(datagram); client.onBatchEnd(); }
    }
    hub->run(hub->nowUs() + 50);
    data += 4 + length;
    size -= 4 + length;
  }
  return 0;
}
