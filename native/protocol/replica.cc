// Frames in: requests, greetings, control; and the end of a batch, where upcalls and replies happen once for all of it.
#include "protocol/replica.h"

#include <algorithm>

#include "protocol/guards.h"

namespace squall::protocol {

using wire::Opened;
using wire::Record;
using wire::ResultStatus;

namespace {
constexpr size_t kBufferedRecords = 65'536;      // requests kept while a reconciliation runs ...
constexpr size_t kBufferedBytes = 64u << 20;     // ... and their bytes
constexpr size_t kControlQueue = 4096;           // control frames of one batch
constexpr size_t kComplaintsPerBatch = 64;
constexpr uint32_t kRejectsPerSecond = 20;
constexpr uint64_t kTickCommits = 1024;          // commits of a LEADER view of which the control plane hears at once

wire::ChannelConfig channelConfig(const ReplicaConfig& c) {
  wire::ChannelConfig out{};
  out.role = wire::Role::Replica;
  out.group = c.group;
  out.self = c.replica;
  out.secret = c.secret;
  out.sealed = c.sealed;
  out.maxFrameBytes = c.datagramBytes;
  out.newestVersion = c.newestVersion;
  out.limits.maxMessageBytes = c.maxOperationBytes + 4096;
  return out;
}
}  // namespace

Replica::Replica(std::shared_ptr<fabric::Fabric> fabric, ReplicaConfig config, ReplicaRegion region, ReplicaUpcalls& upcalls)
    : fabric_(std::move(fabric)), config_(std::move(config)), region_(region), upcalls_(upcalls),
      log_(config_.logEntries, config_.logBytes, guarded(config_.guardsOff, kGuardHashOperation), config_.checkpointEvery),
      sessions_(config_.maxSessions, config_.window, guarded(config_.guardsOff, kGuardSessionDedupe),
                static_cast<uint32_t>(std::min<uint64_t>(log::Sessions::kRetainedBytes, config_.logBytes / 4))),
      channels_(channelConfig(config_), wire::freshSalt(*fabric_)), tracing_(fabric_->tracing()),
      persists_(config_.durability != Durability::Memory), waits_(config_.durability == Durability::Sync) {
  uint64_t random;
  fabric_->entropy(reinterpret_cast<uint8_t*>(&random), sizeof random);
  messageKey_ = random;
  publish();
}

Replica::~Replica() { close(); }

int Replica::start() {
  fabric::EndpointOptions own;
  own.bind = config_.replicas[config_.replica];
  if (int error = fabric_->attach(own, this, unicast_)) return error;
  return joinGroup();
}

int Replica::joinGroup() {
  if (!config_.multicastGroup.family || multicast_ != fabric::kNoEndpoint) return 0;
  fabric::EndpointOptions group;
  group.bind = config_.multicastGroup;
  group.multicast = true;
  group.interfaceAddress = config_.multicastInterface;
  return fabric_->attach(group, this, multicast_);
}

void Replica::hearRequests(bool wanted) {
  if (closed_ || (!wanted && status_ != Status::Recovery)) return;
  hears_ = wanted;
  if (wanted) {
    joinGroup();                // if it fails, onTimer() tries again
  } else if (multicast_ != fabric::kNoEndpoint) {
    fabric_->detach(multicast_, this);
    multicast_ = fabric::kNoEndpoint;
  }
}

void Replica::close() {
  if (closed_) return;
  closed_ = true;
  status_ = Status::Closed;
  if (unicast_ != fabric::kNoEndpoint) fabric_->detach(unicast_, this);
  if (multicast_ != fabric::kNoEndpoint) fabric_->detach(multicast_, this);
  publish();
}

bool Replica::guard(uint32_t bit) const { return guarded(config_.guardsOff, bit); }

void Replica::drop(DropReason reason) { region_.status[kDropBase + static_cast<uint32_t>(reason)] += 1; }

void Replica::onDatagram(const fabric::Datagram& datagram) {
  if (closed_) return;
  Bytes rest{datagram.data, datagram.length};
  Opened frame;
  while (!rest.empty()) {
    channels_.open(rest, datagram.from, frame);
    region_.status[kFramesReceived] += 1;
    if (frame.dropped != DropReason::None) {
      drop(frame.dropped);
      reject(rest, frame.dropped, datagram.from);
    } else if (frame.complete) {
      if (frame.type == MessageType::Request) onRequestFrame(frame);
      else if (frame.type == MessageType::Read) onReadFrame(frame);
      else if (frame.type == MessageType::Hello) onHello(frame);
      else if (frame.type == MessageType::Prepare || frame.type == MessageType::PrepareOk || frame.type == MessageType::Forward) onLeaderFrame(frame);
      else if (frame.type == MessageType::FastPrepare || frame.type == MessageType::FastVote) onFastFrame(frame);
      else handUp(frame, frame.body.size());
    }
    if (!frame.frameBytes || frame.frameBytes >= rest.size()) break;
    rest = rest.subspan(frame.frameBytes);
  }
}

/// The first `bytes` of a body go to the control plane at the end of this batch.
void Replica::handUp(const Opened& frame, size_t bytes) {
  if (control_.size() >= kControlQueue) return drop(DropReason::BufferFull);
  control_.push_back({frame.type, frame.sender, frame.stream, {frame.body.begin(), frame.body.begin() + static_cast<ptrdiff_t>(bytes)}});
}

void Replica::onRequestFrame(const Opened& frame) {
  if (!hasLife_ || status_ == Status::Recovery) return drop(DropReason::Status);
  const wire::StreamInfo& stream = channels_.stream(frame.stream);
  Bytes rest = frame.body;
  if (rest.size() < wire::kRequestBodyBytes) return drop(DropReason::BadBody);
  const uint8_t flags = rest[0], attempt = rest[1];
  const uint16_t count = wire::load<uint16_t>(rest.data() + 2);
  rest = rest.subspan(wire::kRequestBodyBytes);
  readClock();
  // A session belongs to the stream that carries its id in the salt: nobody else can ask in its name.
  const uint64_t owner = wire::load<uint64_t>(stream.salt.data());
  bool complained = false;
  for (uint16_t i = 0; i < count; i++) {
    Record record;
    if (!wire::parseRecord(rest, config_.maxOperationBytes, record)) return drop(DropReason::BadBody);
    rest = rest.subspan(record.all.size());
    if (record.session != owner || record.session == 0 || record.flags & wire::kReconfigure) { drop(DropReason::WrongRole); continue; }
    if ((record.flags & wire::kRegister) &&
        (record.operation.size() != 24 || wire::load<uint64_t>(record.operation.data()) != stream.sender)) {
      drop(DropReason::BadBody);
      continue;
    }
    if (accepts()) {
      onRecord(record, frame.stream, flags, attempt);
    } else if (status_ == Status::Reconciliation || closing_) {
      if (buffered_.size() >= kBufferedRecords || bufferedBytes_ + record.all.size() > kBufferedBytes) { drop(DropReason::BufferFull); continue; }
      bufferedBytes_ += record.all.size();
      buffered_.push_back({frame.stream, channels_.streamGeneration(frame.stream), stream.sender, owner, {record.all.begin(), record.all.end()}});
    } else {
      drop(DropReason::Status);
    }
    if ((flags & wire::kComplaint) && !complained && complaints_.size() < kComplaintsPerBatch) {
      const uint32_t session = sessions_.find(record.session);
      const log::Slot* slot = session == log::kNoSession ? nullptr : sessions_.executed(session, record.request);
      const uint64_t seqno = slot ? slot->seqno : 0;
      if (!seqno || seqno > committed_) { complaints_.push_back({record.session, seqno}); complained = true; }
    }
  }
}

void Replica::readClock() {
  if (!clockLimitUs_) clockLimitUs_ = fabric_->wallClockUs(this) + uint64_t{config_.maxClockSkewMs} * 1000;
}

/// Answers a request that the session table knows; appends a fresh one. Handlers check in this order: session, duplicate, window, clock, room.
/// `stream` is where the client listens; kNoStream for a request that a backup forwarded.
bool Replica::onRecord(const Record& record, uint32_t stream, uint8_t flags, uint8_t attempt) {
  const uint32_t index = sessions_.find(record.session);
  const bool registers = record.flags & wire::kRegister;
  auto refuse = [&](DropReason reason, ResultStatus status) {
    drop(reason);
    if (stream != wire::kNoStream) addReplyToStream(stream, {record.request, 0, nullptr, 0, status, {}});
    return false;
  };
  if (index != log::kNoSession) {
    log::Session& session = sessions_[index];
    if (stream != wire::kNoStream) {
      session.stream = stream;
      session.streamGeneration = channels_.streamGeneration(stream);
    }
    if (registers) {
      region_.status[kDuplicates] += 1;
      replyToRegistration(index);
      return false;
    }
    if (const log::Slot* slot = sessions_.executed(index, record.request)) {
      region_.status[kDuplicates] += 1;
      // The leader of a FAST view may never have had it.
      if (inFastView() && !leads_ && slot->seqno > committed_ && ((flags & wire::kComplaint) || attempt >= 2)) forward(record);
      replyToSlot(index, *slot, (flags & wire::kWantResult) != 0, attempt);
      return false;
    }
    const uint64_t low = std::max(session.lowMark, record.lowMark);
    if (record.request < low) return refuse(DropReason::Window, ResultStatus::Stale);
    if (record.request >= low + config_.window || record.request == 0) { drop(DropReason::Window); return false; }
  } else if (!registers) {
    return refuse(DropReason::UnknownSession, ResultStatus::UnknownSession);
  } else if (!sessions_.acceptsRegistration()) {
    drop(DropReason::BufferFull);
    return false;
  }
  if (mode_ == Mode::Leader && !leads_) { onBackupRequest(record, flags, attempt); return false; }
  if (record.clockUs > clockLimitUs_) { drop(DropReason::ClockSkew); return false; }
  if (!log_.hasRoom(record.all.size())) {
    region_.status[kRefused] += 1;
    // The next checkpoint makes room: the client's next try finds it.
    if (config_.checkpointEvery) { drop(DropReason::BufferFull); return false; }
    return refuse(DropReason::BufferFull, ResultStatus::LogFull);
  }
  appendRecord(record);
  if (registers && stream != wire::kNoStream) {
    const uint32_t fresh = sessions_.find(record.session);
    if (fresh != log::kNoSession) {
      sessions_[fresh].stream = stream;
      sessions_[fresh].streamGeneration = channels_.streamGeneration(stream);
    }
  }
  region_.status[kAppended] += 1;
  progressed_ = true;
  if (!config_.packing && inFastView() && !leads_) sendFastVote();
  return true;
}

void Replica::appendRecord(const Record& record, const uint8_t* hash) {
  const bool refuse = log_.beyondSoftLimit();
  log_.append(record.all, record.clockUs, view_, hash);
  sessions_.apply(log_, log_.end(), record, refuse);
}

bool Replica::accepts() const { return (status_ == Status::Normal && !closing_) || !guard(kGuardFreezeLog); }

void Replica::onHello(const Opened& frame) {
  if (frame.body.size() < wire::kHelloBytes) return drop(DropReason::BadBody);
  uint8_t body[wire::kWelcomeBytes] = {};
  std::memcpy(body, frame.body.data(), wire::kHelloBytes);
  if (hasLife_) std::memcpy(body + 16, life_.data(), 16);
  wire::store<uint64_t>(body + 32, view_);
  body[40] = static_cast<uint8_t>(status_);
  body[41] = static_cast<uint8_t>(config_.n);
  wire::store<uint16_t>(body + 42, static_cast<uint16_t>(config_.window));
  wire::store<uint32_t>(body + 44, config_.maxOperationBytes);
  wire::store<uint32_t>(body + 48, epoch_);
  sendToStream(frame.stream, MessageType::Welcome, body);
  if (hasLife_ && epoch_ > 0) tellMembers(frame.stream);
}

/// Tells a greeting that cannot be authenticated why, in the clear, never larger than what came, and rarely: a hint, not a fact.
void Replica::reject(Bytes datagram, DropReason reason, const fabric::Address& to) {
  if (reason != DropReason::BadTag && reason != DropReason::ForeignGroup && reason != DropReason::BadVersion) return;
  if (datagram.size() < wire::kFrameOverhead || datagram[1] != static_cast<uint8_t>(MessageType::Hello)) return;
  const uint64_t now = nowUs();
  if (now - rejectWindowUs_ > 1'000'000) { rejectWindowUs_ = now; rejects_ = 0; }
  if (rejects_++ >= kRejectsPerSecond) return;
  Salt claimed;
  std::memcpy(claimed.data(), datagram.data() + 32, claimed.size());
  uint8_t* frame = fabric_->reserve(unicast_, wire::kFrameOverhead + wire::kRejectBytes);
  frame[wire::kHeaderBytes] = static_cast<uint8_t>(reason);
  if (const size_t length = channels_.sealReject(frame, wire::kRejectBytes, wire::load<uint64_t>(datagram.data() + 8), claimed)) fabric_->commit(unicast_, length, &to, 1);
}

void Replica::onBatchEnd() {
  if (closed_) return;
  region_.status[kBatches] += 1;
  clockLimitUs_ = 0;
  newerViewSeen_ = false;
  if (persists_) tellAppended();     // the disk works while the machine does
  if (closed_) return;
  if (inLeaderView() || inFastView()) {
    replicate();
    emitReplies();
    fabric_->flush();          // the network works while the machine does
  }
  executePending(true);
  answerReads();
  emitReplies();
  fabric_->flush();            // clients first: what follows is not on their path
  if (closed_) return;
  publish();
  if (!deliverControl() || closed_) return;
  replicate();
  answerReads();
  emitReplies();
  publish();
}

void Replica::tick() {
  tickedCommitted_ = committed_;
  upcalls_.tick(nowUs());
}

/// Whether there was anything for the control plane.
bool Replica::deliverControl() {
  const bool progressed = progressed_ && (log_.end() >= progressAt_ || committed_ >= tickedCommitted_ + kTickCommits);
  progressed_ = false;
  if (!progressed && control_.empty() && complaints_.empty()) return false;
  if (!control_.empty()) {
    // A verb of the control plane may receive nothing new in here: the fabric delivers between calls only.
    std::vector<Control> batch;
    batch.swap(control_);
    const uint32_t epoch = epoch_;
    for (const Control& c : batch) {
      if (closed_) return true;
      if (epoch_ != epoch) break;      // who sent the rest has another index now
      Opened frame;
      frame.type = c.type;
      frame.sender = c.sender;
      frame.stream = c.stream;
      frame.body = c.body;
      upcalls_.control(frame);
    }
    batch.clear();
    if (control_.empty()) control_.swap(batch);
  }
  if (!complaints_.empty()) {
    std::vector<Complaint> batch;
    batch.swap(complaints_);
    for (const Complaint& c : batch) {
      if (closed_) return true;
      region_.status[kComplaints] += 1;
      upcalls_.complaint(c.session, c.seqno);
    }
  }
  if (progressed && !closed_) tick();
  return true;
}

void Replica::onTimer() {
  if (closed_) return;
  if (hears_) joinGroup();
  tick();
  if (closed_) return;
  replicate();
  answerReads();
  emitReplies();
  publish();
  fabric_->flush();
}

void Replica::send(int32_t replica, MessageType type, Bytes body) {
  sendMessage(maskOf(replica), type, body);
}

/// To the replicas of a bit mask, except this one: sealed once for all of them.
void Replica::sendMessage(uint32_t replicas, MessageType type, Bytes body) {
  if (closed_) return;
  const uint64_t key = ++messageKey_;
  fabric::Address to[kMaxReplicas];
  size_t count = 0;
  uint32_t only = 0;
  for (uint32_t i = 0; i < config_.n; i++) {
    if (i == config_.replica || !(replicas >> i & 1)) continue;
    to[count++] = config_.replicas[i];
    only = i;
  }
  if (!count) return;
  const wire::Target target = replicas == 1u << only ? wire::Target::one(only) : wire::Target::all();
  channels_.sealMessage(type, target, body, key, [&](size_t length) { return fabric_->reserve(unicast_, length); },
                        [&](size_t length) { fabric_->commit(unicast_, length, to, count); region_.status[kFramesSent] += 1; });
}

void Replica::sendToStream(uint32_t stream, MessageType type, Bytes body) {
  if (closed_ || !channels_.streamLive(stream)) return;
  const fabric::Address to = channels_.stream(stream).address;
  channels_.sealMessage(type, wire::Target::back(stream), body, ++messageKey_, [&](size_t length) { return fabric_->reserve(unicast_, length); },
                        [&](size_t length) { fabric_->commit(unicast_, length, &to, 1); region_.status[kFramesSent] += 1; });
}

void Replica::flush() {
  if (closed_) return;
  if (!buffered_.empty() && status_ == Status::Normal && !closing_) { takeBuffered(); executePending(true); }
  replicate();
  answerReads();
  emitReplies();
  publish();
  fabric_->flush();
}

void Replica::publish() {
  if (!closing_) log_.demandCheckpoint(std::min(committed_, executed_));
  double* s = region_.status;
  s[kView] = static_cast<double>(view_);
  s[kLastNormalView] = static_cast<double>(lastNormalView_);
  s[kStatus] = static_cast<double>(static_cast<uint8_t>(status_));
  s[kMode] = static_cast<double>(static_cast<uint8_t>(mode_));
  s[kLogEnd] = static_cast<double>(log_.end());
  s[kExecuted] = static_cast<double>(executed_);
  s[kCommitted] = static_cast<double>(committed_);
  s[kLogBytes] = static_cast<double>(log_.byteCount());
  s[kSessions] = sessions_.live();
  s[kHalted] = halted_ ? 1 : 0;
  s[kBuffered] = static_cast<double>(buffered_.size());
  if (waits_) s[kDurable] = static_cast<double>(std::max(std::min(viewDurable_ ? durable_ : committed_, log_.end()), log_.base()));
  s[kLogBase] = static_cast<double>(log_.base());
  s[kAccepted] = static_cast<double>(mode_ == Mode::Fast ? acceptedEnd() : committed_);
  s[kCheckpointDue] = static_cast<double>(log_.checkpointDue());
}

}  // namespace squall::protocol
