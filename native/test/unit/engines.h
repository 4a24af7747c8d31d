// Replica engines and a client on the loop, with a machine that answers each operation with its first byte doubled.
#pragma once

#include "loop_cluster.h"

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

struct Cluster : LoopCluster<Machine, Caller> {
  explicit Cluster(uint32_t n, uint64_t logEntries = 1024) : Cluster(n, [&](protocol::ReplicaConfig& c) { c.logEntries = logEntries; }) {}
  Cluster(uint32_t n, const std::function<void(protocol::ReplicaConfig&)>& configure) : LoopCluster(n, 1 << 14, 64, configure) {}
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

inline bool sameLog(const protocol::Replica& a, const protocol::Replica& b) {
  return a.log().end() == b.log().end() && std::memcmp(a.log().hashAt(a.log().end()), b.log().hashAt(b.log().end()), 32) == 0;
}

/// Speaks as one of the replicas, with frames of the test's making.
struct Forger {
  wire::Channels channels;
  explicit Forger(uint64_t self) : channels(config(self), Salt{9, static_cast<uint8_t>(self)}) { channels.setLife(LifeId{7}); }
  static wire::ChannelConfig config(uint64_t self) {
    wire::ChannelConfig c{};
    c.role = wire::Role::Replica;
    c.group = 9;
    c.self = self;
    return c;
  }
  void send(protocol::Replica& to, MessageType type, const std::vector<uint8_t>& body, bool endBatch = true) {
    std::vector<uint8_t> frame(body.size() + wire::kFrameOverhead);
    std::copy(body.begin(), body.end(), frame.begin() + wire::kHeaderBytes);
    const size_t length = channels.seal(frame.data(), body.size(), type, wire::Target::all());
    CHECK(length > 0);
    to.onDatagram({frame.data(), static_cast<uint32_t>(length), {}});
    if (endBatch) to.onBatchEnd();
  }
};

}  // namespace squall
