// The match (section 4.2.2): an operation is done when a superquorum answered with the same view, seqno and summary hash, one vote a
// replica, or when one replica says that it is committed.
#include <algorithm>

#include "client/client.h"

namespace squall::client {

using wire::Opened;
using wire::ReplyRecord;
using wire::ResultStatus;

namespace {
bool sameEntry(const uint8_t* a, uint64_t seqnoA, const uint8_t* b, uint64_t seqnoB) {
  return seqnoA == seqnoB && std::memcmp(a, b, kReplyHashBytes) == 0;
}
}  // namespace

void Client::onDatagram(const fabric::Datagram& datagram) {
  if (closed_) return;
  Bytes rest{datagram.data, datagram.length};
  Opened frame;
  while (!rest.empty()) {
    channels_.open(rest, datagram.from, frame);
    region_.status[kClientFramesReceived] += 1;
    if (frame.dropped != DropReason::None) {
      region_.status[kClientDropBase + static_cast<uint32_t>(frame.dropped)] += 1;
    } else if (frame.complete) {
      if (frame.type == MessageType::Reply) onReplies(frame);
      else if (frame.type == MessageType::ReadReply) onReadReplies(frame);
      else if (frame.type == MessageType::Welcome) onWelcome(frame, datagram.from);
      else if (frame.type == MessageType::Members) onMembers(frame);
      else if (frame.type == MessageType::Reject && !frame.body.empty()) {
        const auto reason = static_cast<DropReason>(frame.body[0]);
        if (reason == DropReason::ForeignGroup) region_.status[kRejectWrongGroup] += 1;
        else if (reason == DropReason::BadVersion) region_.status[kRejectVersion] += 1;
        else if (reason == DropReason::BadTag) region_.status[kRejectBadKey] += 1;
      }
    }
    if (!frame.frameBytes || frame.frameBytes >= rest.size()) break;
    rest = rest.subspan(frame.frameBytes);
  }
}

void Client::onReplies(const Opened& frame) {
  Bytes rest = frame.body;
  if (rest.size() < wire::kReplyBodyBytes || frame.sender >= n_) {
    region_.status[kClientDropBase + static_cast<uint32_t>(DropReason::BadBody)] += 1;
    return;
  }
  const uint16_t count = wire::load<uint16_t>(rest.data() + 6);
  const uint64_t view = wire::load<uint64_t>(rest.data() + 8);
  view_ = std::max(view_, view);
  region_.status[kClientView] = static_cast<double>(view_);
  lastHeardUs_ = nowUs();
  rest = rest.subspan(wire::kReplyBodyBytes);
  for (uint16_t i = 0; i < count; i++) {
    ReplyRecord reply;
    const size_t used = wire::parseReplyRecord(rest, reply);
    if (!used) { region_.status[kClientDropBase + static_cast<uint32_t>(DropReason::BadBody)] += 1; return; }
    rest = rest.subspan(used);
    onReply(static_cast<uint32_t>(frame.sender), view, reply);
  }
}

void Client::onReply(uint32_t replica, uint64_t view, const ReplyRecord& reply) {
  Request& r = reply.request == 0 ? registration_ : slotOf(reply.request);
  if (!r.active || r.number != reply.request) return;
  if (reply.seqno == 0) {   // answered from outside the log: a hint, believed when a majority gives it
    if (r.refusal != reply.status) r.refusals = 0;
    r.refusal = reply.status;
    r.refusals |= 1ull << replica;
    // A log without room at one replica says nothing of the others: only all of them together end the operation.
    const uint32_t needed = reply.status == ResultStatus::LogFull ? n_ : majority(n_);
    if (static_cast<uint32_t>(__builtin_popcountll(r.refusals)) >= needed && reply.request != 0) {
      if (reply.status == ResultStatus::UnknownSession) setState(ClientState::Evicted);
      finish(r, reply.status, 0, {});
    }
    return;
  }
  Vote& vote = r.votes[replica];
  const uint32_t bit = 1u << replica;
  if ((r.voters & bit) && vote.view > view) return;       // an older reply, overtaken
  r.voters |= bit;
  vote.view = view;
  vote.seqno = reply.seqno;
  std::memcpy(vote.hash, reply.hash, kReplyHashBytes);
  vote.status = reply.status;
  if (reply.flags & wire::kFullResult) {
    // A result is kept with the vote it belongs to: it is used only if that entry is the one accepted, and executed alike.
    if (!r.accepted || sameOutcome(vote, r.agreed)) {
      r.hasResult = true;
      r.resultOf = vote;
      r.result.assign(reply.result.begin(), reply.result.end());
    }
  }
  if ((reply.flags & wire::kCommitted) && !r.accepted) {
    r.accepted = true;
    r.agreed = vote;
    region_.status[kCommittedReplies] += 1;
  }
  judge(r);
}

/// A replica whose machine failed alone has the entry, and another result than those who agreed on it.
bool Client::sameOutcome(const Vote& a, const Vote& b) {
  return a.status == b.status && sameEntry(a.hash, a.seqno, b.hash, b.seqno);
}

bool Client::agree(const Vote& a, const Vote& b) const {
  return a.seqno == b.seqno && a.status == b.status && (a.view == b.view || !matchView_) &&
         (std::memcmp(a.hash, b.hash, kReplyHashBytes) == 0 || !matchHash_);
}

void Client::judge(Request& r) {
  if (!r.accepted) {
    const uint32_t valid = static_cast<uint32_t>(__builtin_popcount(r.voters));
    uint32_t best = 0;
    for (uint32_t i = 0; i < n_ && best < quorum_; i++) {
      if (!(r.voters >> i & 1)) continue;
      uint32_t equal = 0;
      for (uint32_t k = 0; k < n_; k++) equal += (r.voters >> k & 1) && agree(r.votes[i], r.votes[k]);
      if (equal > best) {
        best = equal;
        if (best >= quorum_) r.agreed = r.votes[i];
      }
      if (best == valid) break;       // all who answered agree
    }
    if (best < quorum_) {
      // Those still silent can't complete a superquorum any more: say so now rather than at the time-out.
      if (best + (n_ - valid) < quorum_ && r.attempt == 0 && !r.complain && r.number) {
        region_.status[kMismatches] += 1;
        again(r, true, 1000);
      }
      return;
    }
    r.accepted = true;
  }
  if (r.hasResult && sameOutcome(r.resultOf, r.agreed)) {
    if (r.agreed.status == ResultStatus::PredecessorMissing) {   // did not execute: sent again, with what precedes it
      r.accepted = r.hasResult = false;
      r.voters = 0;
      region_.status[kResends] += 1;
      again(r, false, 1000);
      return;
    }
    finish(r, r.resultOf.status, r.agreed.seqno, r.result);
  } else {
    again(r, false, std::max<uint64_t>(1000, static_cast<uint64_t>(srttUs_)));   // agreed, but the result is missing: ask for it
  }
}

void Client::finish(Request& r, ResultStatus status, uint64_t seqno, Bytes result) {
  makeRoom(result.size());
  if (closed_) return;
  if (seqno) saw(seqno, r.agreed.hash);
  r.active = false;
  const uint64_t latencyUs = lastHeardUs_ - r.firstSentUs;
  if (r.attempt == 0) observeRtt(latencyUs);
  if (&r == &registration_) {
    if (status == ResultStatus::Ok) setState(ClientState::Ready);
    else setState(ClientState::Evicted);
    return;
  }
  active_--;
  while (low_ < next_ && !slotOf(low_).active) low_++;
  addCompletion(kRequestDone, static_cast<uint32_t>(r.number % config_.window), r.number, status, seqno, latencyUs, result);
}

/// Full: hands over what is there while the slot of the next completion is still busy, since the upcall may send new requests.
/// Half a window is handed over early too: its next requests are on their way while the rest is looked at.
void Client::makeRoom(size_t resultBytes) {
  if (completed_ >= halfWindow_ || completed_ == region_.completionCapacity || resultUsed_ + resultBytes > region_.resultBytes) deliver();
}

void Client::addCompletion(CompletionKind kind, uint32_t slot, uint64_t number, ResultStatus status, uint64_t seqno, uint64_t latencyUs,
                           Bytes result) {
  if (!result.empty()) std::memcpy(region_.results + resultUsed_, result.data(), std::min(result.size(), region_.resultBytes));
  region_.completions[completed_++] = {slot, static_cast<uint32_t>(status),
                                       static_cast<uint32_t>(resultUsed_), static_cast<uint32_t>(result.size()),
                                       static_cast<uint32_t>(seqno), static_cast<uint32_t>(seqno >> 32),
                                       static_cast<uint32_t>(std::min<uint64_t>(latencyUs, ~0u)), kind};
  resultUsed_ += (result.size() + 7) & ~size_t{7};
  if (kind == kRequestDone) region_.status[kCompletions] += 1;
  if (fabric_->tracing()) {
    uint8_t head[24];
    wire::store<uint64_t>(head, number);
    wire::store<uint64_t>(head + 8, seqno);
    wire::store<uint64_t>(head + 16, static_cast<uint64_t>(status));
    fabric_->trace(this, 'd', head);
    fabric_->trace(this, 'd', result);
  }
}

void Client::deliver() {
  if (announce_) {
    announce_ = false;
    region_.status[kRttUs] = srttUs_;
    upcalls_.state(state_);
  }
  while (completed_ && !closed_) {
    const uint32_t count = completed_;
    completed_ = 0;
    resultUsed_ = 0;
    region_.status[kRttUs] = srttUs_;
    region_.status[kRetryUs] = static_cast<double>(retryUs(0));
    upcalls_.complete(count);
  }
}

void Client::onBatchEnd() {
  if (closed_) return;
  if (completed_ || announce_) deliver();
  if (!closed_) fabric_->flushSoon();
}

}  // namespace squall::client
