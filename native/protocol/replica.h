// The normal case of Speculative Paxos at one replica: requests in, log and summary hash, batches to the state machine, replies out
// (section 4.2.1 and 4.2.2). Views, commits and merges are decided by the control plane, which steers this engine with few verbs.
// No I/O of its own: datagrams, time and upcalls come and go through the fabric and ReplicaUpcalls.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "fabric/fabric.h"
#include "log/sessions.h"
#include "wire/channel.h"

namespace squall::protocol {

/// One operation handed to the state machine; the last three fields are its answer.
struct ExecuteRow {
  uint32_t seqnoLo, seqnoHi, offset, length, timeLo, timeHi;
  uint32_t status, resultBytes;
};
static_assert(sizeof(ExecuteRow) == 32);

class ReplicaUpcalls {
 public:
  virtual ~ReplicaUpcalls() = default;
  /// Rows [0, count) in order; returns how many were executed. Results lie back to back in the result buffer.
  virtual uint32_t execute(uint32_t count) = 0;
  virtual void control(wire::Opened& frame) = 0;
  virtual void complaint(uint64_t session, uint64_t seqno) = 0;
  virtual void tick(uint64_t nowUs) = 0;
};

struct ReplicaConfig {
  uint64_t group = 0;
  uint32_t replica = 0, n = 3;
  std::vector<fabric::Address> replicas;
  fabric::Address multicastGroup, multicastInterface;   // family 0: none
  Key secret{};
  bool sealed = true;
  uint32_t datagramBytes = 1400, maxOperationBytes = 1u << 20;
  uint32_t window = 64, maxSessions = 4096;
  uint64_t logEntries = 4u << 20, logBytes = 2ull << 30;
  uint32_t maxClockSkewMs = 500;
  uint32_t guardsOff = 0;        // honoured by test builds only
};

/// The buffers shared with TypeScript.
struct ReplicaRegion {
  double* status = nullptr;      // StatusWord table
  ExecuteRow* rows = nullptr;
  uint32_t rowCapacity = 0;
  uint8_t* arena = nullptr;
  size_t arenaBytes = 0;
  uint8_t* results = nullptr;
  size_t resultBytes = 0;
};

/// Indices of the status table; the same list as StatusWord in src/data/binding.ts.
enum StatusWord : uint32_t {
  kView, kLastNormalView, kStatus, kMode, kLogEnd, kExecuted, kCommitted, kLogBytes, kSessions, kHalted, kAppended, kRolledBack,
  kDuplicates, kRepliesSent, kBuffered, kRefused, kFramesReceived, kFramesSent, kBatches, kLoopDelayUs, kReconciliations, kSyncsSent,
  kComplaints, kDropBase = 32, kStatusWords = 64,
};

class Replica final : public fabric::Receiver {
 public:
  Replica(std::shared_ptr<fabric::Fabric> fabric, ReplicaConfig config, ReplicaRegion region, ReplicaUpcalls& upcalls);
  ~Replica() override;
  /// Opens the endpoints: 0 or an errno.
  int start();
  void close();
  bool ok() const { return log_.ok() && sessions_.ok(); }

  // fabric::Receiver
  uint64_t group() const override { return config_.group; }
  void onDatagram(const fabric::Datagram& datagram) override;
  void onBatchEnd() override;
  void onTimer() override;
  /// Frees the log's memory of a closed engine; not inside one of its upcalls.
  void discard() { if (closed_) log_.discard(); }

  // the control plane's verbs
  bool bootstrap(const LifeId& life);
  bool hasLife() const { return hasLife_; }
  const LifeId& life() const { return channels_.life(); }
  void freeze(uint64_t view);
  bool install(uint64_t view, Mode mode, uint64_t keepTo, const std::vector<Bytes>& records);
  bool commitTo(uint64_t seqno);
  void answer(uint64_t from, uint64_t to);
  void send(int32_t replica, MessageType type, Bytes body);
  void sendToStream(uint32_t stream, MessageType type, Bytes body);
  void setHalted(bool halted);
  void setTimer(uint64_t atUs) { fabric_->setTimer(this, atUs); }
  /// The control plane is told of the log's growth only from this seqno on.
  void setProgressAt(uint64_t seqno) { progressAt_ = seqno; }
  void flush();
  uint64_t nowUs() const { return fabric_->nowUs(this); }

  const log::Log& log() const { return log_; }
  const log::Sessions& sessions() const { return sessions_; }
  uint64_t view() const { return view_; }
  Status status() const { return status_; }
  const ReplicaConfig& config() const { return config_; }
  fabric::EndpointId endpoint() const { return unicast_; }
  fabric::Fabric& fabric() { return *fabric_; }

 private:
  struct PendingReply { uint32_t stream; std::vector<uint8_t> body; uint16_t count; };
  struct Buffered { uint32_t stream, generation; uint64_t sender; uint64_t tag; std::vector<uint8_t> record; };
  struct Complaint { uint64_t session, seqno; };
  struct Control { MessageType type; uint64_t sender; uint32_t stream; std::vector<uint8_t> body; };

  bool guard(uint32_t bit) const;
  void drop(DropReason reason);
  void onRequestFrame(const wire::Opened& frame);
  bool onRecord(const wire::Record& record, uint32_t stream, uint8_t flags, uint8_t attempt);
  void onHello(const wire::Opened& frame);
  void reject(Bytes datagram, DropReason reason, const fabric::Address& to);
  void appendRecord(const wire::Record& record);
  void executePending(bool reply);
  void replyTo(uint64_t seqno, bool wantFull, uint8_t attempt);
  void addReply(uint32_t session, uint64_t request, uint64_t seqno, const uint8_t* hash, uint8_t flags, wire::ResultStatus status, Bytes result);
  void addReplyToStream(uint32_t stream, const wire::ReplyRecord& record);
  void emitReply(PendingReply& pending);
  void emitReplies();
  bool deliverControl();
  void takeBuffered();
  void publish();

  std::shared_ptr<fabric::Fabric> fabric_;
  ReplicaConfig config_;
  ReplicaRegion region_;
  ReplicaUpcalls& upcalls_;
  log::Log log_;
  log::Sessions sessions_;
  wire::Channels channels_;
  fabric::EndpointId unicast_ = fabric::kNoEndpoint, multicast_ = fabric::kNoEndpoint;

  Status status_ = Status::Recovery;
  Mode mode_ = Mode::Speculative;
  uint64_t view_ = 0, lastNormalView_ = 0, executed_ = 0, committed_ = 0;
  const bool tracing_;
  bool hasLife_ = false, halted_ = false, closed_ = false, executing_ = false, progressed_ = false;
  uint32_t epoch_ = 0;
  uint64_t progressAt_ = 0;
  uint64_t clockLimitUs_ = 0;          // wall clock of this batch + the allowed skew
  uint64_t rejectWindowUs_ = 0;
  uint32_t rejects_ = 0;
  uint64_t messageKey_ = 0;

  std::vector<PendingReply> pending_;   // by order of first use in this batch; capacity is kept
  size_t pendingUsed_ = 0;
  std::vector<Control> control_;
  std::vector<Complaint> complaints_;
  std::deque<Buffered> buffered_;
  size_t bufferedBytes_ = 0;
};

}  // namespace squall::protocol
