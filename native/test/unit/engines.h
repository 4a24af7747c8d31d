// Replica engines and a client on the loop, with a machine that answers each operation with its first byte doubled.
#pragma once

#include <functional>
#include <memory>

#include "check.h"
#include "client/client.h"
#include "fabric/loop.h"
#include "protocol/replica.h"

namespace squall {

/// Answers each operation with its first byte times `factor`, `resultBytes` of them; control frames are kept.
struct Machine final : protocol::ReplicaUpcalls {
  protocol::ReplicaRegion region;
  double status[protocol::kStatusWords] = {};
  protocol::ExecuteRow rows[32];
  std::vector<uint8_t> arena = std::vector<uint8_t>(1 << 16), results = std::vector<uint8_t>(1 << 16);
  uint32_t executed = 0, ticks = 0;
  std::vector<std::pair<MessageType, std::vector<uint8_t>>> controls;
  bool throwing = false;
  uint32_t factor = 2, resultBytes = 1;
  Machine() { region = {status, rows, 32, arena.data(), arena.size(), results.data(), results.size()}; }
  uint32_t execute(uint32_t count) override {
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
      if (used + resultBytes > results.size()) return i;
      std::memset(results.data() + used, rows[i].length ? arena[rows[i].offset] * factor : 0, resultBytes);
      used += resultBytes;
      rows[i].status = throwing ? 1 : 0;
      rows[i].resultBytes = resultBytes;
      executed++;
    }
    return count;
  }
  void control(wire::Opened& frame) override { controls.push_back({frame.type, {frame.body.begin(), frame.body.end()}}); }
  void complaint(uint64_t, uint64_t) override {}
  void tick(uint64_t) override { ticks++; }
};

struct Caller final : client::ClientUpcalls {
  client::ClientRegion region;
  double status[client::kClientWords] = {};
  client::RequestRow requests[64];
  client::CompletionRow completions[64];
  std::vector<uint8_t> arena = std::vector<uint8_t>(1 << 16), results = std::vector<uint8_t>(1 << 16);
  std::vector<std::pair<uint32_t, uint8_t>> done;   // status, first byte
  client::ClientState state_ = client::ClientState::Hello;
  Caller() { region = {status, requests, 64, nullptr, 0, arena.data(), arena.size(), completions, 64, results.data(), results.size()}; }
  void complete(uint32_t count) override {
    for (uint32_t i = 0; i < count; i++) done.push_back({completions[i].status, completions[i].length ? results[completions[i].offset] : uint8_t{0}});
  }
  void state(client::ClientState state) override { state_ = state; }
};

struct Cluster {
  std::shared_ptr<fabric::LoopHub> hub = std::make_shared<fabric::LoopHub>(42, false);
  std::vector<std::unique_ptr<Machine>> machines;
  std::vector<std::unique_ptr<protocol::Replica>> replicas;
  Caller caller;
  std::unique_ptr<client::Client> client;
  uint64_t next = 1;

  explicit Cluster(uint32_t n, uint64_t logEntries = 1024) : Cluster(n, [&](protocol::ReplicaConfig& c) { c.logEntries = logEntries; }) {}
  Cluster(uint32_t n, const std::function<void(protocol::ReplicaConfig&)>& configure) {
    std::vector<fabric::Address> addresses;
    for (uint32_t i = 0; i < n; i++) addresses.push_back(fabric::loopAddress(hub->addPort()->index()));
    const uint16_t clientPort = hub->addPort()->index();
    for (uint32_t i = 0; i < n; i++) {
      protocol::ReplicaConfig c;
      c.group = 9;
      c.replica = i;
      c.n = n;
      c.replicas = addresses;
      c.maxOperationBytes = 1 << 14;
      c.logEntries = 1024;
      c.logBytes = 64 << 20;
      configure(c);
      machines.push_back(std::make_unique<Machine>());
      replicas.push_back(std::make_unique<protocol::Replica>(port(i), c, machines[i]->region, *machines[i]));
      CHECK_EQ(replicas[i]->start(), 0);
      CHECK(replicas[i]->bootstrap(LifeId{7}));
    }
    client::ClientConfig c;
    c.group = 9;
    c.clientId = 3;
    c.key = wire::clientKey(Key{}, 3);
    c.replicas = addresses;
    c.bind = fabric::loopAddress(clientPort);
    c.maxOperationBytes = 1 << 14;
    client = std::make_unique<client::Client>(port(clientPort), c, caller.region, caller);
    CHECK_EQ(client->open(), 0);
    client->start();
    run(50'000);
    CHECK(caller.state_ == client::ClientState::Ready);
  }
  std::shared_ptr<fabric::Fabric> port(uint16_t i) { return {hub, hub->port(i)}; }
  void run(uint64_t us) { hub->run(hub->nowUs() + us); }
  void send(std::initializer_list<uint8_t> firstBytes, uint32_t length = 8) {
    uint32_t count = 0, offset = 0;
    for (uint8_t byte : firstBytes) {
      caller.arena[offset] = byte;
      caller.requests[count++] = {static_cast<uint32_t>(next++ % 64), offset, length, 0};
      offset += length;
    }
    CHECK(client->flush(count));
  }
};

}  // namespace squall
