#include "wire/crypto.h"

#include <dlfcn.h>

#include <utility>

namespace squall::wire {

namespace {

constexpr int kCtrlGetTag = 0x10;   // EVP_CTRL_AEAD_GET_TAG
constexpr int kCtrlSetTag = 0x11;   // EVP_CTRL_AEAD_SET_TAG
constexpr int kTag = 16;
constexpr size_t kShaBlock = 64;

// Memory layout of OpenSSL's SHA256_CTX, unchanged since 0.9.8: what the low-level functions work on.
struct ShaState {
  uint32_t h[8];
  uint32_t lengthLow, lengthHigh;
  uint32_t data[16];
  uint32_t used, digestLength;
};
static_assert(sizeof(ShaState) == 112 && sizeof(ShaState) <= 128 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

struct OpenSsl {
  int (*shaInit)(ShaState*);
  int (*shaUpdate)(ShaState*, const void*, size_t);
  int (*shaFinal)(uint8_t*, ShaState*);
  void* (*contextNew)();
  void (*contextFree)(void*);
  int (*sealInit)(void*, const void* cipher, void* engine, const uint8_t* key, const uint8_t* nonce);
  int (*sealUpdate)(void*, uint8_t* out, int* outLength, const uint8_t* in, int length);
  int (*sealFinal)(void*, uint8_t* out, int* outLength);
  int (*openInit)(void*, const void* cipher, void* engine, const uint8_t* key, const uint8_t* nonce);
  int (*openUpdate)(void*, uint8_t* out, int* outLength, const uint8_t* in, int length);
  int (*openFinal)(void*, uint8_t* out, int* outLength);
  int (*control)(void*, int type, int argument, void* pointer);
  const void* aes128gcm;
  bool ok;
};

template <class F> bool find(void* library, const char* name, F& out) {
  out = reinterpret_cast<F>(dlsym(library, name));
  return out != nullptr;
}

bool resolve(void* library, OpenSsl& s) {
  if (!find(library, "SHA256_Init", s.shaInit) || !find(library, "SHA256_Update", s.shaUpdate) ||
      !find(library, "SHA256_Final", s.shaFinal) || !find(library, "EVP_CIPHER_CTX_new", s.contextNew) ||
      !find(library, "EVP_CIPHER_CTX_free", s.contextFree) || !find(library, "EVP_EncryptInit_ex", s.sealInit) ||
      !find(library, "EVP_EncryptUpdate", s.sealUpdate) || !find(library, "EVP_EncryptFinal_ex", s.sealFinal) ||
      !find(library, "EVP_DecryptInit_ex", s.openInit) || !find(library, "EVP_DecryptUpdate", s.openUpdate) ||
      !find(library, "EVP_DecryptFinal_ex", s.openFinal) || !find(library, "EVP_CIPHER_CTX_ctrl", s.control))
    return false;
  // From OpenSSL 3 on, a cipher that is not fetched in advance is fetched anew whenever a key is set.
  void* (*fetch)(void*, const char*, const char*) = nullptr;
  s.aes128gcm = find(library, "EVP_CIPHER_fetch", fetch) ? fetch(nullptr, "AES-128-GCM", nullptr) : nullptr;
  if (!s.aes128gcm) {
    const void* (*legacy)() = nullptr;
    if (find(library, "EVP_aes_128_gcm", legacy)) s.aes128gcm = legacy();
  }
  s.ok = s.aes128gcm != nullptr;
  return s.ok;
}

OpenSsl load() {
  OpenSsl s{};
  if (resolve(RTLD_DEFAULT, s)) return s;
  for (const char* name : {"libcrypto.so.3", "libcrypto.so.1.1"}) {
    s = {};
    void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library && resolve(library, s)) return s;
    if (library) dlclose(library);
  }
  return {};
}

const OpenSsl& ssl() {
  static const OpenSsl table = load();
  return table;
}

ShaState* shaState(uint8_t* bytes) { return reinterpret_cast<ShaState*>(bytes); }

bool setNonce(int (*init)(void*, const void*, void*, const uint8_t*, const uint8_t*), void* context, uint64_t counter) {
  uint8_t nonce[12] = {};
  std::memcpy(nonce, &counter, sizeof counter);
  return init(context, nullptr, nullptr, nullptr, nonce) == 1;
}

}  // namespace

bool cryptoAvailable() { return ssl().ok; }

void sha256(Bytes data, Hash& out) { sha256(data, {}, out); }

void summaryHash(const uint8_t* previous, Bytes record, Hash& out) {
  const OpenSsl& s = ssl();
  if (!s.ok) return out.fill(0);
  ShaState state;
  for (size_t i = 0; i < 8; i++) {
    uint32_t word;
    std::memcpy(&word, previous + 4 * i, sizeof word);
    state.h[i] = __builtin_bswap32(word);
  }
  state.lengthLow = state.lengthHigh = state.used = 0;
  state.digestLength = 32;
  // Padded here (FIPS 180-4, 5.1.1), and what is short in one piece: each call of the library costs as much as a third of a block.
  constexpr size_t kShortBlocks = 4, kTrailer = 9;      // a byte, and the length in bits
  uint8_t blocks[kShortBlocks * kShaBlock];
  const size_t rest = record.size() + kTrailer <= sizeof blocks ? record.size() : record.size() % kShaBlock;
  if (rest < record.size()) s.shaUpdate(&state, record.data(), record.size() - rest);
  const size_t end = (rest + kTrailer + kShaBlock - 1) / kShaBlock * kShaBlock;
  if (rest != 0) std::memcpy(blocks, record.data() + (record.size() - rest), rest);
  blocks[rest] = 0x80;
  std::memset(blocks + rest + 1, 0, end - rest - 1);
  const uint64_t bits = __builtin_bswap64(uint64_t{record.size()} * 8);
  std::memcpy(blocks + end - sizeof bits, &bits, sizeof bits);
  s.shaUpdate(&state, blocks, end);
  for (size_t i = 0; i < 8; i++) {
    const uint32_t word = __builtin_bswap32(state.h[i]);
    std::memcpy(out.data() + 4 * i, &word, sizeof word);
  }
}

void sha256(Bytes a, Bytes b, Hash& out) {
  const OpenSsl& s = ssl();
  if (!s.ok) return out.fill(0);
  ShaState state;
  s.shaInit(&state);
  if (!a.empty()) s.shaUpdate(&state, a.data(), a.size());
  if (!b.empty()) s.shaUpdate(&state, b.data(), b.size());
  s.shaFinal(out.data(), &state);
}

void Sha256::reset() {
  if (ssl().ok) ssl().shaInit(shaState(state_));
}

void Sha256::update(Bytes data) {
  if (ssl().ok && !data.empty()) ssl().shaUpdate(shaState(state_), data.data(), data.size());
}

void Sha256::finish(Hash& out) {
  if (!ssl().ok) return out.fill(0);
  ssl().shaFinal(out.data(), shaState(state_));
}

void hmacSha256(Bytes key, Bytes data, Hash& out) {
  uint8_t block[kShaBlock] = {};
  if (key.size() > kShaBlock) {
    Hash shortened;
    sha256(key, shortened);
    std::memcpy(block, shortened.data(), shortened.size());
  } else if (!key.empty()) {
    std::memcpy(block, key.data(), key.size());
  }
  for (uint8_t& b : block) b ^= 0x36;
  Hash inner;
  sha256(block, data, inner);
  for (uint8_t& b : block) b ^= 0x36 ^ 0x5c;
  sha256(block, inner, out);
}

void hkdf(Bytes secret, Bytes info, Key& out) {
  Hash extracted;
  hmacSha256({}, secret, extracted);
  // T(1) = HMAC(extracted, info | 1), in two pieces so that an info of any length needs no buffer.
  uint8_t inner[kShaBlock], outer[kShaBlock];
  for (size_t i = 0; i < kShaBlock; i++) {
    const uint8_t k = i < extracted.size() ? extracted[i] : 0;
    inner[i] = k ^ 0x36;
    outer[i] = k ^ 0x5c;
  }
  const uint8_t one = 1;
  Sha256 h;
  h.update(inner);
  h.update(info);
  h.update({&one, 1});
  Hash innerHash;
  h.finish(innerHash);
  sha256(outer, innerHash, out);
}

Aead::~Aead() {
  if (seal_) ssl().contextFree(seal_);
  if (open_) ssl().contextFree(open_);
}

Aead::Aead(Aead&& other) noexcept
    : seal_(std::exchange(other.seal_, nullptr)), open_(std::exchange(other.open_, nullptr)) {}

Aead& Aead::operator=(Aead&& other) noexcept {
  std::swap(seal_, other.seal_);
  std::swap(open_, other.open_);
  return *this;
}

bool Aead::init(Bytes key16, Use use) {
  const OpenSsl& s = ssl();
  if (!s.ok || key16.size() != 16) return false;
  auto prepare = [&](void*& context, auto setKey, bool wanted) {
    if (!wanted) {
      if (context) s.contextFree(context);   // never leave another key behind
      context = nullptr;
      return true;
    }
    const void* cipher = nullptr;
    if (!context) {
      context = s.contextNew();
      cipher = s.aes128gcm;
    }
    if (context && setKey(context, cipher, nullptr, key16.data(), nullptr) == 1) return true;
    if (context) s.contextFree(context);
    context = nullptr;
    return false;
  };
  const bool sealing = prepare(seal_, s.sealInit, use != Use::OpenOnly);
  const bool opening = prepare(open_, s.openInit, use != Use::SealOnly);
  return sealing && opening;
}

bool Aead::seal(uint64_t counter, Bytes aad, Bytes in, uint8_t* out, uint8_t* tag) {
  if (!seal_) return false;
  const OpenSsl& s = ssl();
  int length = 0;
  if (!setNonce(s.sealInit, seal_, counter)) return false;
  if (!aad.empty() && s.sealUpdate(seal_, nullptr, &length, aad.data(), static_cast<int>(aad.size())) != 1) return false;
  if (!in.empty() && s.sealUpdate(seal_, out, &length, in.data(), static_cast<int>(in.size())) != 1) return false;
  uint8_t none[16];
  return s.sealFinal(seal_, none, &length) == 1 && s.control(seal_, kCtrlGetTag, kTag, tag) == 1;
}

bool Aead::open(uint64_t counter, Bytes aad, Bytes in, uint8_t* out, const uint8_t* tag) {
  if (!open_) return false;
  const OpenSsl& s = ssl();
  int length = 0;
  if (!setNonce(s.openInit, open_, counter)) return false;
  if (!aad.empty() && s.openUpdate(open_, nullptr, &length, aad.data(), static_cast<int>(aad.size())) != 1) return false;
  if (!in.empty() && s.openUpdate(open_, out, &length, in.data(), static_cast<int>(in.size())) != 1) return false;
  uint8_t none[16];
  return s.control(open_, kCtrlSetTag, kTag, const_cast<uint8_t*>(tag)) == 1 && s.openFinal(open_, none, &length) == 1;
}

}  // namespace squall::wire
