// Messages that arrive in fragments. Fragments of several transmissions of one message complete each other; memory
// follows what has arrived, never what a fragment claims.
#pragma once

#include <memory>
#include <vector>

#include "wire/types.h"

namespace squall::wire {

class Reassembler {
 public:
  /// Each class has a budget of its own, so that clients never starve replicas.
  enum class Class : uint8_t { Client, Replica };
  struct Limits {
    uint32_t clientMessageBytes;
    uint32_t replicaMessageBytes;
    uint32_t budgetBytes;          // of all partial messages of a class
    uint32_t perStream;
  };
  // Smaller fragments than this, but for the last one, come from no honest sender and would cost more than they bring.
  static constexpr uint32_t kMinFragmentBytes = 128;
  // A partial message makes room for others only when so many fragments of its class came after its latest one:
  // two large messages at a time then finish one after the other instead of displacing each other for ever.
  static constexpr uint64_t kPatience = 4096;

  explicit Reassembler(const Limits& limits);
  ~Reassembler();

  /// `fragment`: message key 8, total bytes 4, offset 4, part. On the fragment that completes a message `complete` is
  /// set and `message` is valid until the next call; it may point into `fragment`.
  /// `mayExceedBudget`: one message at a time may be larger than the budget, up to replicaMessageBytes.
  DropReason add(uint32_t stream, Class from, bool mayExceedBudget, uint8_t type, Bytes fragment, bool& complete,
                 Bytes& message);
  void dropStream(uint32_t stream);
  void clear();
  uint64_t heldBytes() const;      // of all partial messages, overhead included
  size_t partials(uint32_t stream) const;

 private:
  struct Partial;
  struct List { Partial* newest = nullptr; Partial* oldest = nullptr; };
  struct Pool { List list; uint64_t bytes = 0, tick = 0; };
  enum : uint8_t { kClients, kReplicas, kLarge, kPools };

  Partial* find(uint32_t stream, uint8_t type, uint64_t key) const;
  bool makeRoom(uint8_t pool, uint64_t bytes, const Partial* keep);
  void discard(Partial* partial);
  bool assemble(Partial& partial, Bytes& message);
  void touch(Partial& partial);
  static void push(List& list, Partial* partial, int which);
  static void remove(List& list, Partial* partial, int which);

  Limits limits_;
  Pool pools_[kPools];
  struct PerStream { List list; uint32_t count = 0; };
  std::vector<PerStream> streams_;
  std::vector<uint8_t> spare_;               // the latest message, when small: the room is used again
  std::unique_ptr<uint8_t[]> large_;         // the latest message, when large: freed by the next call
};

}  // namespace squall::wire
