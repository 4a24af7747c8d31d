// The simulator's random numbers: the same on every platform, hence no floating point.
#include <bit>

#include "fabric/loop_internal.h"

namespace squall::fabric {
namespace {

uint64_t splitmix(uint64_t& state) {
  uint64_t z = (state += 0x9E3779B97F4A7C15ull);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

// log2(1 + i/256) in 1/65,536ths, by repeated squaring.
constexpr uint32_t log2Fraction(uint32_t i) {
  uint64_t x = (256ull + i) << 22;        // 1.0 is 1 << 30
  uint32_t result = 0;
  for (int bit = 15; bit >= 0; --bit) {
    x = (x * x) >> 30;
    if (x >= 2ull << 30) { x >>= 1; result |= 1u << bit; }
  }
  return result;
}
struct LogTable {
  uint32_t value[257];
  constexpr LogTable() : value{} {
    for (uint32_t i = 0; i < 256; ++i) value[i] = log2Fraction(i);
    value[256] = 65'536;
  }
};
constexpr LogTable kLog;
constexpr uint64_t kLn2Q32 = 2'977'044'472ull;

}  // namespace

uint64_t streamSeed(uint64_t seed, uint64_t kind, uint64_t a, uint64_t b) {
  uint64_t state = seed;
  state = splitmix(state) ^ kind;
  state = splitmix(state) ^ a;
  state = splitmix(state) ^ b;
  return splitmix(state);
}

Random::Random(uint64_t seed) {
  for (uint64_t& word : state_) word = splitmix(seed);
}

uint64_t Random::next() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

uint64_t Random::exponential(uint64_t mean) {
  // -ln(u / 2^64) with u = m / 2^z and m's top bit set: (z + 1 - log2(m / 2^63)) * ln 2.
  const uint64_t u = next() | 1;
  const int z = std::countl_zero(u);
  const uint64_t m = u << z;
  const uint32_t index = static_cast<uint32_t>(m >> 55) & 255;
  const uint32_t rest = static_cast<uint32_t>(m >> 39) & 65'535;
  const uint32_t log = kLog.value[index] + (((kLog.value[index + 1] - kLog.value[index]) * rest) >> 16);
  const uint64_t exponent = (static_cast<uint64_t>(z + 1) << 16) - log;
  const auto value = (static_cast<unsigned __int128>(mean) * exponent * kLn2Q32) >> 48;
  const auto clip = static_cast<unsigned __int128>(mean) * 10;
  return static_cast<uint64_t>(value < clip ? value : clip);
}

void Random::fill(uint8_t* out, size_t length) {
  while (length > 0) {
    const uint64_t word = next();
    for (size_t i = 0; i < 8 && length > 0; ++i, --length) *out++ = static_cast<uint8_t>(word >> (8 * i));
  }
}

}  // namespace squall::fabric
