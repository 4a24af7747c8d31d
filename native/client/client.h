// A client session: sends requests to all replicas, counts matching speculative replies, retransmits (section 4.2.2).
// No I/O of its own; a window of request slots, reused, so that steady state allocates nothing.
#pragma once

#include <memory>
#include <vector>

#include "client/client_reads.h"
#include "fabric/fabric.h"
#include "wire/channel.h"
#include "wire/members.h"
#include "wire/records.h"

namespace squall::client {

enum class ClientState : uint32_t { Hello = 0, Registering = 1, Ready = 2, LifeChanged = 3, Evicted = 4, Closed = 5 };
enum class Misbehave : uint8_t { None, Reuse, Equivocate };   // adversaries, on the simulator's fabric only

struct ClientConfig {
  uint64_t group = 0, clientId = 0;
  Key key{};
  std::vector<fabric::Address> replicas;
  fabric::Address target;               // multicast group or relay; family 0: every replica by unicast
  fabric::Address bind, multicastInterface;
  bool sealed = true, ordered = false;
  bool toLeader = false;                // a request's first try goes to the leader alone
  uint32_t datagramBytes = 1400, maxOperationBytes = 1u << 20, window = 64;
  uint32_t minRetryMs = 5, maxRetryMs = 500;
  uint32_t guardsOff = 0;
  Misbehave misbehave = Misbehave::None;
};

/// `flags`: of a request its record's flags, of a read its consistency.
struct RequestRow { uint32_t slot, offset, length, flags; };
enum CompletionKind : uint32_t {
  kRequestDone = 0, kReadDone = 1,
  kReadUnsettled = 2,    // the replicas' answers never matched: the result is the operation, to be sent as a logged one
};
struct CompletionRow { uint32_t slot, status, offset, length, seqnoLo, seqnoHi, latencyUs, kind; };
static_assert(sizeof(CompletionRow) == 32);

/// Indices of the status table; the same list as ClientWord in src/data/binding.ts.
enum ClientWord : uint32_t {
  kState, kSessionLo, kSessionHi, kRequestsSent, kRetransmissions, kCompletions, kMismatches, kComplaints, kRttUs, kRetryUs,
  kClientFramesReceived, kClientFramesSent, kRejectWrongGroup, kRejectBadKey, kRejectVersion, kWelcomes, kBlank, kClientView,
  kCommittedReplies, kResends, kReadsDone, kReadRetries, kReadMismatches, kReadsLogged, kEpoch, kClientDropBase = 32, kClientWords = 64,
};

struct ClientRegion {
  double* status = nullptr;
  const RequestRow* requests = nullptr;
  uint32_t requestCapacity = 0;
  const RequestRow* reads = nullptr;
  uint32_t readCapacity = 0;       // reads under way at once
  const uint8_t* arena = nullptr;
  size_t arenaBytes = 0;
  CompletionRow* completions = nullptr;
  uint32_t completionCapacity = 0;
  uint8_t* results = nullptr;
  size_t resultBytes = 0;
};

class ClientUpcalls {
 public:
  virtual ~ClientUpcalls() = default;
  virtual void complete(uint32_t count) = 0;
  virtual void state(ClientState state) = 0;
};

class Client final : public fabric::Receiver {
 public:
  Client(std::shared_ptr<fabric::Fabric> fabric, ClientConfig config, ClientRegion region, ClientUpcalls& upcalls);
  ~Client() override;
  int open();                     // endpoint: 0 or an errno
  void start();                   // greets the replicas
  void close();
  /// Takes request rows [0, count); false if one names a busy slot or lies outside the arena.
  bool flush(uint32_t count);
  /// The same for read rows, whose slots are any that are free.
  bool flushReads(uint32_t count);
  void setAddresses(std::vector<fabric::Address> replicas, const fabric::Address& target);
  void scramble(bool on) { scramble_ = on; }

  uint64_t group() const override { return config_.group; }
  uint64_t destination() const override { return session_; }     // the first bytes of the salt
  void onDatagram(const fabric::Datagram& datagram) override;
  void onBatchEnd() override;
  void onTimer() override;

  uint64_t nowUs() const { return fabric_->nowUs(this); }
  uint64_t session() const { return session_; }
  fabric::EndpointId endpoint() const { return endpoint_; }
  fabric::Fabric& fabric() { return *fabric_; }

 private:
  struct Vote {
    uint64_t view = 0, seqno = 0;
    uint8_t hash[kReplyHashBytes] = {};
    wire::ResultStatus status{};
  };
  struct Request {
    uint64_t number = 0, firstSentUs = 0, dueUs = 0, retryUs = 0;
    std::vector<uint8_t> record;          // sent again byte for byte
    Vote votes[kMaxReplicas];
    uint32_t voters = 0;                  // replicas whose vote is valid (bit mask)
    uint64_t refusals = 0;                // replicas that answered without logging it (bit mask)
    wire::ResultStatus refusal{};
    uint8_t attempt = 0;
    bool active = false, accepted = false, hasResult = false, complain = false;
    Vote agreed;                          // what was accepted
    Vote resultOf;                        // which entry `result` belongs to
    std::vector<uint8_t> result;
  };

  Request& slotOf(uint64_t number) {
    const uint64_t mask = config_.window - 1;
    return slots_[(config_.window & mask) == 0 ? number & mask : number % config_.window];
  }
  void greet();
  void registerSession();
  void onWelcome(const wire::Opened& frame, const fabric::Address& from);
  void onMembers(const wire::Opened& frame);
  void setReplicas(std::vector<fabric::Address> replicas);
  void onReplies(const wire::Opened& frame);
  void onReply(uint32_t replica, uint64_t view, const wire::ReplyRecord& reply);
  bool agree(const Vote& a, const Vote& b) const;
  static bool sameOutcome(const Vote& a, const Vote& b);
  void judge(Request& request);
  void finish(Request& request, wire::ResultStatus status, uint64_t seqno, Bytes result);
  void makeRoom(size_t resultBytes);
  void addCompletion(CompletionKind kind, uint32_t slot, uint64_t number, wire::ResultStatus status, uint64_t seqno, uint64_t latencyUs, Bytes result);
  void deliver();
  void again(Request& request, bool complain, uint64_t inUs);
  void transmit(Request* const* requests, size_t count, uint8_t flags, uint8_t attempt, bool direct);
  void transmitScrambled(Request* const* requests, size_t count);
  uint64_t readPatienceUs(const Read& read) const;
  void sendReads(bool direct);
  void emitReads(uint32_t to, uint64_t key, bool direct);
  void onReadReplies(const wire::Opened& frame);
  void onReadReply(uint32_t replica, const ReadVote& header, const wire::ReplyRecord& reply);
  void judgeRead(Read& read);
  void askAgain(Read& read, uint64_t inUs);
  uint64_t retryReads(uint64_t now);
  void saw(uint64_t seqno, const uint8_t* hash);
  void finishRead(Read& read, CompletionKind kind, wire::ResultStatus status, uint64_t seqno, Bytes result);
  void emit(const uint8_t* body, size_t length, uint64_t key, const fabric::Address* to, size_t count);
  void arm(uint64_t atUs);
  void setState(ClientState state);
  void observeRtt(uint64_t us);
  uint64_t retryUs(uint8_t attempt) const;

  std::shared_ptr<fabric::Fabric> fabric_;
  ClientConfig config_;
  ClientRegion region_;
  ClientUpcalls& upcalls_;
  wire::Channels channels_;
  fabric::EndpointId endpoint_ = fabric::kNoEndpoint;
  uint32_t n_ = 0, quorum_ = 0, readQuorum_ = 0, halfWindow_;
  bool matchView_, matchHash_;

  ClientState state_ = ClientState::Hello;
  uint64_t session_ = 0;
  uint64_t view_ = 0;                     // the newest heard of
  uint8_t nonce_[16] = {};
  LifeId life_{};                         // that of the cluster; zero until it is known
  std::vector<fabric::Address> named_;    // where the names of replicas led when they were looked up again
  uint32_t epoch_ = 0;
  LifeId offered_[kMaxReplicas] = {};
  uint32_t offers_ = 0;                   // replicas that named a life (bit mask)
  uint32_t greetings_ = 0;
  Request registration_;
  std::vector<Request> slots_;
  std::vector<Request*> batch_;
  uint64_t next_ = 1, low_ = 1;           // next request number; all below low_ are done
  uint32_t active_ = 0;
  std::vector<Read> reads_;               // by slot
  std::vector<Read*> readBatch_;
  std::vector<uint8_t> readBody_;
  uint64_t readsStarted_ = 0;
  uint32_t activeReads_ = 0;
  uint8_t readReplica_ = 0;               // whom a session's and stale reads ask, until it stays silent
  uint64_t seenSeqno_ = 0;                // the newest entry that this session has seen the effect of ...
  uint8_t seenHash_[kReplyHashBytes] = {};  // ... and the summary hash there
  uint64_t armedUs_ = ~0ull;
  double srttUs_ = 0, rttvarUs_ = 0;
  uint64_t lastHeardUs_ = 0;              // and the clock of the replies that are being judged
  uint32_t completed_ = 0;                // rows waiting for the upcall
  size_t resultUsed_ = 0;
  bool scramble_ = false, closed_ = false, announce_ = false;
};

}  // namespace squall::client
