// Replica engines and one client that hear each other on the loop, with the machine and the caller of a test.
#pragma once

#include <functional>
#include <memory>

#include "check.h"
#include "client/client.h"
#include "fabric/loop.h"
#include "protocol/replica.h"

namespace squall {

/// Ends with the replicas bootstrapped and the client's session open.
template <class Machine, class Caller>
struct LoopCluster {
  const uint32_t n;
  const uint16_t clientPort;
  std::shared_ptr<fabric::LoopHub> hub = std::make_shared<fabric::LoopHub>(42, false);
  std::vector<std::unique_ptr<Machine>> machines;
  std::vector<std::unique_ptr<protocol::Replica>> replicas;
  Caller caller;
  std::unique_ptr<client::Client> client;
  uint64_t next = 1;

  LoopCluster(uint32_t size, uint32_t maxOperationBytes, uint32_t window, const std::function<void(protocol::ReplicaConfig&)>& configure)
      : n(size), clientPort(static_cast<uint16_t>(size)) {
    std::vector<fabric::Address> addresses;
    for (uint32_t i = 0; i <= n; i++) hub->addPort();
    for (uint16_t i = 0; i < n; i++) addresses.push_back(fabric::loopAddress(i));
    for (uint32_t i = 0; i < n; i++) {
      protocol::ReplicaConfig c;
      c.group = 9;
      c.replica = i;
      c.n = n;
      c.replicas = addresses;
      c.maxOperationBytes = maxOperationBytes;
      c.logEntries = 1024;
      c.logBytes = 64 << 20;
      configure(c);
      machines.push_back(std::make_unique<Machine>());
      replicas.push_back(std::make_unique<protocol::Replica>(port(static_cast<uint16_t>(i)), c, machines[i]->region, *machines[i]));
      CHECK_EQ(replicas[i]->start(), 0);
      CHECK(replicas[i]->bootstrap(LifeId{7}));
    }
    client::ClientConfig c;
    c.group = 9;
    c.clientId = 3;
    c.key = wire::clientKey(Key{}, 3);
    c.replicas = addresses;
    c.bind = fabric::loopAddress(clientPort);
    c.maxOperationBytes = maxOperationBytes;
    c.window = window;
    client = std::make_unique<client::Client>(port(clientPort), c, caller.region, caller);
    CHECK_EQ(client->open(), 0);
    client->start();
    run(50'000);
    CHECK(caller.state_ == client::ClientState::Ready);
  }
  std::shared_ptr<fabric::Fabric> port(uint16_t i) { return {hub, hub->port(i)}; }
  void run(uint64_t us) { hub->run(hub->nowUs() + us); }
};

}  // namespace squall
