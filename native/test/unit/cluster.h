// Channels of the three roles with one secret, for tests.
#pragma once

#include "wire/channel.h"

namespace squall::wire {

inline Salt saltOf(uint64_t n) {
  Salt salt{};
  store<uint64_t>(salt.data(), 0x5a17'0000'0000'0000ull + n);
  return salt;
}
inline const Key kSecret{1, 2, 3};
inline const LifeId kLife{7};
inline const fabric::Address kNowhere{};

struct Options {
  uint64_t group = 77;
  bool sealed = true;
  uint32_t maxFrameBytes = 1400;
  ChannelLimits limits{};
  Key secret = kSecret;
  LifeId life = kLife;
};

inline std::unique_ptr<Channels> make(Role role, uint64_t self, uint64_t salt, const Options& o = {}) {
  const Key key = role == Role::Client ? clientKey(o.secret, self) : o.secret;
  auto channels = std::make_unique<Channels>(ChannelConfig{role, o.group, self, key, o.sealed, o.maxFrameBytes, o.limits}, saltOf(salt));
  channels->setLife(o.life);
  return channels;
}
inline auto replica(uint64_t i, const Options& o = {}) { return make(Role::Replica, i, 1000 + i, o); }
inline auto client(uint64_t id, const Options& o = {}) { return make(Role::Client, id, 2000 + id, o); }
inline auto oper(uint64_t id, const Options& o = {}) { return make(Role::Operator, id, 3000 + id, o); }

using Frame = std::vector<uint8_t>;

inline Frame bodyOf(size_t length, uint8_t start = 1) {
  Frame body(length);
  for (size_t i = 0; i < length; i++) body[i] = static_cast<uint8_t>(start + i * 31 + i / 251);
  return body;
}

inline std::vector<Frame> sealAll(Channels& from, MessageType type, Target target, Bytes body, uint64_t key = 1) {
  std::vector<Frame> frames;
  from.sealMessage(type, target, body, key,
                   [&](size_t length) { return frames.emplace_back(length).data(); },
                   [&](size_t length) { frames.back().resize(length); });
  return frames;
}
inline Frame sealOne(Channels& from, MessageType type, Target target, Bytes body) {
  Frame frame(body.size() + kFrameOverhead);
  if (!body.empty()) std::memcpy(frame.data() + kHeaderBytes, body.data(), body.size());
  frame.resize(from.seal(frame.data(), body.size(), type, target));
  return frame;
}
inline Opened open(Channels& at, Bytes datagram, const fabric::Address& from = kNowhere) {
  Opened out;
  at.open(datagram, from, out);
  return out;
}
inline bool same(Bytes a, Bytes b) { return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0); }

}  // namespace squall::wire
