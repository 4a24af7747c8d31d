// Reads that came and are not answered yet: bounded, in order of arrival, its places reused so that steady state allocates nothing.
#pragma once

#include <algorithm>
#include <vector>

#include "wire/read_records.h"

namespace squall::protocol {

struct WaitingRead {
  uint64_t id, minSeqno, arrivedUs;
  uint64_t seqno;                  // the log's end for which `result` was computed
  uint32_t stream, generation;
  uint8_t minHash[kReplyHashBytes];
  wire::Consistency consistency;
  uint8_t attempt;
  bool computed, done;
  wire::ResultStatus status;
  std::vector<uint8_t> operation, result;
};

class ReadQueue {
 public:
  static constexpr size_t kMaxReads = 4096;
  static constexpr size_t kMaxBytes = 16u << 20;    // of operations and of results that wait for a commit

  bool empty() const { return used_ == 0; }
  size_t size() const { return used_; }
  WaitingRead& operator[](size_t i) { return reads_[i]; }

  /// A place for a read with this operation, the rest for the caller to fill; null when the queue is full.
  WaitingRead* add(Bytes operation) {
    if (used_ == kMaxReads || bytes_ + operation.size() > kMaxBytes) return nullptr;
    if (used_ == reads_.size()) reads_.emplace_back();
    WaitingRead& read = reads_[used_++];
    bytes_ += operation.size();
    read.operation.assign(operation.begin(), operation.end());
    read.computed = read.done = false;
    return &read;
  }

  /// Keeps the result, computed at `seqno`, until that is committed; false when there is no room for it.
  bool keepResult(WaitingRead& read, uint64_t seqno, wire::ResultStatus status, Bytes result) {
    if (bytes_ + result.size() > kMaxBytes) return false;
    bytes_ += result.size();
    read.result.assign(result.begin(), result.end());
    read.seqno = seqno;
    read.status = status;
    read.computed = true;
    return true;
  }

  /// What was computed above `seqno` speaks of entries that are gone: it is to be computed anew.
  void rollBackTo(uint64_t seqno) {
    for (size_t i = 0; i < used_; i++) {
      if (reads_[i].seqno > seqno) forget(reads_[i]);
    }
  }

  /// The view ends: what linearizable reads were to be told of it, once that is on disk, is to be computed anew.
  void forgetUndurable() {
    for (size_t i = 0; i < used_; i++) if (reads_[i].consistency == wire::Consistency::Linearizable) forget(reads_[i]);
  }

  /// Forgets the reads that are done.
  void sweep() {
    size_t kept = 0;
    for (size_t i = 0; i < used_; i++) {
      if (reads_[i].done) {
        bytes_ -= reads_[i].operation.size() + reads_[i].result.size();
        clear(reads_[i].operation);
        clear(reads_[i].result);
      } else if (kept++ != i) {
        std::swap(reads_[kept - 1], reads_[i]);
      }
    }
    used_ = kept;
  }

 private:
  void forget(WaitingRead& read) {
    if (!read.computed || read.done) return;
    bytes_ -= read.result.size();
    read.result.clear();
    read.computed = false;
  }
  /// Places keep small buffers only: kMaxReads of the largest ones would never be given back.
  static void clear(std::vector<uint8_t>& bytes) {
    if (bytes.capacity() > 4096) bytes = {};
    else bytes.clear();
  }

  std::vector<WaitingRead> reads_;
  size_t used_ = 0, bytes_ = 0;
};

}  // namespace squall::protocol
