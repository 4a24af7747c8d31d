// What a client keeps of one read that is under way.
#pragma once

#include <vector>

#include "wire/read_records.h"

namespace squall::client {

struct ReadVote {
  uint64_t view = 0, seqno = 0;
  uint32_t epoch = 0;
  Mode mode{};
  wire::ResultStatus status{};
  uint8_t hash[kReplyHashBytes] = {};
};

struct Read {
  uint64_t id = 0, firstSentUs = 0, dueUs = 0;
  std::vector<uint8_t> record;              // sent again with another attempt and nothing else changed
  wire::Consistency consistency{};
  uint8_t attempt = 0;
  uint8_t replica = 0;                      // of a session's and of stale reads: who is asked
  bool active = false;
  ReadVote votes[kMaxReplicas];
  std::vector<uint8_t> results[kMaxReplicas];
  uint32_t voters = 0, full = 0;            // replicas that answered this try, and those that sent the result (bit masks)
};

}  // namespace squall::client
