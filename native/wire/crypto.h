// SHA-256, HMAC and AES-128-GCM by the OpenSSL that is already in the process (Node's own): resolved at run time,
// never linked. A process without these symbols gets cryptoAvailable() == false and a typed error above.
#pragma once

#include "wire/types.h"

namespace squall::wire {

/// Resolves the symbols once per process (dlsym on the running image, then libcrypto.so.3 / libcrypto.so.1.1 for
/// programs outside Node such as the unit tests). Thread safe, idempotent.
bool cryptoAvailable();

void sha256(Bytes data, Hash& out);
void sha256(Bytes a, Bytes b, Hash& out);
/// The step of the summary hash (section 4.2.1): the record, padded as a message of its own, goes through SHA-256's compression function from
/// the former summary (32 bytes; zeros at the log's start) as its initial value. A log is thus one Merkle-Damgaard chain in which each record
/// carries its length, and no two logs share a summary unless the compression function collides. Hashing the former summary as data in
/// front of the record would take a block more for most operations. `previous` may be `out`.
void summaryHash(const uint8_t* previous, Bytes record, Hash& out);
/// Incremental, for trace hashes and large states.
class Sha256 {
 public:
  Sha256() { reset(); }
  void reset();
  void update(Bytes data);
  void finish(Hash& out);      // call reset() before reuse
 private:
  alignas(8) uint8_t state_[128];
};
void hmacSha256(Bytes key, Bytes data, Hash& out);
/// HKDF-SHA256 (RFC 5869) with an empty salt, one output block.
void hkdf(Bytes secret, Bytes info, Key& out);

/// AES-128-GCM with one key, reused contexts; nonce = counter (8 bytes LE) followed by 4 zero bytes.
class Aead {
 public:
  /// A stream goes one way: half of the contexts, and half of the time to set a key, are enough for it.
  enum class Use : uint8_t { Both, SealOnly, OpenOnly };
  Aead() = default;
  ~Aead();
  Aead(Aead&&) noexcept;
  Aead& operator=(Aead&&) noexcept;
  Aead(const Aead&) = delete;
  Aead& operator=(const Aead&) = delete;
  /// Sets the key; may be called again, with the contexts reused. False without crypto.
  bool init(Bytes key16, Use use = Use::Both);
  bool ready() const { return seal_ != nullptr || open_ != nullptr; }
  /// in and out may be the same memory. tag: 16 bytes. False also if the key is not ready for this direction; after a
  /// failed open() the content of out is not to be used.
  bool seal(uint64_t counter, Bytes aad, Bytes in, uint8_t* out, uint8_t* tag);
  bool open(uint64_t counter, Bytes aad, Bytes in, uint8_t* out, const uint8_t* tag);
 private:
  void* seal_ = nullptr;
  void* open_ = nullptr;
};

}  // namespace squall::wire
