// From one configuration to the next: the engine, its log, its sessions and its endpoints stay; index, peers and keys change.
#include <algorithm>

#include "protocol/replica.h"

namespace squall::protocol {

/// Whether the log's last entry is the reconfiguration that ends this epoch.
bool Replica::endsEpoch() const {
  const uint64_t end = log_.end();
  return log_.isReconfiguration(end) && log_.request(end) == uint64_t{epoch_} + 1;
}

bool Replica::reconfigure(const wire::Members& members, uint32_t replica) {
  const size_t n = members.replicas.size();
  if (closed_ || executing_ || n == 0 || n > kMaxReplicas || replica >= n || members.epoch <= epoch_) return false;
  emitReplies();                // what was answered so far was answered in the old epoch
  config_.replicas = members.replicas;
  config_.n = static_cast<uint32_t>(n);
  config_.replica = replica;
  epoch_ = members.epoch;
  life_ = members.life;
  hasLife_ = true;
  channels_.setSelf(replica);
  channels_.setLife(wire::epochLife(life_, epoch_));
  control_.clear();             // senders' indices mean other machines now
  complaints_.clear();
  closing_ = false;
  beginUndurable(log_.end());
  status_ = Status::Recovery;
  publish();
  return true;
}

bool Replica::beginEpoch(uint64_t view, Mode mode) {
  if (closed_ || status_ != Status::Recovery || epoch_ == 0 || view <= view_ || committed_ != log_.end() || executed_ != committed_) return false;
  view_ = lastNormalView_ = view;
  beginUndurable(log_.end());
  mode_ = mode;
  status_ = Status::Normal;
  log_.demandAtEnd();
  beginView();
  for (uint32_t i = 0; i < sessions_.capacity(); i++) {
    const log::Session& s = sessions_[i];
    if (s.live && s.stream != wire::kNoStream && channels_.streamLive(s.stream) && channels_.streamGeneration(s.stream) == s.streamGeneration)
      tellMembers(s.stream);
  }
  progressed_ = true;
  publish();
  return true;
}

/// A client follows to a later epoch as soon as one member tells it.
void Replica::tellMembers(uint32_t stream) { sendToStream(stream, MessageType::Members, wire::encodeMembers({life_, epoch_, config_.replicas})); }

void Replica::sendToAddress(const fabric::Address& to, MessageType type, Bytes body) {
  if (closed_) return;
  channels_.sealMessage(type, wire::Target::all(), body, ++messageKey_, [&](size_t length) { return fabric_->reserve(unicast_, length); },
                        [&](size_t length) { fabric_->commit(unicast_, length, &to, 1); region_.status[kFramesSent] += 1; });
}

}  // namespace squall::protocol
