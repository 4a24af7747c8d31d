// The normal case of a FAST view, which is Fast Paxos (Lamport, Distributed Computing 2006) on a log: clients send to all replicas, each
// votes for its own order of arrival, a fast quorum of equal votes chooses: client, replicas, leader, client. A vote is (view, log end,
// summary hash): the hash is chained, so that it stands for every position below.
//
// The leader of the view is its coordinator and its one learner. A fast round chooses a position where a superquorum, the leader
// included, has the leader's entry. Where votes differ or stay away, the leader takes the classic round of the same ballot that follows:
// FAST-PREPARE carries its own log, backups put it in the place of what they had there and have *accepted* it, and f+1 logs that have,
// the leader's own included, choose. Why the leader's own value may always be taken: nobody but the leader learns within the view, so
// what it has not learned is chosen for nobody, and from its first FAST-PREPARE for a position on it will learn there nothing but its
// own entry, whose fast votes stay valid. A leader's log only grows within the view, and backups drop only entries that differ from it:
// whoever voted for one of its entries has it until the view ends.
//
// The next view must find what was chosen (src/control/merge.ts): by a classic round f+1 logs have it accepted, and accepted prefixes are
// prefixes of one log, the leader's, so the longest among any f+1 logs holds it; by a fast round at most floor(f/2) logs lack it, so
// more than half of any f+1 logs hold it, behind the longest accepted prefix or within.
#include <algorithm>

#include "protocol/guards.h"
#include "protocol/replica.h"

namespace squall::protocol {

using wire::Opened;
using wire::Record;

namespace {
constexpr size_t kFastBodyBytes = 64 * 1024;       // most of one FAST-PREPARE, unless a single record is larger
constexpr uint32_t kFastPrepareEntries = 512;
constexpr uint64_t kPrepareEveryUs = 1000;         // the same entries to one backup
}  // namespace

/// Up to here the log is its leader's for certain: the machine runs no further, except the leader's own.
uint64_t Replica::acceptedEnd() const {
  if (mode_ != Mode::Fast || leads_) return log_.end();
  return std::min(log_.end(), std::max(accepted_, committed_));
}

/// As far as a crash leaves that. What is committed is on the disks of a quorum, whether this one says so or not.
uint64_t Replica::lastingAccepted() const {
  if (!waits_) return acceptedEnd();
  if (leads_ || !viewDurable_) return lastingEnd();
  return std::min(durable_, std::max(durableAccepted_, committed_));
}

void Replica::onFastFrame(const Opened& frame) {
  if (!hasLife_ || status_ == Status::Recovery) return drop(DropReason::Status);
  if (frame.sender >= config_.n) return drop(DropReason::WrongRole);
  if (frame.type == MessageType::FastPrepare) onFastPrepare(frame);
  else onFastVote(frame);
}

// ---- the backups

void Replica::onFastPrepare(const Opened& frame) {
  wire::FastPrepare prepare;
  if (!wire::parseFastPrepare(frame.body, config_.maxOperationBytes, prepare)) return drop(DropReason::BadBody);
  const bool ofThisView = prepare.view == view_ && status_ == Status::Normal;
  if (prepare.view > view_ || (prepare.view == view_ && !ofThisView)) {
    // There is a view, or a START-VIEW of this one, that this replica misses.
    if (!newerViewSeen_) { newerViewSeen_ = true; handUp(frame, sizeof prepare.view); }
    return;
  }
  if (!ofThisView || !inFastView()) return drop(DropReason::Status);
  if (leads_ || frame.sender != prepare.view % config_.n) return drop(DropReason::WrongRole);
  fast_.voteDue = true;
  fast_.told = std::max(fast_.told, prepare.committed);
  const uint64_t before = prepare.first - 1;
  if (before > log_.end() || (before >= log_.base() && std::memcmp(prepare.hash, log_.hashAt(before), kReplyHashBytes) != 0)) {
    fast_.gapDue = true;
  } else {
    accepted_ = std::max(accepted_, before);
    if (!accept(prepare)) return handUp(frame, frame.body.size());
  }
  const uint64_t committed = std::min(fast_.told, acceptedEnd());
  if (committed > committed_) { raiseCommitted(committed); progressed_ = true; }
}

/// The leader's entries take the place of others; what stood there comes behind them, unless it is among them. False: they contradict
/// what was accepted before, which is a broken invariant.
bool Replica::accept(const wire::FastPrepare& prepare) {
  std::vector<std::vector<uint8_t>> displaced;
  Bytes rest = prepare.records;
  Record record;
  uint64_t seqno = prepare.first;
  for (uint32_t i = 0; i < prepare.count; i++, seqno++) {
    wire::parseRecord(rest, config_.maxOperationBytes, record);
    rest = rest.subspan(record.all.size());
    if (seqno <= log_.base()) continue;
    if (seqno <= log_.end()) {
      const Bytes own = log_.record(seqno);
      const bool same = own.size() == record.all.size() && std::memcmp(own.data(), record.all.data(), own.size()) == 0;
      if (!same && seqno <= acceptedEnd()) return false;
      if (!same) displace(seqno, displaced);
    }
    if (seqno > log_.end()) {
      if (!log_.hasRoom(record.all.size())) {
        region_.status[kRefused] += 1;
        drop(DropReason::BufferFull);
        break;
      }
      appendRecord(record);
      region_.status[kAppended] += 1;
      progressed_ = true;
    }
    accepted_ = std::max(accepted_, seqno);
  }
  readClock();
  for (const auto& bytes : displaced)
    if (wire::parseRecord(bytes, config_.maxOperationBytes, record)) onRecord(record, wire::kNoStream, 0, 0);
  return true;
}

/// Takes the entries from `from` on out of the log. None of them was executed.
void Replica::displace(uint64_t from, std::vector<std::vector<uint8_t>>& out) {
  const uint64_t end = log_.end();
  for (uint64_t s = from; s <= end; s++) {
    const Bytes own = log_.record(s);
    out.emplace_back(own.begin(), own.end());
  }
  for (uint64_t s = end; s >= from; s--) sessions_.undo(log_, s);
  region_.status[kRolledBack] += static_cast<double>(end + 1 - from);
  log_.rollbackTo(from - 1);
  durable_ = std::min(durable_, from - 1);
  if (exported_ < from) return;
  exported_ = from - 1;
  displacedTo_ = std::min(displacedTo_, exported_);
}

/// A vote is for good: it covers what a crash leaves. Hence a replica that comes back from its disk still has all it voted for, in this view
/// or dropped since for the leader's choice, and in this view it votes no more.
void Replica::sendFastVote() {
  const bool lasting = guard(kGuardPrepareOkDurable);
  const uint64_t end = lasting ? lastingEnd() : log_.end();
  if (!fast_.voteDue && fast_.voted == end) return;
  if (end < log_.base() || (!viewLasts() && lasting)) return;   // due until it is on disk
  uint8_t body[wire::kFastVoteBytes];
  const uint64_t accepted = lasting ? lastingAccepted() : acceptedEnd();
  wire::writeFastVote(body, {view_, end, log_.hashAt(end), accepted, static_cast<uint8_t>(fast_.gapDue ? wire::kFastGap : 0)});
  fast_.voted = end;
  fast_.votedAccepted = accepted;
  fast_.voteDue = fast_.gapDue = false;
  sendMessage(1u << view_ % config_.n, MessageType::FastVote, body);
}

// ---- the leader

void Replica::onFastVote(const Opened& frame) {
  wire::FastVote vote;
  if (!wire::parseFastVote(frame.body, vote)) return drop(DropReason::BadBody);
  if (!inFastView() || vote.view != view_) return drop(DropReason::Status);
  if (!leads_) return drop(DropReason::WrongRole);
  // Nothing is accepted that the leader has not sent.
  if (vote.accepted > log_.end()) return handUp(frame, frame.body.size());
  FastView::Backup& backup = fast_.backups[frame.sender];
  backup.heardUs = std::max<uint64_t>(nowUs(), 1);
  const bool overtaken = vote.accepted < backup.accepted;
  backup.accepted = std::max(backup.accepted, vote.accepted);
  backup.matched = std::max(backup.matched, vote.accepted);
  backup.gap |= (vote.flags & wire::kFastGap) && !overtaken;
  if (vote.seqno <= log_.end()) return judgeVote(backup, vote.seqno, vote.hash, overtaken);
  FastView::Vote* place = &backup.waiting[kWaitingVotes - 1];
  for (auto& waiting : backup.waiting) if (!waiting.seqno) { place = &waiting; break; }
  place->seqno = vote.seqno;
  std::memcpy(place->hash, vote.hash, kReplyHashBytes);
}

/// The log has the seqno that was voted for, or had it.
void Replica::judgeVote(FastView::Backup& backup, uint64_t seqno, const uint8_t* hash, bool overtaken) {
  if (seqno <= backup.matched || seqno < log_.base()) {
    backup.differs &= overtaken;
    return;
  }
  if (std::memcmp(hash, log_.hashAt(seqno), kReplyHashBytes) == 0) {
    backup.matched = seqno;
    backup.differs = false;
  } else if (!overtaken) {
    backup.differs = true;
  }
}

/// What a FAST view sends at the end of a batch.
void Replica::replicateFast() {
  if (!leads_) return sendFastVote();
  if (!viewLasts()) return;     // setDurable() goes on
  bool differs = false, gap = false;
  for (uint32_t i = 0; i < config_.n; i++) {
    FastView::Backup& backup = fast_.backups[i];
    for (auto& waiting : backup.waiting) {
      if (!waiting.seqno || waiting.seqno > log_.end()) continue;
      judgeVote(backup, waiting.seqno, waiting.hash, false);
      waiting.seqno = 0;
    }
    differs |= backup.differs;
    gap |= backup.gap;
  }
  commitVotes();
  if (differs || (fast_.classic && fast_.prepared < log_.end())) {
    classicRound(~0u);
  } else if (gap) {
    for (uint32_t i = 0; i < config_.n; i++) if (fast_.backups[i].gap) sendFastPrepare(i);
  }
}

/// A superquorum that has the leader's entries, or f+1 that have accepted them.
void Replica::commitVotes() {
  uint64_t matched[kMaxReplicas], accepted[kMaxReplicas];
  for (uint32_t i = 0; i < config_.n; i++) {
    matched[i] = i == config_.replica ? lastingEnd() : fast_.backups[i].matched;
    accepted[i] = i == config_.replica ? lastingEnd() : fast_.backups[i].accepted;
  }
  std::sort(matched, matched + config_.n, std::greater<>());
  std::sort(accepted, accepted + config_.n, std::greater<>());
  const uint32_t fastQuorum = guard(kGuardPrepareQuorum) ? superquorum(config_.n) : majority(config_.n);
  const uint64_t fastTo = matched[fastQuorum - 1];
  const uint64_t to = std::max(fastTo, accepted[majority(config_.n) - 1]);
  if (fast_.classic && fastTo > fast_.classicFrom) fast_.classic = false;
  if (to <= committed_) return;
  raiseCommitted(to);
  progressed_ = true;
}

/// The leader's log for all positions that are not chosen.
void Replica::classicRound(uint32_t replicas) {
  bool sent = false;
  for (uint32_t i = 0; i < config_.n; i++) if (replicas >> i & 1) sent |= sendFastPrepare(i);
  if (sent) region_.status[kClassicRounds] += 1;
  fast_.prepared = log_.end();
  for (uint32_t i = 0; i < config_.n; i++) {
    const FastView::Backup& backup = fast_.backups[i];
    const bool more = i != config_.replica && backup.preparedTo > backup.accepted && backup.preparedTo >= log_.base();
    if (more) fast_.prepared = std::min(fast_.prepared, backup.preparedTo);
  }
}

/// To one backup what follows the part of its log that is known to be the leader's, or is on its way to it; a backup that has all is
/// asked to accept it.
bool Replica::sendFastPrepare(uint32_t replica) {
  FastView::Backup& backup = fast_.backups[replica];
  if (replica == config_.replica || backup.accepted == log_.end()) return false;
  const uint64_t now = nowUs();
  const bool underWay = backup.preparedTo && now - backup.preparedUs < kPrepareEveryUs;
  const bool again = !underWay && (backup.differs || backup.gap);
  const uint64_t first = (again ? backup.matched : std::max(backup.matched, backup.preparedTo)) + 1;
  if (underWay && backup.preparedTo == log_.end()) return false;
  if (first - 1 < log_.base()) {
    // Either it has more than it has told of, and its vote will say so; or it calls for a reconciliation, which brings the rest.
    if (now - backup.preparedUs >= kPrepareEveryUs) tellCommit(1u << replica);
    backup.preparedUs = now;
    return false;
  }
  if (again) backup.differs = backup.gap = false;
  backup.preparedUs = now;
  prepareBody_.resize(wire::kFastPrepareBytes);
  uint64_t seqno = first;
  for (; seqno <= log_.end() && seqno - first < kFastPrepareEntries; seqno++) {
    const Bytes record = log_.record(seqno);
    if (seqno > first && prepareBody_.size() + record.size() > kFastBodyBytes) break;
    prepareBody_.insert(prepareBody_.end(), record.begin(), record.end());
  }
  backup.preparedTo = seqno - 1;
  wire::writeFastPrepareHeader(prepareBody_.data(), view_, committed_, first, log_.hashAt(first - 1), static_cast<uint32_t>(seqno - first));
  region_.status[kPrepares] += 1;
  sendMessage(1u << replica, MessageType::FastPrepare, prepareBody_);
  return true;
}

void Replica::tellCommit(uint32_t replicas) {
  uint8_t body[wire::kFastPrepareBytes];
  wire::writeFastPrepareHeader(body, view_, committed_, committed_ + 1, log_.hashAt(committed_), 0);
  region_.status[kPrepares] += 1;
  sendMessage(replicas, MessageType::FastPrepare, body);
}

/// To all: the commit alone. To one: it has been silent for a while, so what is not chosen is now prepared, and what comes next at once.
void Replica::prepareFastAgain(int32_t to) {
  if (to < 0) return tellCommit(~0u);
  if (log_.end() > committed_ && !fast_.classic) {
    fast_.classic = true;
    fast_.classicFrom = log_.end();
  }
  if (to < static_cast<int32_t>(config_.n)) fast_.backups[to].preparedTo = 0;
  classicRound(maskOf(to) | (log_.end() > committed_ ? ~0u : 0));
}

void Replica::fastStats(double* out) const {
  for (uint32_t i = 0; i < config_.n; i++, out += kPrepareStatsColumns) {
    const bool self = i == config_.replica;
    const FastView::Backup& b = fast_.backups[i];
    // Who has not accepted what is committed lacks something, if only the news.
    out[0] = static_cast<double>(self ? log_.end() : b.accepted >= committed_ ? b.matched : b.accepted);
    out[1] = out[2] = out[3] = 0;
    out[4] = static_cast<double>(self ? nowUs() : b.heardUs);
  }
}

}  // namespace squall::protocol
