// The normal case of Speculative Paxos at one replica: requests in, log and summary hash, batches to the state machine, replies out
// (section 4.2.1 and 4.2.2). Views, commits and merges are decided by the control plane, which steers this engine with few verbs.
// No I/O of its own: datagrams, time and upcalls come and go through the fabric and ReplicaUpcalls.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "fabric/fabric.h"
#include "log/sessions.h"
#include "protocol/arrivals.h"
#include "protocol/fast_view.h"
#include "protocol/leader_view.h"
#include "protocol/read_queue.h"
#include "wire/channel.h"
#include "wire/fast.h"
#include "wire/members.h"
#include "wire/prepare.h"

namespace squall::protocol {

/// One operation handed to the state machine. `status` says what to run (RowKind), and then, with resultBytes, is the answer.
struct ExecuteRow {
  uint32_t seqnoLo, seqnoHi, offset, length, timeLo, timeHi;
  uint32_t status, resultBytes;
};
static_assert(sizeof(ExecuteRow) == 32);
enum RowKind : uint32_t { kRowExecute = 0, kRowQuery = 1 };

class ReplicaUpcalls {
 public:
  virtual ~ReplicaUpcalls() = default;
  /// Rows [0, count) in order; returns how many were executed. Results lie back to back in the result buffer.
  virtual uint32_t execute(uint32_t count) = 0;
  /// The same for reads outside the log, in any order; what is not answered is asked again.
  virtual uint32_t query([[maybe_unused]] uint32_t count) { return 0; }
  virtual void control(wire::Opened& frame) = 0;
  virtual void complaint(uint64_t session, uint64_t seqno) = 0;
  virtual void tick(uint64_t nowUs) = 0;
  /// The log has entries that exportRows() has not given; after each batch, where the log is kept on disk.
  virtual void appended() {}
};

/// Async: the host writes the log to disk. Sync: and what would promise that an entry lasts waits until it is there.
enum class Durability : uint8_t { Memory = 0, Async = 1, Sync = 2 };

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
  uint64_t checkpointEvery = 0;  // entries; 0: the machine has no snapshots, and nothing is truncated
  uint32_t prepareBatch = 64;
  bool packing = true;           // without it no acknowledgement stands for several PREPAREs, no vote for several requests
  uint8_t newestVersion = wire::kWireVersion;
  Mode firstMode = Mode::Speculative;
  Durability durability = Durability::Memory;
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
  kComplaints, kLogBase, kCheckpointDue, kDurable, kPrepares, kForwards, kReads, kIncarnation, kCheckpoint, kModeSwitches, kDropBase = 32, kAccepted = 60, kClassicRounds = 61,
  kStatusWords = 64,
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
  const LifeId& life() const { return life_; }
  void freeze(uint64_t view);
  /// RECOVERY: whether to listen to the multicast group, where there is one. Who is far from able to use requests saves the host their way
  /// up; whoever enters a view listens again.
  void hearRequests(bool wanted);
  /// `hashes`: the records' summary hashes back to back, where the caller has verified them; else empty.
  bool install(uint64_t view, Mode mode, uint64_t keepTo, const std::vector<Bytes>& records, Bytes hashes = {});
  bool commitTo(uint64_t seqno);
  void answer(uint64_t from, uint64_t to);
  void send(int32_t replica, MessageType type, Bytes body);
  void sendToStream(uint32_t stream, MessageType type, Bytes body);
  /// To whatever replica listens there, of this configuration or not; for messages outside a life.
  void sendToAddress(const fabric::Address& to, MessageType type, Bytes body);
  void setHalted(bool halted);
  /// The version of frames to the other replicas.
  void speak(uint8_t version) { channels_.speak(version); }
  void setTimer(uint64_t atUs) { fabric_->setTimer(this, atUs); }
  /// LEADER and FAST views: tells backups the commit and has those that lack entries say so, which are then sent again. `to`: -1 all, or one.
  /// Returns the replicas (bit mask) that need entries below the log's base. Does nothing unless this replica leads.
  uint32_t prepareAgain(int32_t to);
  /// Of each replica, kPrepareStatsColumns numbers into `out`: log end acknowledged in this view, requests compared with its order of
  /// arrival, inverted, absent (counted since the view began), and when it was last heard (nowUs; 0: not in this view).
  void prepareStats(double* out) const;
  static constexpr uint32_t kPrepareStatsColumns = 5;
  /// The control plane is told of the log's growth only from this seqno on, and of a commit that rose by kTickCommits.
  void setProgressAt(uint64_t seqno) { progressAt_ = seqno; }
  void flush();

  // durability (replica_durable.cc)
  /// The log up to `seqno` is on disk, with the view that it is the log of: what waited for that is sent. Durability::Sync only.
  /// `accepted`: so is, of a FAST view, that the log is its leader's up to there.
  void setDurable(uint64_t seqno, uint64_t accepted = 0);
  /// Rows of the entries from `from` on, back to back, as many as fit: length of the rest 4, summary hash 32, record. Returns how many; `bytes`: their length.
  uint32_t exportRows(uint64_t from, uint8_t* out, size_t capacity, size_t& bytes);
  /// What exportRows() has given up to here is the log's; what it gave above was displaced since this was last asked. ~0: nothing was.
  uint64_t takeDisplaced();
  /// In RECOVERY with a life: appends what was read from disk and executes it, in a FAST view's log only up to `accepted`; nothing is
  /// committed by it. `mode`: that of v_l. False: malformed, or no room.
  bool appendLoaded(const std::vector<Bytes>& records, Mode mode, uint64_t accepted);
  /// From RECOVERY to RECONCILIATION, with the view, v_l and mode that were on disk with this log: a replica that was merely slow.
  bool resume(uint64_t view, uint64_t lastNormalView, Mode mode);

  // epochs (replica_epochs.cc)
  /// Enters RECOVERY in a later epoch, with the log as it is: from now on this replica is `replica` of these.
  bool reconfigure(const wire::Members& members, uint32_t replica);
  /// NORMAL in the epoch's first view: from RECOVERY, once all of the log is committed and executed. Tells the sessions' clients.
  bool beginEpoch(uint64_t view, Mode mode);
  uint32_t epoch() const { return epoch_; }

  // checkpoints, truncation and state transfer (replica_checkpoint.cc)
  /// A replica in RECOVERY takes the life that it has learned of; it stays in RECOVERY.
  bool setLife(const LifeId& life);
  /// The session table as of `seqno` (log base < seqno <= committed and executed), as Sessions::serialize says.
  bool checkpointSessions(uint64_t seqno, std::vector<uint8_t>& out) const;
  /// A checkpoint at `seqno` was taken: it is due no more.
  void checkpointed(uint64_t seqno);
  /// Forgets entries up to `seqno`, which must be committed and executed; replies that may be asked for again are kept.
  /// Execution that waited for room goes on.
  bool truncate(uint64_t seqno);
  /// The committed state at `seqno` takes the place of everything: the log is empty behind it. The machine is the caller's part.
  /// In RECOVERY, in RECONCILIATION, or NORMAL in a LEADER view when the log ends at or before it; never below what is committed.
  bool restore(uint64_t seqno, const log::Position& position, Bytes sessions);
  /// Appends entries that are known to be committed, in RECOVERY or NORMAL in a LEADER view; executes and commits up to there.
  /// False: malformed, and nothing was done; or there was no room for all or the machine stands still, and log().end() tells how far
  /// it went.
  bool appendCommitted(const std::vector<Bytes>& records, Bytes hashes = {});
  /// Appends to `out` committed entries from `from` to `to`, base < from <= committed, as many as `maxBytes` hold and at least one: the
  /// summary hash of the last, then for each the length of its record (u32) and the record. How many.
  uint32_t committedRun(uint64_t from, uint64_t to, size_t maxBytes, std::vector<uint8_t>& out) const;
  /// appendCommitted for such a run that begins behind the log's end; `hashes` as there, else they are computed. How many entries
  /// were left out, or -1: malformed, or not what has that summary hash, and nothing was done.
  int64_t appendRun(Bytes run, Bytes hashes);
  /// The machine, rolled back to from - 1, executes [from, to] again; true if all results are what they were. Nobody is answered.
  bool reexecute(uint64_t from, uint64_t to);

  // the explorer (replica_state.cc)
  /// Everything that decides what this engine does next, but for pacing and measurement. False, without effect, where that is more
  /// than save() knows: the log was truncated, a read waits, an upcall runs, the log is kept on disk, or the view is FAST.
  bool save(std::vector<uint8_t>& out) const;
  /// What save() of an engine with the same configuration gave takes the place of all that is here.
  bool load(Bytes in);

  uint64_t nowUs() const { return fabric_->nowUs(this); }

  const log::Log& log() const { return log_; }
  const log::Sessions& sessions() const { return sessions_; }
  uint64_t view() const { return view_; }
  uint64_t committed() const { return committed_; }
  Status status() const { return status_; }
  const ReplicaConfig& config() const { return config_; }
  fabric::EndpointId endpoint() const { return unicast_; }
  /// Of the multicast group, where there is one.
  fabric::EndpointId groupEndpoint() const { return multicast_; }
  fabric::Fabric& fabric() { return *fabric_; }

 private:
  struct PendingReply { uint32_t stream; MessageType type; std::vector<uint8_t> body; uint16_t count; };
  struct Buffered { uint32_t stream, generation; uint64_t sender; uint64_t tag; std::vector<uint8_t> record; };
  struct Complaint { uint64_t session, seqno; };
  struct Control { MessageType type; uint64_t sender; uint32_t stream; std::vector<uint8_t> body; };

  bool guard(uint32_t bit) const;
  void drop(DropReason reason);
  void onRequestFrame(const wire::Opened& frame);
  bool onRecord(const wire::Record& record, uint32_t stream, uint8_t flags, uint8_t attempt);
  void onReadFrame(const wire::Opened& frame);
  bool knows(const WaitingRead& read) const;
  bool readable(const WaitingRead& read) const;
  void answerReads();
  size_t runReads(size_t from);
  void takeAnswer(WaitingRead& read, uint64_t seqno, wire::ResultStatus status, Bytes result);
  void answerRead(WaitingRead& read, uint64_t seqno, wire::ResultStatus status, Bytes result);
  void onHello(const wire::Opened& frame);
  void reject(Bytes datagram, DropReason reason, const fabric::Address& to);
  void appendRecord(const wire::Record& record, const uint8_t* hash = nullptr);
  void executePending(bool reply);
  uint32_t fillRows(uint64_t from, uint64_t to, uint64_t& last);
  void replyTo(uint64_t seqno, bool wantFull, uint8_t attempt);
  void replyToSlot(uint32_t session, const log::Slot& slot, bool wantFull, uint8_t attempt);
  void replyToRegistration(uint32_t session);
  bool mayReply(uint64_t seqno) const;
  /// Whether a crash leaves it that this replica was in this view. Its leader gives no entry a place before: the first view of an epoch has
  /// no START-VIEW, so a leader that forgot would begin it a second time, with other entries in those places.
  bool viewLasts() const { return !waits_ || viewDurable_; }
  /// Whether a crash leaves the log up to `seqno`, and that it is the log of this view.
  bool lasts(uint64_t seqno) const { return viewLasts() && (!waits_ || seqno <= (mode_ == Mode::Fast ? lastingAccepted() : durable_)); }
  /// The log's end that this replica acknowledges.
  uint64_t lastingEnd() const { return !waits_ ? log_.end() : viewDurable_ ? durable_ : 0; }
  void beginUndurable(uint64_t keepTo);
  void tellAppended();
  void addReply(uint32_t session, uint64_t request, uint64_t seqno, const uint8_t* hash, uint8_t flags, wire::ResultStatus status, Bytes result);
  void addReplyToStream(uint32_t stream, const wire::ReplyRecord& record, MessageType type = MessageType::Reply);
  void emitReply(PendingReply& pending);
  void emitReplies();
  bool deliverControl();
  void tick();
  void takeBuffered();
  void readClock();
  void raiseCommitted(uint64_t seqno);
  /// Replica index or -1 (all) as a bit mask.
  uint32_t maskOf(int32_t replica) const { return replica < 0 ? ~0u : replica < static_cast<int32_t>(config_.n) ? 1u << replica : 0; }
  void sendMessage(uint32_t replicas, MessageType type, Bytes body);

  // LEADER views (replica_leader.cc)
  void beginView();
  int joinGroup();
  uint32_t answering();
  bool accepts() const;
  bool endsEpoch() const;
  void tellMembers(uint32_t stream);
  bool inFastView() const { return mode_ == Mode::Fast && status_ == Status::Normal; }
  bool inLeaderView() const { return mode_ == Mode::Leader && status_ == Status::Normal; }
  void onLeaderFrame(const wire::Opened& frame);
  void onPrepare(const wire::Opened& frame);
  void onPrepareOk(const wire::Opened& frame);
  void onForward(const wire::Opened& frame);
  void onBackupRequest(const wire::Record& record, uint8_t flags, uint8_t attempt);
  void forward(const wire::Record& record);
  void appendPrepared(const wire::Prepare& prepare);
  void keepEarly(Bytes body);
  void takeEarly();
  void compareArrival(const wire::Record& record);
  void replicate();
  void commitAcknowledged();
  void sendPrepares();
  void resend();
  void sendPrepareOk();
  uint64_t sendPrepare(uint32_t replicas, uint64_t first, uint64_t last, uint32_t most);
  void handUp(const wire::Opened& frame, size_t bytes);

  // FAST views (replica_fast.cc)
  uint64_t acceptedEnd() const;
  uint64_t lastingAccepted() const;
  void onFastFrame(const wire::Opened& frame);
  void onFastPrepare(const wire::Opened& frame);
  void onFastVote(const wire::Opened& frame);
  bool accept(const wire::FastPrepare& prepare);
  void displace(uint64_t from, std::vector<std::vector<uint8_t>>& out);
  void sendFastVote();
  void judgeVote(FastView::Backup& backup, uint64_t seqno, const uint8_t* hash, bool overtaken);
  void replicateFast();
  void commitVotes();
  void classicRound(uint32_t replicas);
  bool sendFastPrepare(uint32_t replica);
  void tellCommit(uint32_t replicas);
  void prepareFastAgain(int32_t to);
  void fastStats(double* out) const;
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
  const bool tracing_, persists_, waits_;   // waits_: Durability::Sync
  bool hears_ = true;                  // ... the multicast group
  bool hasLife_ = false, halted_ = false, closed_ = false, executing_ = false, progressed_ = false;
  LifeId life_{};                      // that of the cluster; frames are sealed under the epoch's
  uint32_t epoch_ = 0;
  bool closing_ = false;               // the view's log ends with the reconfiguration that ends the epoch: nothing is appended
  uint64_t progressAt_ = 0;
  bool viewDurable_ = false;           // view, v_l and mode are on disk
  uint64_t durable_ = 0;               // ... and the log up to here
  uint64_t released_ = 0;              // entries up to here were answered, if executed, when they became durable
  uint64_t durableAccepted_ = 0;       // ... and, of a FAST view, that it is the leader's up to here
  uint64_t exported_ = 0;              // the host has taken the log up to here
  uint64_t displacedTo_ = ~uint64_t{0};   // see takeDisplaced()
  uint64_t clockLimitUs_ = 0;          // wall clock of this batch + the allowed skew
  uint64_t rejectWindowUs_ = 0;
  uint32_t rejects_ = 0;
  uint64_t messageKey_ = 0;

  bool leads_ = false;                 // view_ mod n is this replica
  bool newerViewSeen_ = false;         // handed up in this batch
  LeaderView leader_{};
  FastView fast_{};
  uint64_t accepted_ = 0;              // FAST views: see acceptedEnd()
  Arrivals arrivals_;                  // of a backup
  std::vector<uint8_t> early_[kPrepareWindow];   // of a backup: PREPAREs of this view that overtook others; empty: free
  std::vector<uint8_t> prepareBody_;   // capacity is kept
  uint64_t forwardWindowUs_ = 0;
  uint32_t forwards_ = 0;
  uint64_t tickedCommitted_ = 0;       // the control plane knows of commits up to here

  std::vector<PendingReply> pending_;   // by order of first use in this batch; capacity is kept
  size_t pendingUsed_ = 0;
  std::vector<Control> control_;
  std::vector<Complaint> complaints_;
  std::deque<Buffered> buffered_;
  size_t bufferedBytes_ = 0;
  ReadQueue reads_;
  std::vector<uint32_t> readBatch_;     // places in reads_ of the rows of one upcall
};

}  // namespace squall::protocol
