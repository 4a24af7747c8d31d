// Greeting, registration, sending and retransmission; matching is in client_match.cc.
#include "client/client.h"

#include <algorithm>

#include "protocol/guards.h"

namespace squall::client {

using wire::Opened;
using wire::ResultStatus;

namespace {
constexpr uint64_t kGreetEveryUs = 20'000;
constexpr uint64_t kSilenceUs = 500'000;        // no word from anybody for so long: ask again who is there, and in which life and epoch
constexpr uint8_t kDirectAttempt = 2;           // from this try on requests also go to every replica by unicast
constexpr uint8_t kMaxAttempt = 200;

wire::ChannelConfig channelConfig(const ClientConfig& c) {
  wire::ChannelConfig out{};
  out.role = wire::Role::Client;
  out.group = c.group;
  out.self = c.clientId;
  out.secret = c.key;
  out.sealed = c.sealed;
  out.maxFrameBytes = c.datagramBytes;
  out.limits.maxMessageBytes = c.maxOperationBytes + 4096;
  return out;
}
}  // namespace

Client::Client(std::shared_ptr<fabric::Fabric> fabric, ClientConfig config, ClientRegion region, ClientUpcalls& upcalls)
    : fabric_(std::move(fabric)), config_(std::move(config)), region_(region), upcalls_(upcalls),
      channels_(channelConfig(config_), wire::freshSalt(*fabric_)),
      halfWindow_(std::max(16u, (config_.window + 1) / 2)),
      matchView_(protocol::guarded(config_.guardsOff, protocol::kGuardMatchView)),
      matchHash_(protocol::guarded(config_.guardsOff, protocol::kGuardMatchHash)), slots_(config_.window), reads_(region_.readCapacity) {
  setReplicas(std::move(config_.replicas));
  session_ = wire::load<uint64_t>(channels_.salt().data());
  fabric_->entropy(nonce_, sizeof nonce_);
  batch_.reserve(config_.window);
  readBatch_.reserve(reads_.size());
  readReplica_ = static_cast<uint8_t>(session_ % n_);
  region_.status[kSessionLo] = static_cast<uint32_t>(session_);
  region_.status[kSessionHi] = static_cast<uint32_t>(session_ >> 32);
}

Client::~Client() { close(); }

int Client::open() {
  fabric::EndpointOptions options;
  options.bind = config_.bind;
  options.interfaceAddress = config_.multicastInterface;
  options.sharedLoad = config_.window;
  return fabric_->attach(options, this, endpoint_);
}

void Client::close() {
  if (closed_) return;
  closed_ = true;
  state_ = ClientState::Closed;
  region_.status[kState] = static_cast<double>(static_cast<uint32_t>(state_));
  if (endpoint_ != fabric::kNoEndpoint) fabric_->detach(endpoint_, this);
}

void Client::start() {
  lastHeardUs_ = nowUs();
  greet();
  fabric_->flush();
}

void Client::setState(ClientState state) {
  if (state_ == state || closed_) return;
  state_ = state;
  region_.status[kState] = static_cast<double>(static_cast<uint32_t>(state));
  announce_ = true;
}

void Client::greet() {
  greetings_++;
  auto hello = [&](wire::Target target, const fabric::Address& to) {
    channels_.sealMessage(MessageType::Hello, target, {nonce_, sizeof nonce_}, 0,
                          [&](size_t length) { return fabric_->reserve(endpoint_, length); },
                          [&](size_t length) { fabric_->commit(endpoint_, length, &to, 1); });
  };
  // In another epoch this address may have another index.
  for (uint32_t i = 0; i < n_; i++) hello(greetings_ % 2 ? wire::Target::one(i) : wire::Target::all(), config_.replicas[i]);
  for (const fabric::Address& address : named_) hello(wire::Target::all(), address);
  arm(nowUs() + kGreetEveryUs * std::min<uint32_t>(greetings_, 10));
}

void Client::onWelcome(const Opened& frame, const fabric::Address& from) {
  if (frame.body.size() < wire::kWelcomeBytes || std::memcmp(frame.body.data(), nonce_, sizeof nonce_) != 0 || frame.sender >= n_) return;
  region_.status[kWelcomes] += 1;
  view_ = std::max(view_, wire::load<uint64_t>(frame.body.data() + 32));
  lastHeardUs_ = nowUs();
  LifeId life;
  std::memcpy(life.data(), frame.body.data() + 16, life.size());
  if (life == LifeId{}) { region_.status[kBlank] += 1; return; }
  // Who is in a later epoch, be it of another life, says so in MEMBERS.
  const uint32_t epoch = wire::load<uint32_t>(frame.body.data() + 48);
  if (epoch != epoch_ && (state_ == ClientState::Hello || life == life_ || epoch > epoch_)) return;
  if (std::find(named_.begin(), named_.end(), from) != named_.end()) config_.replicas[frame.sender] = from;
  offered_[frame.sender] = life;
  offers_ |= 1u << frame.sender;
  uint32_t equal = 0;
  for (uint32_t i = 0; i < n_; i++) equal += (offers_ >> i & 1) && offered_[i] == life;
  if (equal < majority(n_)) return;
  if (state_ == ClientState::Hello) {
    life_ = life;
    channels_.setLife(wire::epochLife(life, epoch_));
    setState(ClientState::Registering);
    registerSession();
  } else if (life != life_) {
    setState(ClientState::LifeChanged);
  }
}

void Client::setReplicas(std::vector<fabric::Address> replicas) {
  config_.replicas = std::move(replicas);
  n_ = static_cast<uint32_t>(config_.replicas.size());
  quorum_ = protocol::guarded(config_.guardsOff, protocol::kGuardSuperQuorum) ? superquorum(n_) : majority(n_);
  readQuorum_ = protocol::guarded(config_.guardsOff, protocol::kGuardReadQuorum) ? superquorum(n_) : majority(n_);
}

/// The names of replicas have these addresses now. Who is greeted there and answers has moved, or tells of a later epoch; the addresses
/// that are known stay until then, for they may be those of a later epoch than the names are from.
void Client::setAddresses(std::vector<fabric::Address> replicas, const fabric::Address& target) {
  named_ = std::move(replicas);
  if (named_.size() > kMaxReplicas) named_.resize(kMaxReplicas);
  if (target.family && config_.target.family) config_.target = target;
  if (closed_ || state_ > ClientState::Ready) return;
  greet();
  fabric_->flush();
}

/// A member tells of a later epoch: what is under way is sent again, byte for byte, to its replicas. After a disaster that is another life;
/// the session table that it began with decides what is executed.
void Client::onMembers(const Opened& frame) {
  wire::Members members;
  if (!wire::parseMembers(frame.body, members)) {
    region_.status[kClientDropBase + static_cast<uint32_t>(DropReason::BadBody)] += 1;
    return;
  }
  if (state_ > ClientState::Ready || members.epoch <= epoch_) return;
  life_ = members.life;
  epoch_ = members.epoch;
  region_.status[kEpoch] = epoch_;
  setReplicas(std::move(members.replicas));
  channels_.setLife(wire::epochLife(life_, epoch_));
  offers_ = 0;
  readReplica_ %= n_;
  const uint64_t now = nowUs();
  lastHeardUs_ = now;
  // Replies of two epochs never match; what was accepted stays accepted, for its entry is in both.
  auto again = [&](Request& r) {
    if (!r.active) return;
    if (!r.accepted) r.hasResult = false;
    r.voters = 0;
    r.refusals = 0;
    r.attempt = 0;
    r.dueUs = now;
  };
  again(registration_);
  for (Request& r : slots_) again(r);
  for (Read& r : reads_) {
    if (!r.active) continue;
    r.voters = r.full = 0;
    r.attempt = 0;
    r.replica = readReplica_;
    r.dueUs = now;
  }
  if (state_ == ClientState::Hello) {
    setState(ClientState::Registering);
    registerSession();
  }
  arm(now + 1);
}

/// Registration is request 0 of the session: ordered in the log like every other, idempotent by the session's random id.
void Client::registerSession() {
  Request& r = registration_;
  r.number = 0;
  r.active = true;
  r.record.resize(wire::kRecordBytes + 24);
  wire::writeRecordHeader(r.record.data(), session_, 0, 0, fabric_->wallClockUs(this), wire::kRegister, 24);
  wire::store<uint64_t>(r.record.data() + wire::kRecordBytes, config_.clientId);
  std::memcpy(r.record.data() + wire::kRecordBytes + 8, nonce_, sizeof nonce_);
  r.firstSentUs = nowUs();
  r.retryUs = r.dueUs = r.firstSentUs + retryUs(0);
  Request* one = &r;
  transmit(&one, 1, 0, 0, false);
  arm(r.dueUs);
}

bool Client::flush(uint32_t count) {
  if (closed_ || count > region_.requestCapacity || state_ != ClientState::Ready) return false;
  const uint64_t now = nowUs(), clock = fabric_->wallClockUs(this);
  const uint64_t retry = retryUs(0);
  batch_.clear();
  for (uint32_t i = 0; i < count; i++) {
    const RequestRow& row = region_.requests[i];
    Request& r = slotOf(next_);
    if (row.slot != next_ % config_.window || r.active || (row.flags & ~uint32_t{wire::kQuery}) || row.length > config_.maxOperationBytes ||
        uint64_t{row.offset} + row.length > region_.arenaBytes) return false;
    r.number = next_++;
    r.record.resize(wire::kRecordBytes + row.length);
    wire::writeRecordHeader(r.record.data(), session_, r.number, low_, clock,
                             static_cast<uint8_t>(row.flags | (config_.ordered ? wire::kOrdered : 0)), row.length);
    if (row.length) std::memcpy(r.record.data() + wire::kRecordBytes, region_.arena + row.offset, row.length);
    r.voters = 0;
    r.active = true;
    r.accepted = r.hasResult = r.complain = false;
    r.refusals = 0;
    r.attempt = 0;
    r.firstSentUs = now;
    r.dueUs = now + retry;
    active_++;
    batch_.push_back(&r);
  }
  region_.status[kRequestsSent] += count;
  if (scramble_ || config_.misbehave != Misbehave::None) transmitScrambled(batch_.data(), batch_.size());
  else transmit(batch_.data(), batch_.size(), 0, 0, false);
  fabric_->flushSoon();
  if (armedUs_ == ~0ull) arm(now + retry);
  return true;
}

/// As many records in a frame as fit, one seal a frame, one send for all replicas.
void Client::transmit(Request* const* requests, size_t count, uint8_t flags, uint8_t attempt, bool direct) {
  const fabric::Address* to = config_.replicas.data();
  size_t addresses = n_;
  if (config_.toLeader && attempt == 0) { to += view_ % n_; addresses = 1; }
  else if (config_.target.family && !direct) { to = &config_.target; addresses = 1; }
  const size_t room = channels_.maxBody();
  for (size_t i = 0; i < count;) {
    size_t bytes = wire::kRequestBodyBytes;
    size_t end = i;
    while (end < count && end - i < 0xffff && bytes + requests[end]->record.size() <= room) bytes += requests[end++]->record.size();
    if (end == i) {   // larger than a frame: alone, in fragments that keep their key over all tries
      std::vector<uint8_t> body(wire::kRequestBodyBytes + requests[i]->record.size());
      body[0] = flags;
      body[1] = attempt;
      wire::store<uint16_t>(body.data() + 2, 1);
      std::memcpy(body.data() + wire::kRequestBodyBytes, requests[i]->record.data(), requests[i]->record.size());
      emit(body.data(), body.size(), requests[i]->number + 1, to, addresses);
      i++;
      continue;
    }
    uint8_t* frame = fabric_->reserve(endpoint_, bytes + wire::kFrameOverhead);
    uint8_t* p = frame + wire::kHeaderBytes;
    wire::store<uint64_t>(p, 0);
    p[0] = flags;
    p[1] = attempt;
    wire::store<uint16_t>(p + 2, static_cast<uint16_t>(end - i));
    p += wire::kRequestBodyBytes;
    for (; i < end; i++) {
      std::memcpy(p, requests[i]->record.data(), requests[i]->record.size());
      p += requests[i]->record.size();
    }
    const size_t length = channels_.seal(frame, bytes, MessageType::Request, wire::Target::all());
    if (length) fabric_->commit(endpoint_, length, to, addresses);
    region_.status[kClientFramesSent] += 1;
  }
}

void Client::emit(const uint8_t* body, size_t length, uint64_t key, const fabric::Address* to, size_t count) {
  if (!count) return;
  channels_.sealMessage(MessageType::Request, wire::Target::all(), {body, length}, key,
                        [&](size_t bytes) { return fabric_->reserve(endpoint_, bytes); },
                        [&](size_t bytes) { fabric_->commit(endpoint_, bytes, to, count); region_.status[kClientFramesSent] += 1; });
}

/// Every replica gets the requests in another order, each in a frame of its own: what a network without ordering would do.
void Client::transmitScrambled(Request* const* requests, size_t count) {
  std::vector<uint8_t> body;
  for (uint32_t replica = 0; replica < n_; replica++) {
    for (size_t k = 0; k < count; k++) {
      const Request& r = *requests[(k * (replica % 2 ? count - 1 : 1) + replica) % count];
      body.assign(wire::kRequestBodyBytes, 0);
      body[2] = 1;
      body.insert(body.end(), r.record.begin(), r.record.end());
      if (config_.misbehave == Misbehave::Equivocate && r.record.size() > wire::kRecordBytes) body.back() ^= static_cast<uint8_t>(replica);
      emit(body.data(), body.size(), r.number * 16 + replica + 1, &config_.replicas[replica], 1);
      if (config_.misbehave == Misbehave::Reuse && r.record.size() > wire::kRecordBytes) {
        body.back() ^= 1;
        emit(body.data(), body.size(), r.number * 16 + replica + 1, &config_.replicas[replica], 1);
      }
    }
  }
}

uint64_t Client::retryUs(uint8_t attempt) const {
  const uint64_t least = uint64_t{config_.minRetryMs} * 1000, most = uint64_t{config_.maxRetryMs} * 1000;
  const uint64_t estimate = srttUs_ > 0 ? static_cast<uint64_t>(srttUs_ + 4 * rttvarUs_) : 4 * least;
  return std::min(most, std::max(least, estimate) << std::min<uint8_t>(attempt, 10));
}

void Client::observeRtt(uint64_t us) {
  const double sample = static_cast<double>(us);
  if (srttUs_ == 0) { srttUs_ = sample; rttvarUs_ = sample / 2; }
  else {
    const double error = sample > srttUs_ ? sample - srttUs_ : srttUs_ - sample;
    rttvarUs_ += (error - rttvarUs_) / 4;
    srttUs_ += (sample - srttUs_) / 8;
  }
}

/// One timer for the whole session: armed for the earliest thing known, not moved for every request.
void Client::arm(uint64_t atUs) {
  if (atUs >= armedUs_) return;
  armedUs_ = atUs;
  fabric_->setTimer(this, atUs);
}

void Client::again(Request& r, bool complain, uint64_t inUs) {
  r.complain |= complain;
  r.dueUs = std::min(r.dueUs, nowUs() + inUs);
  arm(r.dueUs);
}

void Client::onTimer() {
  if (closed_) return;
  armedUs_ = ~0ull;
  const uint64_t now = nowUs();
  if (state_ == ClientState::Hello) { greet(); fabric_->flush(); return; }
  if (registration_.active) {
    Request& r = registration_;
    if (r.dueUs <= now) {
      if (r.attempt < kMaxAttempt) r.attempt++;
      r.dueUs = now + retryUs(r.attempt);
      region_.status[kRetransmissions] += 1;
      Request* one = &r;
      transmit(&one, 1, r.attempt > 1 ? wire::kComplaint : 0, r.attempt, r.attempt >= kDirectAttempt);
    }
    arm(r.dueUs);
  }
  if (active_) {
    batch_.clear();
    uint64_t earliest = ~0ull;
    uint8_t flags = 0, attempt = 0;
    // In an ordered session what follows a lost request did not execute, and what precedes a resent one must come with it.
    bool all = false;
    if (config_.ordered) for (const Request& r : slots_) all |= r.active && r.dueUs <= now;
    for (uint64_t number = low_; number < next_; number++) {
      Request& r = slotOf(number);
      if (!r.active || r.number != number) continue;
      if (r.dueUs <= now) {
        if (r.attempt < kMaxAttempt) r.attempt++;
        r.dueUs = now + retryUs(r.attempt);
        if (r.attempt >= 2) r.complain = true;      // one lost datagram is no reason to complain
        batch_.push_back(&r);
      } else if (all) {
        batch_.push_back(&r);
      }
      if (r.complain) flags |= wire::kComplaint;
      if (r.accepted) flags |= wire::kWantResult;
      attempt = std::max(attempt, r.attempt);
      earliest = std::min(earliest, r.dueUs);
    }
    if (!batch_.empty()) {
      if (flags & wire::kComplaint) region_.status[kComplaints] += 1;
      region_.status[kRetransmissions] += static_cast<double>(batch_.size());
      transmit(batch_.data(), batch_.size(), flags, attempt, attempt >= kDirectAttempt);
      for (Request* r : batch_) r->complain = false;
    }
    if (earliest != ~0ull) arm(std::max(earliest, now + 500));
  }
  if (activeReads_) {
    const uint64_t earliest = retryReads(now);
    if (closed_) return;
    if (earliest != ~0ull) arm(std::max(earliest, now + 500));
  }
  if (active_ || activeReads_) {
    if (now - lastHeardUs_ > kSilenceUs) { lastHeardUs_ = now; greet(); }
  }
  fabric_->flush();
  if (completed_ || announce_) deliver();
}

}  // namespace squall::client
