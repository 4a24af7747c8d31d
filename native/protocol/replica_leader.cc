// The normal case of a LEADER view, which is Multi-Paxos (Viewstamped Replication): the leader alone assigns positions and sends
// PREPAREs, backups append them without gaps and acknowledge their log's end, f+1 logs with the entry commit it.
#include <algorithm>

#include "protocol/guards.h"
#include "protocol/replica.h"

namespace squall::protocol {

using wire::Opened;
using wire::Record;

namespace {
constexpr size_t kPrepareBodyBytes = 64 * 1024;    // most of one PREPARE, unless a single record is larger
constexpr uint32_t kGapsBeforeAsking = 2;          // PREPAREs behind a gap: one is as likely overtaken as lost
constexpr uint32_t kResendEntries = 512;           // of one PREPARE that repeats entries
constexpr uint64_t kResendEveryUs = 1000;          // to one backup; twice as long each time that nothing came of it ...
constexpr uint64_t kLongestResendUs = 32'000;      // ... up to this: its answer, or it, is slow
constexpr uint64_t kSilentUs = 500'000;            // no answer for so long: the backup is down, or takes no part
constexpr uint32_t kForwardsPerBatch = 16;
constexpr uint32_t kForwardsPerSecond = 2000;
}  // namespace

/// View, mode and the log with which the view begins are set.
void Replica::beginView() {
  hearRequests(true);
  leads_ = view_ % config_.n == config_.replica;
  leader_ = {};
  fast_ = {};
  accepted_ = fast_.voted = log_.end();
  leader_.start = leader_.prepared = log_.end();
  if (mode_ == Mode::Leader) arrivals_.clear();
  for (auto& early : early_) early.clear();
}

void Replica::onLeaderFrame(const Opened& frame) {
  if (!hasLife_ || status_ == Status::Recovery) return drop(DropReason::Status);
  if (frame.sender >= config_.n) return drop(DropReason::WrongRole);
  if (frame.type == MessageType::Prepare) onPrepare(frame);
  else if (frame.type == MessageType::PrepareOk) onPrepareOk(frame);
  else onForward(frame);
}

// ---- the backups

void Replica::onPrepare(const Opened& frame) {
  wire::Prepare prepare;
  if (!wire::parsePrepare(frame.body, config_.maxOperationBytes, prepare)) return drop(DropReason::BadBody);
  const bool ofThisView = prepare.view == view_ && status_ == Status::Normal;
  if (prepare.view > view_ || (prepare.view == view_ && !ofThisView)) {
    // There is a view, or a START-VIEW of this one, that this replica misses.
    if (!newerViewSeen_) { newerViewSeen_ = true; handUp(frame, sizeof prepare.view); }
    if (guard(kGuardPrepareGaps)) return;
  }
  if (!inLeaderView() || (!ofThisView && guard(kGuardPrepareGaps))) return drop(DropReason::Status);
  if (leads_ || frame.sender != prepare.view % config_.n) return drop(DropReason::WrongRole);
  leader_.okDue = true;
  if (prepare.first - 1 > log_.end() && guard(kGuardPrepareGaps)) {
    leader_.early++;
    leader_.okGap |= prepare.count == 0 || leader_.early >= kGapsBeforeAsking;
    keepEarly(frame.body);
  } else {
    appendPrepared(prepare);
    leader_.early = 0;
    takeEarly();
  }
  // This log is a prefix of the leader's, whatever it lacks.
  leader_.told = std::max(leader_.told, prepare.committed);
  const uint64_t committed = std::min(leader_.told, log_.end());
  if (committed > committed_) { raiseCommitted(committed); progressed_ = true; }
  if (!config_.packing) sendPrepareOk();
}

/// What overtook other PREPAREs waits for them: a few, and none that is larger than usual.
void Replica::keepEarly(Bytes body) {
  if (body.size() > wire::kPrepareBytes + kPrepareBodyBytes || body.size() == wire::kPrepareBytes) return;
  std::vector<uint8_t>* free = nullptr;
  for (auto& early : early_) {
    if (early.empty()) free = &early;
    else if (std::memcmp(early.data() + 16, body.data() + 16, 8) == 0) return;   // the same first seqno
  }
  if (free) free->assign(body.begin(), body.end());
}

void Replica::takeEarly() {
  for (bool taken = true; taken;) {
    taken = false;
    for (auto& early : early_) {
      wire::Prepare prepare;
      if (early.empty() || !wire::parsePrepare(early, config_.maxOperationBytes, prepare) || prepare.first - 1 > log_.end()) continue;
      appendPrepared(prepare);
      early.clear();
      taken = true;
    }
  }
}

/// Entries that the log has already are skipped; PREPARE-OK's hash covers them.
void Replica::appendPrepared(const wire::Prepare& prepare) {
  const uint64_t skip = prepare.first > log_.end() ? 0 : log_.end() + 1 - prepare.first;
  Bytes rest = prepare.records;
  Record record;
  for (uint32_t i = 0; i < prepare.count; i++) {
    wire::parseRecord(rest, config_.maxOperationBytes, record);
    rest = rest.subspan(record.all.size());
    if (i < skip) continue;
    if (!log_.hasRoom(record.all.size())) {
      region_.status[kRefused] += 1;
      return drop(DropReason::BufferFull);
    }
    compareArrival(record);
    appendRecord(record);
    region_.status[kAppended] += 1;
    progressed_ = true;
  }
}

void Replica::compareArrival(const Record& record) {
  const uint64_t arrival = arrivals_.find(record.session, record.request);
  if (!arrival) { leader_.absent++; return; }
  leader_.compared++;
  if (arrival < leader_.lastCompared) leader_.inverted++;
  leader_.lastCompared = arrival;
}

void Replica::sendPrepareOk() {
  if (!leader_.okDue) return;
  const uint64_t end = guard(kGuardPrepareOkDurable) ? lastingEnd() : log_.end();
  if (end < log_.base() || (!viewLasts() && guard(kGuardPrepareOkDurable))) return;   // due until it is on disk
  uint8_t body[wire::kPrepareOkBytes];
  wire::writePrepareOk(body, {view_, end, log_.hashAt(end), leader_.compared, leader_.inverted, leader_.absent,
                              static_cast<uint8_t>(leader_.okGap ? wire::kGap : 0)});
  leader_.okDue = leader_.okGap = false;
  sendMessage(1u << view_ % config_.n, MessageType::PrepareOk, body);
}

/// A request that no PREPARE has brought: noted, and sent on where the client's own way to the leader seems to be cut.
void Replica::onBackupRequest(const Record& record, uint8_t flags, uint8_t attempt) {
  arrivals_.note(record.session, record.request);
  if ((flags & wire::kComplaint) || attempt >= 2) forward(record);
}

void Replica::forward(const Record& record) {
  if (status_ != Status::Normal || leader_.forwardsInBatch >= kForwardsPerBatch) return;
  const uint64_t now = nowUs();
  if (now - forwardWindowUs_ > 1'000'000) { forwardWindowUs_ = now; forwards_ = 0; }
  if (forwards_ >= kForwardsPerSecond) return;
  forwards_++;
  leader_.forwardsInBatch++;
  region_.status[kForwards] += 1;
  std::vector<uint8_t> body(wire::kForwardBytes + record.all.size());
  wire::store<uint64_t>(body.data(), view_);
  std::memcpy(body.data() + wire::kForwardBytes, record.all.data(), record.all.size());
  sendMessage(1u << view_ % config_.n, MessageType::Forward, body);
}

// ---- the leader

void Replica::onPrepareOk(const Opened& frame) {
  wire::PrepareOk ok;
  if (!wire::parsePrepareOk(frame.body, ok)) return drop(DropReason::BadBody);
  if (!inLeaderView() || ok.view != view_) return drop(DropReason::Status);
  if (!leads_) return drop(DropReason::WrongRole);
  if (ok.seqno > log_.end() || (ok.seqno >= log_.base() && std::memcmp(ok.hash, log_.hashAt(ok.seqno), kReplyHashBytes) != 0)) {
    // Within a LEADER view a backup's log is a prefix of the leader's: a broken invariant, on which the control plane stops.
    return handUp(frame, frame.body.size());
  }
  LeaderView::Backup& backup = leader_.backups[frame.sender];
  backup.heardUs = std::max<uint64_t>(nowUs(), 1);
  if (ok.seqno < backup.acked) return;           // overtaken by a later one
  // When something of what was sent again has come, more of it follows without being asked for.
  const bool comes = ok.seqno > backup.resentAt && ok.seqno < backup.missedTo;
  backup.acked = ok.seqno;
  backup.compared = ok.compared;
  backup.inverted = ok.inverted;
  backup.absent = ok.absent;
  backup.resend = comes || (ok.flags & wire::kGap);
}

/// A backup checked that the client may ask in this session's name; replicas are trusted with that.
void Replica::onForward(const Opened& frame) {
  Record record;
  if (frame.body.size() < wire::kForwardBytes || !wire::parseRecord(frame.body.subspan(wire::kForwardBytes), config_.maxOperationBytes, record) ||
      record.all.size() != frame.body.size() - wire::kForwardBytes ||
      ((record.flags & wire::kRegister) && record.operation.size() != 24)) return drop(DropReason::BadBody);
  if ((!inLeaderView() && !inFastView()) || closing_ || wire::load<uint64_t>(frame.body.data()) != view_) return drop(DropReason::Status);
  if (!leads_ || record.flags & wire::kReconfigure) return drop(DropReason::WrongRole);
  readClock();
  onRecord(record, wire::kNoStream, wire::kWantResult, 0);
}

/// What a LEADER view sends at the end of a batch. The commit comes first, so that a PREPARE tells the newest.
void Replica::replicate() {
  if ((!inLeaderView() && !inFastView()) || closed_) return;
  leader_.forwardsInBatch = 0;
  if (mode_ == Mode::Fast) return replicateFast();
  if (!leads_) return sendPrepareOk();
  commitAcknowledged();
  if (!viewLasts()) return;     // setDurable() goes on
  sendPrepares();
  resend();
}

void Replica::commitAcknowledged() {
  uint64_t acked[kMaxReplicas];
  for (uint32_t i = 0; i < config_.n; i++) acked[i] = i == config_.replica ? lastingEnd() : leader_.backups[i].acked;
  std::sort(acked, acked + config_.n, std::greater<>());
  const uint32_t needed = majority(config_.n) - (guard(kGuardPrepareQuorum) || config_.n == 1 ? 0 : 1);
  if (acked[needed - 1] <= committed_) return;
  raiseCommitted(acked[needed - 1]);
  progressed_ = true;
}

/// New entries leave at once, in batches while PREPAREs are under way: a window instead of a timer.
void Replica::sendPrepares() {
  const bool batching = config_.prepareBatch > 1;
  leader_.prepared = std::max(config_.n == 1 ? log_.end() : leader_.prepared, log_.base());
  while (leader_.inFlightCount && leader_.inFlight[leader_.inFlightFirst] <= committed_) {
    leader_.inFlightFirst = (leader_.inFlightFirst + 1) % kPrepareWindow;
    leader_.inFlightCount--;
  }
  if (leader_.prepared == log_.end() || leader_.inFlightCount == kPrepareWindow) return;
  const uint32_t backups = answering();
  while (leader_.prepared < log_.end() && leader_.inFlightCount < kPrepareWindow) {
    leader_.prepared = sendPrepare(backups, leader_.prepared + 1, log_.end(), std::max(config_.prepareBatch, 1u));
    if (batching) leader_.inFlight[(leader_.inFlightFirst + leader_.inFlightCount++) % kPrepareWindow] = leader_.prepared;
  }
}

/// The backups that PREPAREs are sent to: not those that leave them unanswered for long. One that comes back is told where the log ends by
/// prepareAgain(), says what it lacks, and with that is among them again.
uint32_t Replica::answering() {
  const uint64_t now = nowUs();
  uint32_t backups = 0;
  for (uint32_t i = 0; i < config_.n; i++) {
    LeaderView::Backup& backup = leader_.backups[i];
    if (backup.acked >= leader_.prepared || !backup.askedUs) backup.askedUs = std::max<uint64_t>(now, 1);
    if (now < std::max(backup.askedUs, backup.heardUs) + kSilentUs) backups |= 1u << i;
  }
  return backups;
}

/// One PREPARE of the entries from `first` on, as many of them up to `last` as it may hold; returns the last one it holds.
uint64_t Replica::sendPrepare(uint32_t replicas, uint64_t first, uint64_t last, uint32_t most) {
  prepareBody_.resize(wire::kPrepareBytes);
  uint64_t seqno = first;
  for (; seqno <= last && seqno - first < most; seqno++) {
    const Bytes record = log_.record(seqno);
    if (seqno > first && prepareBody_.size() + record.size() > kPrepareBodyBytes) break;
    prepareBody_.insert(prepareBody_.end(), record.begin(), record.end());
  }
  wire::writePrepareHeader(prepareBody_.data(), view_, committed_, first, static_cast<uint32_t>(seqno - first));
  region_.status[kPrepares] += 1;
  sendMessage(replicas, MessageType::Prepare, prepareBody_);
  return seqno - 1;
}

/// To backups that told of a gap: what follows their log's end, a window of a few PREPAREs that moves on as they come. New PREPAREs go on
/// meanwhile, so such a backup tells of its gap all the time; only one where nothing came for a while lacks what was sent again.
void Replica::resend() {
  for (uint32_t i = 0; i < config_.n; i++) {
    LeaderView::Backup& backup = leader_.backups[i];
    if (!backup.resend) continue;
    const uint64_t now = nowUs();
    const bool progress = backup.acked > backup.resentAt;
    const bool goesOn = progress && backup.acked < backup.missedTo;
    if (!goesOn && backup.resentUs && now - backup.resentUs < (progress ? kResendEveryUs : backup.waitUs)) continue;
    backup.resend = false;
    if (backup.acked >= leader_.prepared || backup.acked < log_.base()) continue;
    // Twice what it took lately.
    const uint64_t waitUs = goesOn ? std::max(2 * (now - backup.resentUs), backup.waitUs - backup.waitUs / 8) : progress ? backup.waitUs : 2 * backup.waitUs;
    backup.waitUs = std::clamp(waitUs, kResendEveryUs, kLongestResendUs);
    if (!goesOn) {
      std::fill_n(backup.resentTo, kResendWindow, 0);
      backup.missedTo = leader_.prepared;
    }
    backup.resentUs = std::max<uint64_t>(now, 1);
    backup.resentAt = backup.acked;
    uint64_t last = std::max(backup.acked, *std::max_element(backup.resentTo, backup.resentTo + kResendWindow));
    // One only where it is not known yet whether they come.
    for (uint32_t slot = 0; slot < (goesOn ? kResendWindow : 1) && last < backup.missedTo; slot++)
      if (backup.resentTo[slot] <= backup.acked)
        last = backup.resentTo[slot] = sendPrepare(1u << i, last + 1, backup.missedTo, kResendEntries);
  }
}

uint32_t Replica::prepareAgain(int32_t to) {
  if (closed_ || !leads_ || config_.n == 1) return 0;
  if (inFastView() && viewLasts()) prepareFastAgain(to);
  if (!inLeaderView() || !viewLasts()) return 0;
  // An empty PREPARE tells the commit, and its place shows a backup whether it lacks something: then it says so, and is sent just that.
  const uint32_t replicas = maskOf(to);
  sendPrepare(replicas, leader_.prepared + 1, leader_.prepared, 0);
  uint32_t belowBase = 0;
  for (uint32_t i = 0; i < config_.n; i++)
    if ((replicas >> i & 1) && leader_.backups[i].heardUs && leader_.backups[i].acked < log_.base()) belowBase |= 1u << i;
  return belowBase;
}

void Replica::prepareStats(double* out) const {
  if (mode_ == Mode::Fast) return fastStats(out);
  for (uint32_t i = 0; i < config_.n; i++, out += kPrepareStatsColumns) {
    const LeaderView::Backup& b = leader_.backups[i];
    const bool self = i == config_.replica;
    out[0] = static_cast<double>(self ? log_.end() : b.acked);
    out[1] = self ? leader_.compared : b.compared;
    out[2] = self ? leader_.inverted : b.inverted;
    out[3] = self ? leader_.absent : b.absent;
    out[4] = static_cast<double>(self ? nowUs() : b.heardUs);
  }
}

}  // namespace squall::protocol
