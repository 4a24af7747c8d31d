// What a FAST view adds to a replica's state: plain data, set anew when a view begins.
#pragma once

#include "wire/types.h"

namespace squall::protocol {

/// Votes of one backup that may wait for the leader's own log to come so far.
constexpr uint32_t kWaitingVotes = 8;

struct FastView {
  struct Vote {
    uint64_t seqno;            // 0: free
    uint8_t hash[kReplyHashBytes];
  };
  /// What the leader knows of a backup.
  struct Backup {
    uint64_t matched;          // its log is the leader's up to here
    uint64_t accepted;         // ... and it has that from the leader, not from the clients alone
    uint64_t heardUs;          // its last FAST-VOTE of this view; 0: none yet
    uint64_t preparedTo;       // end of the last FAST-PREPARE to it with records, ...
    uint64_t preparedUs;       // ... and when that left
    Vote waiting[kWaitingVotes];
    bool differs;              // its last vote was for another log
    bool gap;                  // it says that a FAST-PREPARE did not fit its log
  };
  Backup backups[kMaxReplicas];
  bool classic;                // the fast quorum does not answer: every batch is prepared at once, ...
  uint64_t classicFrom;        // ... until a superquorum has voted for an entry behind this one
  uint64_t prepared;           // in that case: all up to here was

  // at a backup
  uint64_t told;               // highest commit that the leader told of in this view
  uint64_t voted;              // log end of its last vote, ...
  uint64_t votedAccepted;      // ... and what that said to be accepted
  bool voteDue, gapDue;        // a FAST-VOTE leaves at the end of this batch
};

}  // namespace squall::protocol
