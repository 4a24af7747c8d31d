#include "wire/frame.h"

#include <bit>

namespace squall::wire {

static_assert(std::endian::native == std::endian::little, "the codec copies integers as they lie in memory");
static_assert(kHeaderBytes == kAuthenticatedBytes + 16 && kFrameOverhead == kHeaderBytes + kTagBytes);
static_assert(kMaxFrameBytes <= UINT16_MAX);

namespace {

struct TypeInfo {
  bool known = false;
  bool outsideLife = false;
  Sender sender{};
};

constexpr std::array<TypeInfo, 128> makeTypes() {
  std::array<TypeInfo, 128> t{};
  auto set = [&t](MessageType type, Sender sender, bool outsideLife) {
    t[static_cast<uint8_t>(type)] = {true, outsideLife, sender};
  };
  using enum MessageType;
  set(Hello, Sender::Client, true);
  set(Request, Sender::Client, false);
  set(StatusRequest, Sender::Client, true);
  set(Read, Sender::Client, false);
  set(Welcome, Sender::ReplicaToClient, true);
  set(Reply, Sender::ReplicaToClient, false);
  set(ReadReply, Sender::ReplicaToClient, false);
  set(StatusReply, Sender::ReplicaToClient, true);
  set(Members, Sender::ReplicaToClient, true);
  set(Reject, Sender::ReplicaToClient, true);
  for (MessageType type : {Sync, SyncReply, Commit, StartReconciliation, Reconcile, StartView, StartViewRequest, InView,
                           Fetch, FetchReply, Fault, Prepare, PrepareOk, Forward, FastPrepare, FastVote, Heartbeat, FetchSnapshot, SnapshotChunk})
    set(type, Sender::Replica, false);
  for (MessageType type : {Recovering, RecoveryQuery, RecoveryAnswer, NewEpoch, FetchEpochState, EpochState}) set(type, Sender::Replica, true);
  set(BootstrapPrepare, Sender::Operator, true);
  set(BootstrapCommit, Sender::Operator, true);
  set(Blank, Sender::ReplicaToOperator, true);
  set(Bootstrapped, Sender::ReplicaToOperator, true);
  set(Reconfigure, Sender::Operator, true);
  set(NewLife, Sender::Operator, true);
  set(ReconfigureAnswer, Sender::ReplicaToOperator, true);
  return t;
}
constexpr std::array<TypeInfo, 128> kTypes = makeTypes();

const TypeInfo& typeInfo(uint8_t type) { return kTypes[type & ~kFragmentBit & 0x7f]; }

}  // namespace

bool senderOf(uint8_t type, Sender& out) {
  const TypeInfo& info = typeInfo(type);
  // A rejection carries no authentic key to collect fragments under, so it is always one frame.
  if (!info.known || type == (static_cast<uint8_t>(MessageType::Reject) | kFragmentBit)) return false;
  out = info.sender;
  return true;
}

bool crossesEpochs(uint8_t type) {
  const auto whole = static_cast<MessageType>(type & ~kFragmentBit);
  return whole == MessageType::NewEpoch || whole == MessageType::FetchEpochState || whole == MessageType::EpochState;
}

bool isOutsideLife(uint8_t type) { return typeInfo(type).outsideLife; }

DropReason parseHeader(Bytes datagram, FrameHeader& out, uint8_t newestVersion) {
  if (datagram.size() < kFrameOverhead) return DropReason::Truncated;
  const uint8_t* p = datagram.data();
  out.version = p[0];
  out.type = p[1];
  out.length = load<uint16_t>(p + 2);
  if (out.version < kOldestWireVersion || out.version > newestVersion) return DropReason::BadVersion;
  Sender sender;
  if (!senderOf(out.type, sender)) return DropReason::UnknownType;
  if (out.length > kMaxFrameBytes) return DropReason::Oversized;
  if (out.length < kFrameOverhead || out.length > datagram.size()) return DropReason::Truncated;
  out.keyHash = load<uint32_t>(p + 4);
  out.group = load<uint64_t>(p + 8);
  out.destination = load<uint64_t>(p + 16);
  out.sender = load<uint64_t>(p + 24);
  std::memcpy(out.salt.data(), p + 32, out.salt.size());
  out.counter = load<uint64_t>(p + 48);
  return DropReason::None;
}

void writeHeader(uint8_t* frame, const FrameHeader& header) {
  frame[0] = header.version;
  frame[1] = header.type;
  store<uint16_t>(frame + 2, header.length);
  store<uint32_t>(frame + 4, header.keyHash);
  store<uint64_t>(frame + 8, header.group);
  store<uint64_t>(frame + 16, header.destination);
  store<uint64_t>(frame + 24, header.sender);
  std::memcpy(frame + 32, header.salt.data(), header.salt.size());
  store<uint64_t>(frame + 48, header.counter);
  std::memset(frame + kAuthenticatedBytes, 0, kHeaderBytes - kAuthenticatedBytes);
}

}  // namespace squall::wire
