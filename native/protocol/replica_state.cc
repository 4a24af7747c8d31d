// A replica engine to and from bytes: the explorer goes back to states it has seen. Not part of it: what only paces or measures (the order
// of arrival, rates of forwarded requests), counters, the streams of the channels, which outlive it, and requests that wait for the end of a
// reconciliation: the explorer's network keeps every message, so that they can arrive after it.
#include <algorithm>

#include "log/state.h"
#include "protocol/replica.h"

namespace squall::protocol {

namespace {
constexpr uint32_t kGuardLastNormalView = 1u << 8;   // src/data/binding.ts: what is appended in which view counts only without it
}

namespace {

constexpr uint32_t kEarlyThatCount = 2;   // replica_leader.cc: PREPAREs behind a gap after which a backup asks

/// The same whatever came before: a ring that begins at its first place, and no more early PREPAREs than make a difference.
LeaderView canonical(const LeaderView& view) {
  LeaderView out = view;
  out.early = std::min(view.early, kEarlyThatCount);
  out.inFlightFirst = 0;
  for (auto& backup : out.backups) backup.askedUs = 0;
  for (uint32_t i = 0; i < kPrepareWindow; i++)
    out.inFlight[i] = i < view.inFlightCount ? view.inFlight[(view.inFlightFirst + i) % kPrepareWindow] : 0;
  return out;
}

}  // namespace

bool Replica::save(std::vector<uint8_t>& out) const {
  if (closed_ || executing_ || persists_ || mode_ == Mode::Fast || log_.base() > 0 || !reads_.empty() || !control_.empty() || !complaints_.empty()) return false;
  for (size_t i = 0; i < pendingUsed_; i++) if (!pending_[i].body.empty()) return false;
  log::StateWriter w(out);
  w.put(status_);
  w.put(mode_);
  w.put(hasLife_);
  w.put(halted_);
  w.put(closing_);
  w.put(leads_);
  w.put(view_);
  w.put(lastNormalView_);
  w.put(executed_);
  w.put(committed_);
  w.put(life_);
  w.put(epoch_);
  log_.save(w, (config_.guardsOff & kGuardLastNormalView) != 0);
  sessions_.save(w);
  if (mode_ != Mode::Leader) return true;
  w.put(canonical(leader_));
  for (const auto& early : early_) w.bytes(early);
  return true;
}

bool Replica::load(Bytes in) {
  if (closed_ || executing_) return false;
  log::StateReader r(in);
  status_ = r.get<Status>();
  mode_ = r.get<Mode>();
  hasLife_ = r.get<bool>();
  halted_ = r.get<bool>();
  closing_ = r.get<bool>();
  leads_ = r.get<bool>();
  view_ = r.get<uint64_t>();
  lastNormalView_ = r.get<uint64_t>();
  executed_ = r.get<uint64_t>();
  committed_ = r.get<uint64_t>();
  life_ = r.get<LifeId>();
  epoch_ = r.get<uint32_t>();
  if (!r.ok() || !log_.load(r) || !sessions_.load(r)) return false;
  buffered_.clear();
  bufferedBytes_ = 0;
  leader_ = {};
  for (auto& early : early_) early.clear();
  if (mode_ == Mode::Leader) {
    leader_ = r.get<LeaderView>();
    for (auto& early : early_) {
      const Bytes body = r.bytes();
      early.assign(body.begin(), body.end());
    }
  } else {
    leader_.start = leader_.prepared = log_.end();
  }
  if (!r.done()) return false;
  channels_.setLife(hasLife_ ? wire::epochLife(life_, epoch_) : LifeId{});
  arrivals_.clear();
  forwards_ = rejects_ = 0;
  tickedCommitted_ = committed_;
  progressed_ = newerViewSeen_ = false;
  clockLimitUs_ = 0;
  control_.clear();
  complaints_.clear();
  pendingUsed_ = 0;
  publish();
  return true;
}

}  // namespace squall::protocol
