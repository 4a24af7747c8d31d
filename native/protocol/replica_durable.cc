// A replica whose log is kept on disk (docs/durability.md): what waits for the disk, and how a replica comes back from it.
// The disk is the host's; what this engine knows of it is how far the log is there.
#include <algorithm>

#include "protocol/replica.h"

namespace squall::protocol {

namespace {
constexpr size_t kRowHeadBytes = 4 + sizeof(Hash);
}  // namespace

/// Another view, or another log than the one on disk: what is kept up to `keepTo` still is there, but not yet as the log of this view.
void Replica::beginUndurable(uint64_t keepTo) {
  viewDurable_ = false;
  durable_ = std::min(durable_, keepTo);
  durableAccepted_ = 0;
  released_ = std::min(released_, committed_);   // what is kept is answered again, in this view
  exported_ = std::min(exported_, keepTo);
}

void Replica::tellAppended() {
  if (log_.end() <= exported_ && displacedTo_ == ~uint64_t{0}) return;
  publish();   // the host goes by the log's end there
  upcalls_.appended();
}

void Replica::setDurable(uint64_t seqno, uint64_t accepted) {
  if (closed_ || !waits_) return;
  viewDurable_ = true;
  durable_ = std::min(seqno, log_.end());
  durableAccepted_ = std::min(accepted, durable_);
  if (inLeaderView() && !leads_) leader_.okDue = true;
  // Where the log does not grow by it, nothing else says that the leader's choice is on disk.
  if (inFastView() && !leads_ && durableAccepted_ > fast_.votedAccepted) fast_.voteDue = true;
  if (mode_ == Mode::Speculative) {
    const uint64_t last = std::min(durable_, executed_);
    for (uint64_t s = std::max(released_, log_.base()) + 1; s <= last; s++) replyTo(s, false, 0);
  }
  released_ = std::max(released_, durable_);
  if (!executing_) flush();
}

uint32_t Replica::exportRows(uint64_t from, uint8_t* out, size_t capacity, size_t& bytes) {
  uint32_t rows = 0;
  bytes = 0;
  for (uint64_t s = std::max(from, log_.base() + 1); s <= log_.end(); s++, rows++) {
    const Bytes record = log_.record(s);
    if (bytes + kRowHeadBytes + record.size() > capacity) break;
    wire::store<uint32_t>(out + bytes, static_cast<uint32_t>(sizeof(Hash) + record.size()));
    std::memcpy(out + bytes + 4, log_.hashAt(s), sizeof(Hash));
    std::memcpy(out + bytes + kRowHeadBytes, record.data(), record.size());
    bytes += kRowHeadBytes + record.size();
  }
  exported_ = std::max(from, log_.base() + 1) + rows - 1;
  return rows;
}

uint64_t Replica::takeDisplaced() {
  const uint64_t keptTo = displacedTo_;
  displacedTo_ = ~uint64_t{0};
  return keptTo;
}

bool Replica::appendLoaded(const std::vector<Bytes>& records, Mode mode, uint64_t accepted) {
  if (closed_ || executing_ || status_ != Status::Recovery || !hasLife_) return false;
  mode_ = mode;
  accepted_ = accepted;
  wire::Record record;
  for (const Bytes& bytes : records) {
    if (!wire::parseRecord(bytes, config_.maxOperationBytes, record) || record.all.size() != bytes.size()) return false;
    if (!log_.hasRoom(bytes.size())) return false;
    appendRecord(record);
    // The epoch that it comes back to began here, perhaps without the checkpoint that those who join need.
    if (log_.isReconfiguration(log_.end()) && log_.request(log_.end()) == epoch_) log_.demandAtEnd();
  }
  executePending(false);
  publish();
  return !closed_;
}

bool Replica::resume(uint64_t view, uint64_t lastNormalView, Mode mode) {
  if (closed_ || executing_ || status_ != Status::Recovery || !hasLife_ || lastNormalView > view) return false;
  view_ = view;
  lastNormalView_ = lastNormalView;
  mode_ = mode;
  status_ = Status::Reconciliation;
  hearRequests(true);
  publish();
  return true;
}

}  // namespace squall::protocol
