// What a LEADER view adds to a replica's state: plain data, set anew when a view begins.
#pragma once

#include "wire/types.h"

namespace squall::protocol {

/// PREPAREs that may be under way at once; what arrives meanwhile is the next one's batch.
constexpr uint32_t kPrepareWindow = 8;

/// PREPAREs of entries sent again that one backup may have ahead of it.
constexpr uint32_t kResendWindow = 4;

struct LeaderView {
  /// What the leader knows of a backup.
  struct Backup {
    uint64_t acked;            // it has the log up to here, with the leader's hash
    uint64_t heardUs;          // its last PREPARE-OK of this view; 0: none yet
    uint64_t askedUs;          // when the first PREPARE left that it has not answered; 0: none has
    uint64_t resentUs;         // when entries were last sent to it again,
    uint64_t resentAt;         // where its log ended by then,
    uint64_t resentTo[kResendWindow];   // the last seqnos of those PREPAREs,
    uint64_t missedTo;         // and of what it may have lacked: all that had been sent by then
    uint64_t waitUs;           // as long as nothing of it comes
    uint32_t compared, inverted, absent;
    bool resend;
  };
  Backup backups[kMaxReplicas];
  uint64_t start;              // log end with which the view began: whoever is NORMAL in it has these entries
  uint64_t prepared;           // highest seqno that a PREPARE carried; start at first
  uint64_t inFlight[kPrepareWindow];   // last seqnos of the PREPAREs under way, oldest at inFlightFirst
  uint32_t inFlightFirst, inFlightCount;

  // at a backup
  uint64_t lastCompared;       // arrival number of the last request compared
  uint32_t compared, inverted, absent;
  uint64_t told;               // highest commit that the leader told of in this view
  uint32_t early;              // PREPAREs since the last one that could be appended which began behind a gap
  bool okDue, okGap;           // a PREPARE-OK leaves at the end of this batch
  uint32_t forwardsInBatch;
};

}  // namespace squall::protocol
