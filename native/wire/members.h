// Epochs: what a member tells a client of the present configuration, and the life id under which an epoch's frames are sealed.
#pragma once

#include <vector>

#include "fabric/fabric.h"
#include "wire/crypto.h"
#include "wire/frame.h"

namespace squall::wire {

/// Frames of another epoch fail authentication, because the same replica index means another machine there.
inline LifeId epochLife(const LifeId& life, uint32_t epoch) {
  if (epoch == 0) return life;
  constexpr char label[] = "squall epoch";
  uint8_t number[4];
  store<uint32_t>(number, epoch);
  Sha256 sha;
  sha.update({reinterpret_cast<const uint8_t*>(label), sizeof label - 1});
  sha.update(life);
  sha.update(number);
  Hash hash;
  sha.finish(hash);
  LifeId out;
  std::memcpy(out.data(), hash.data(), out.size());
  return out;
}

// MEMBERS body: life id 16, epoch 4, replicas 1, zero 3; then each replica's address: family 1, zero 1, port 2, ip 16.
constexpr size_t kMembersHeadBytes = 24;
constexpr size_t kMemberBytes = 20;

struct Members {
  LifeId life{};
  uint32_t epoch = 0;
  std::vector<fabric::Address> replicas;
};

inline std::vector<uint8_t> encodeMembers(const Members& m) {
  std::vector<uint8_t> body(kMembersHeadBytes + m.replicas.size() * kMemberBytes);
  std::memcpy(body.data(), m.life.data(), m.life.size());
  store<uint32_t>(body.data() + 16, m.epoch);
  body[20] = static_cast<uint8_t>(m.replicas.size());
  uint8_t* p = body.data() + kMembersHeadBytes;
  for (const fabric::Address& a : m.replicas) {
    p[0] = a.family;
    store<uint16_t>(p + 2, a.port);
    std::memcpy(p + 4, a.ip, 16);
    p += kMemberBytes;
  }
  return body;
}

/// False for anything but one whole, well-formed configuration.
inline bool parseMembers(Bytes body, Members& out) {
  if (body.size() < kMembersHeadBytes) return false;
  const uint8_t n = body[20];
  if (n == 0 || n > kMaxReplicas || n % 2 == 0 || body.size() != kMembersHeadBytes + n * kMemberBytes) return false;
  std::memcpy(out.life.data(), body.data(), out.life.size());
  out.epoch = load<uint32_t>(body.data() + 16);
  out.replicas.resize(n);
  for (uint8_t i = 0; i < n; i++) {
    const uint8_t* p = body.data() + kMembersHeadBytes + i * kMemberBytes;
    fabric::Address& a = out.replicas[i];
    a = {};
    a.family = p[0];
    a.port = load<uint16_t>(p + 2);
    std::memcpy(a.ip, p + 4, 16);
    if (a.family != 1 && a.family != 4 && a.family != 6) return false;
  }
  return true;
}

}  // namespace squall::wire
