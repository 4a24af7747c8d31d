#include "wire/channel.h"

#include <string_view>

#include "wire/reassembly.h"
#include "wire/streams.h"

namespace squall::wire {

namespace {

constexpr std::string_view kStreamLabel = "squall stream 1";
constexpr uint32_t kSmallestMaxFrame = 256;
static_assert(kSmallestMaxFrame >= kFrameOverhead + Channels::kFragmentHeaderBytes + Reassembler::kMinFragmentBytes,
              "a fragment in the smallest frames is one that the other side accepts");

Bytes bytesOf(std::string_view text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }

bool isReject(uint8_t type) { return type == static_cast<uint8_t>(MessageType::Reject); }

/// What HKDF(secret, ...) extracts from the secret, kept because a client's key is derived for each unknown salt.
void extract(const Key& secret, Hash& out) { hmacSha256({}, secret, out); }

void clientKeyFrom(const Hash& extracted, uint64_t clientId, Key& out) {
  constexpr std::string_view label = "squall client";
  uint8_t info[label.size() + 8 + 1];
  std::memcpy(info, label.data(), label.size());
  store<uint64_t>(info + label.size(), clientId);
  info[sizeof info - 1] = 1;
  hmacSha256(extracted, info, out);
}

}  // namespace

Key clientKey(const Key& secret, uint64_t clientId) {
  Hash extracted;
  extract(secret, extracted);
  Key key;
  clientKeyFrom(extracted, clientId, key);
  return key;
}

struct Channels::State {
  ChannelConfig config;
  Salt salt;
  LifeId life{};
  bool hasLife = false;
  uint64_t ownDestination;
  Hash extracted{};
  Key replicaKey{}, operatorKey{};
  uint64_t counter = 0;             // of frames to replicas, whatever the key
  Aead sealers[2];                  // for replicas; [1]: outside a life
  uint8_t version = kOldestWireVersion;
  Aead scratch;                     // keyed for the salt of the moment until a tag has proved it
  StreamTable streams;
  Reassembler reassembler;
  std::unique_ptr<uint8_t[]> plain{new uint8_t[kMaxFrameBytes]};

  State(const ChannelConfig& c, const Salt& ownSalt);
  Sender ownKind() const {
    return config.role == Role::Client ? Sender::Client : config.role == Role::Operator ? Sender::Operator : Sender::Replica;
  }
  bool streamKey(Aead& aead, Aead::Use use, Sender kind, bool outside, uint64_t peer, uint64_t sender,
                 const Salt& senderSalt, const Salt* receiverSalt);
  DropReason checkHeader(const FrameHeader& header, Sender& kind) const;
  DropReason authenticate(const FrameHeader& header, Sender kind, Bytes frame, uint32_t& stream);
  bool openWith(Aead& aead, const FrameHeader& header, Bytes frame);
};

Channels::State::State(const ChannelConfig& c, const Salt& ownSalt)
    : config(c),
      salt(ownSalt),
      ownDestination(c.role == Role::Replica ? c.self : load<uint64_t>(ownSalt.data())),
      streams(c.limits.maxStreams, load<uint64_t>(c.secret.data()) ^ load<uint64_t>(ownSalt.data()),
              load<uint64_t>(c.secret.data() + 8) ^ load<uint64_t>(ownSalt.data() + 8)),
      reassembler({c.limits.maxMessageBytes, c.limits.maxControlBytes, c.limits.reassemblyBytes,
                   c.limits.reassembliesPerStream}) {
  config.maxFrameBytes = std::clamp<uint32_t>(config.maxFrameBytes, kSmallestMaxFrame, kMaxFrameBytes);
  if (!config.sealed || config.role == Role::Client) return;
  extract(config.secret, extracted);
  hkdf(config.secret, bytesOf("squall replica"), replicaKey);
  hkdf(config.secret, bytesOf("squall operator"), operatorKey);
}

/// `peer`: the client's id where a client is on either side.
bool Channels::State::streamKey(Aead& aead, Aead::Use use, Sender kind, bool outside, uint64_t peer, uint64_t sender,
                                const Salt& senderSalt, const Salt* receiverSalt) {
  Key roleKey;
  switch (kind) {
    case Sender::Client:
    case Sender::ReplicaToClient:
      if (config.role == Role::Client) roleKey = config.secret;
      else clientKeyFrom(extracted, peer, roleKey);
      break;
    case Sender::Replica: roleKey = replicaKey; break;
    case Sender::Operator:
    case Sender::ReplicaToOperator: roleKey = operatorKey; break;
  }
  uint8_t info[kStreamLabel.size() + 1 + 16 + 8 + 8 + 16 + 16] = {};
  uint8_t* p = info;
  std::memcpy(p, kStreamLabel.data(), kStreamLabel.size());
  p += kStreamLabel.size();
  *p++ = static_cast<uint8_t>(kind);
  if (!outside) std::memcpy(p, life.data(), life.size());
  p += life.size();
  store<uint64_t>(p, config.group);
  store<uint64_t>(p + 8, sender);
  std::memcpy(p + 16, senderSalt.data(), senderSalt.size());
  if (receiverSalt) std::memcpy(p + 32, receiverSalt->data(), receiverSalt->size());
  Hash key;
  hmacSha256(roleKey, info, key);
  return aead.init(Bytes(key).first(16), use);
}

Channels::Channels(const ChannelConfig& config, const Salt& ownSalt) : state_(std::make_unique<State>(config, ownSalt)) {}
Channels::~Channels() = default;

const LifeId& Channels::life() const { return state_->life; }
const Salt& Channels::salt() const { return state_->salt; }
size_t Channels::maxBody() const { return state_->config.maxFrameBytes - kFrameOverhead; }
const StreamInfo& Channels::stream(uint32_t index) const { return state_->streams.at(index).info; }
bool Channels::streamLive(uint32_t index) const { return state_->streams.live(index); }
uint32_t Channels::streamGeneration(uint32_t index) const {
  return state_->streams.live(index) ? state_->streams.at(index).generation : 0;
}

void Channels::setLife(const LifeId& life) {
  State& s = *state_;
  if (life == s.life) return;
  s.life = life;
  s.hasLife = life != LifeId{};
  s.sealers[0] = Aead();
  s.streams.forgetLife();
  s.reassembler.clear();
}

void Channels::speak(uint8_t version) {
  state_->version = std::clamp(version, kOldestWireVersion, state_->config.newestVersion);
}

void Channels::setSelf(uint64_t self) {
  State& s = *state_;
  s.config.self = s.ownDestination = self;
  for (Aead& sealer : s.sealers) sealer = Aead();
  s.streams.forgetReplies();
}

DropReason Channels::State::checkHeader(const FrameHeader& header, Sender& kind) const {
  if (header.group != config.group) return DropReason::ForeignGroup;
  if (header.destination != ownDestination && !(config.role == Role::Replica && header.destination == kAllReplicas))
    return DropReason::WrongDestination;
  senderOf(header.type, kind);
  switch (config.role) {
    case Role::Client:
      if (kind != Sender::ReplicaToClient) return DropReason::WrongRole;
      break;
    case Role::Operator:
      if (kind != Sender::ReplicaToOperator) return DropReason::WrongRole;
      break;
    case Role::Replica:
      if (kind == Sender::ReplicaToClient || kind == Sender::ReplicaToOperator) return DropReason::WrongRole;
      if (kind == Sender::Replica && header.sender == config.self && !crossesEpochs(header.type)) return DropReason::WrongRole;
      break;
  }
  return isReplica(kind) && header.sender >= kMaxReplicas ? DropReason::WrongRole : DropReason::None;
}

/// Leaves the body in `plain`.
bool Channels::State::openWith(Aead& aead, const FrameHeader& header, Bytes frame) {
  const Bytes body = frame.subspan(kHeaderBytes, frame.size() - kFrameOverhead);
  const uint8_t* tag = frame.data() + frame.size() - kTagBytes;
  if (config.sealed) return aead.open(header.counter, frame.first(kAuthenticatedBytes), body, plain.get(), tag);
  constexpr uint8_t zero[kTagBytes] = {};
  if (std::memcmp(tag, zero, kTagBytes) != 0) return false;
  if (!body.empty()) std::memcpy(plain.get(), body.data(), body.size());
  return true;
}

DropReason Channels::State::authenticate(const FrameHeader& header, Sender kind, Bytes frame, uint32_t& stream) {
  const bool outside = isOutsideLife(header.type);
  // Others begin a life a moment before this one hears of it: what they send then is early, and nothing can tell whether it is authentic.
  if (!outside && !hasLife) return DropReason::Status;
  const Salt* receiver = config.role == Role::Replica ? nullptr : &salt;
  const uint64_t peer = config.role == Role::Client ? config.self : header.sender;
  uint32_t found = streams.find(header.salt, header.sender, kind);
  // Nothing is kept for a salt before a tag has proved it: until then its key lives in the scratch context.
  Aead& aead = found == kNoStream ? scratch : streams.at(found).receive[outside];
  if (config.sealed && (found == kNoStream || !aead.ready()) &&
      !streamKey(aead, Aead::Use::OpenOnly, kind, outside, peer, header.sender, header.salt, receiver))
    return DropReason::BadTag;
  if (!openWith(aead, header, frame)) return DropReason::BadTag;
  if (found == kNoStream) {
    found = streams.create(header.salt, header.sender, kind, [this](uint32_t evicted) { reassembler.dropStream(evicted); });
    streams.at(found).receive[outside] = std::move(scratch);
  }
  Stream& s = streams.at(found);
  if (!s.window.accept(header.counter)) return DropReason::Replayed;
  stream = found;
  s.info.version = header.version;
  streams.touch(found, !outside);
  return DropReason::None;
}

void Channels::open(Bytes datagram, const fabric::Address& from, Opened& out) {
  State& s = *state_;
  out.complete = false;
  out.stream = kNoStream;
  out.body = {};
  FrameHeader header;
  out.dropped = parseHeader(datagram, header, s.config.newestVersion);
  if (out.dropped != DropReason::None) {
    out.frameBytes = 0;
    return;
  }
  out.frameBytes = header.length;
  out.type = static_cast<MessageType>(header.type & ~kFragmentBit);
  out.sender = header.sender;
  Sender kind{};
  out.dropped = s.checkHeader(header, kind);
  if (out.dropped != DropReason::None) return;

  const Bytes frame = datagram.first(header.length);
  if (isReject(header.type)) {
    constexpr uint8_t zero[kTagBytes] = {};
    if (std::memcmp(frame.data() + frame.size() - kTagBytes, zero, kTagBytes) != 0) {
      out.dropped = DropReason::BadTag;
      return;
    }
    out.complete = true;
    const size_t length = frame.size() - kFrameOverhead;
    if (length) std::memcpy(s.plain.get(), frame.data() + kHeaderBytes, length);
    out.body = {s.plain.get(), length};
    return;
  }

  out.dropped = s.authenticate(header, kind, frame, out.stream);
  if (out.dropped != DropReason::None) return;
  Stream& stream = s.streams.at(out.stream);
  // A frame held back and sent on by somebody else must not turn our answers to a former address.
  // What is for all replicas doesn't tell where its sender is: under the serialized design it comes from the relay.
  const bool direct = header.destination != kAllReplicas || stream.info.address.family == 0;
  if (direct && stream.window.newest() == header.counter) stream.info.address = from;

  out.body = {s.plain.get(), header.length - kFrameOverhead};
  if (!(header.type & kFragmentBit)) {
    out.complete = true;
    return;
  }
  const auto sender = kind == Sender::Client ? Reassembler::Class::Client : Reassembler::Class::Replica;
  Bytes message;
  out.dropped = s.reassembler.add(out.stream, sender, kind == Sender::Replica, static_cast<uint8_t>(out.type), out.body,
                                  out.complete, message);
  out.body = message;
}

size_t Channels::seal(uint8_t* frame, size_t bodyLength, MessageType type, Target target) {
  return sealTyped(frame, bodyLength, static_cast<uint8_t>(type), target);
}

size_t Channels::sealFragment(uint8_t* frame, size_t bodyLength, MessageType type, Target target) {
  return sealTyped(frame, bodyLength, static_cast<uint8_t>(type) | kFragmentBit, target);
}

size_t Channels::sealTyped(uint8_t* frame, size_t bodyLength, uint8_t type, Target target) {
  State& s = *state_;
  Sender kind;
  if (bodyLength > maxBody() || !senderOf(type, kind)) return 0;
  const bool outside = isOutsideLife(type);
  if (!outside && !s.hasLife) return 0;

  const auto length = static_cast<uint16_t>(bodyLength + kFrameOverhead);
  FrameHeader header{outside ? kOldestWireVersion : s.version, type, length, 0, s.config.group, 0, s.config.self, s.salt, 0};
  Aead* aead;
  if (target.kind == Target::Stream) {
    if (s.config.role != Role::Replica || !s.streams.live(target.stream)) return 0;
    Stream& stream = s.streams.at(target.stream);
    if (kind != (stream.info.kind == Sender::Client ? Sender::ReplicaToClient : Sender::ReplicaToOperator) ||
        isReplica(stream.info.kind))
      return 0;
    if (isReject(type)) return sealReject(frame, bodyLength, s.config.group, stream.info.salt);
    aead = &stream.reply[outside];
    if (s.config.sealed && !aead->ready() &&
        !s.streamKey(*aead, Aead::Use::SealOnly, kind, outside, stream.info.sender, s.config.self, s.salt,
                     &stream.info.salt))
      return 0;
    header.destination = load<uint64_t>(stream.info.salt.data());
    header.counter = ++stream.answers;
    header.version = stream.info.version;
  } else {
    if (kind != s.ownKind()) return 0;
    aead = &s.sealers[outside];
    if (s.config.sealed && !aead->ready() &&
        !s.streamKey(*aead, Aead::Use::SealOnly, kind, outside, s.config.self, s.config.self, s.salt, nullptr))
      return 0;
    header.destination = target.kind == Target::AllReplicas ? kAllReplicas : target.replica;
    header.counter = ++s.counter;
  }
  writeHeader(frame, header);
  uint8_t* body = frame + kHeaderBytes;
  uint8_t* tag = body + bodyLength;
  if (!s.config.sealed) {
    std::memset(tag, 0, kTagBytes);
  } else if (!aead->seal(header.counter, {frame, kAuthenticatedBytes}, {body, bodyLength}, body, tag)) {
    return 0;
  }
  return header.length;
}

size_t Channels::sealReject(uint8_t* frame, size_t bodyLength, uint64_t claimedGroup, const Salt& claimed) {
  State& s = *state_;
  if (s.config.role != Role::Replica || bodyLength > maxBody()) return 0;
  const auto length = static_cast<uint16_t>(bodyLength + kFrameOverhead);
  writeHeader(frame, {kOldestWireVersion, static_cast<uint8_t>(MessageType::Reject), length, 0, claimedGroup,
                      load<uint64_t>(claimed.data()), s.config.self, s.salt, 0});
  std::memset(frame + kHeaderBytes + bodyLength, 0, kTagBytes);
  return length;
}

}  // namespace squall::wire
