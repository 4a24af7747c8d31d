#include "wire/reassembly.h"

#include <algorithm>
#include <new>

#include "wire/frame.h"

namespace squall::wire {

namespace {

constexpr uint32_t kFragmentHeader = 16;
constexpr uint32_t kChunkBytes = 16u << 10;
constexpr uint32_t kOverheadBytes = 512;      // charged for a partial message besides its chunks
constexpr uint32_t kSpareBytes = 1u << 20;    // larger messages don't leave their room behind
static_assert(kChunkBytes + kOverheadBytes <= 64u << 10);

enum : int { kInPool, kInStream };

struct Range { uint32_t begin, end; };        // received bytes; sorted, neither overlapping nor touching

struct Chunk {
  uint32_t index;
  std::unique_ptr<uint8_t[]> bytes;
};

enum class Coverage : uint8_t { New, Known, Overlapping };

Coverage coverage(const std::vector<Range>& ranges, Range r) {
  auto endsBehind = [](uint32_t v, const Range& x) { return v < x.end; };
  auto next = std::upper_bound(ranges.begin(), ranges.end(), r.begin, endsBehind);
  if (next == ranges.end() || next->begin >= r.end) return Coverage::New;
  return next->begin <= r.begin && r.end <= next->end ? Coverage::Known : Coverage::Overlapping;
}

void insert(std::vector<Range>& ranges, Range r) {
  auto before = [](const Range& x, uint32_t v) { return x.begin < v; };
  auto next = std::lower_bound(ranges.begin(), ranges.end(), r.begin, before);
  const bool joinsNext = next != ranges.end() && next->begin == r.end;
  const bool joinsPrevious = next != ranges.begin() && (next - 1)->end == r.begin;
  if (joinsPrevious && joinsNext) {
    (next - 1)->end = next->end;
    ranges.erase(next);
  } else if (joinsPrevious) {
    (next - 1)->end = r.end;
  } else if (joinsNext) {
    next->begin = r.begin;
  } else {
    ranges.insert(next, r);
  }
}

}  // namespace

struct Reassembler::Partial {
  struct { Partial* newer; Partial* older; } links[2] = {};
  uint32_t stream;
  uint8_t type, pool;
  uint64_t key;
  uint32_t total, received = 0;
  uint64_t tick = 0;              // of the pool, at the latest fragment that brought something
  uint64_t charged = 0;
  std::vector<Chunk> chunks;      // sorted by index; only those in which something has arrived
  std::vector<Range> ranges;

  uint32_t chunkSize(uint32_t index) const { return std::min(kChunkBytes, total - index * kChunkBytes); }
  std::vector<Chunk>::iterator at(uint32_t index) {
    if (!chunks.empty() && chunks.back().index < index) return chunks.end();
    return std::lower_bound(chunks.begin(), chunks.end(), index, [](const Chunk& c, uint32_t v) { return c.index < v; });
  }
  uint64_t missingChunkBytes(Range r) {
    uint64_t bytes = 0;
    for (uint32_t i = r.begin / kChunkBytes; i <= (r.end - 1) / kChunkBytes; i++) {
      auto c = at(i);
      if (c == chunks.end() || c->index != i) bytes += chunkSize(i);
    }
    return bytes;
  }
  /// f(chunk's bytes, part's bytes, length) for each piece of r; missing chunks are made.
  template <class F> bool each(Range r, const uint8_t* part, F&& f) {
    while (r.begin < r.end) {
      const uint32_t index = r.begin / kChunkBytes, within = r.begin % kChunkBytes;
      const uint32_t length = std::min(kChunkBytes - within, r.end - r.begin);
      auto c = at(index);
      if (c == chunks.end() || c->index != index) {
        std::unique_ptr<uint8_t[]> bytes(new (std::nothrow) uint8_t[chunkSize(index)]);
        if (!bytes) return false;
        c = chunks.insert(c, Chunk{index, std::move(bytes)});
      }
      if (!f(c->bytes.get() + within, part, length)) return false;
      r.begin += length;
      part += length;
    }
    return true;
  }
};

Reassembler::Reassembler(const Limits& limits) : limits_(limits) {
  limits_.perStream = std::max(limits_.perStream, 1u);
}

Reassembler::~Reassembler() { clear(); }

void Reassembler::push(List& list, Partial* p, int which) {
  p->links[which] = {nullptr, list.newest};
  if (list.newest) list.newest->links[which].newer = p;
  else list.oldest = p;
  list.newest = p;
}

void Reassembler::remove(List& list, Partial* p, int which) {
  Partial* newer = p->links[which].newer;
  Partial* older = p->links[which].older;
  if (newer) newer->links[which].older = older;
  else list.newest = older;
  if (older) older->links[which].newer = newer;
  else list.oldest = newer;
}

void Reassembler::touch(Partial& p) {
  Pool& pool = pools_[p.pool];
  p.tick = pool.tick;
  if (pool.list.newest != &p) {
    remove(pool.list, &p, kInPool);
    push(pool.list, &p, kInPool);
  }
  List& list = streams_[p.stream].list;
  if (list.newest != &p) {
    remove(list, &p, kInStream);
    push(list, &p, kInStream);
  }
}

void Reassembler::discard(Partial* p) {
  PerStream& s = streams_[p->stream];
  remove(s.list, p, kInStream);
  s.count--;
  remove(pools_[p->pool].list, p, kInPool);
  pools_[p->pool].bytes -= p->charged;
  delete p;
}

void Reassembler::dropStream(uint32_t stream) {
  if (stream >= streams_.size()) return;
  while (streams_[stream].list.oldest) discard(streams_[stream].list.oldest);
}

void Reassembler::clear() {
  for (Pool& pool : pools_)
    while (pool.list.oldest) discard(pool.list.oldest);
}

uint64_t Reassembler::heldBytes() const {
  uint64_t bytes = 0;
  for (const Pool& pool : pools_) bytes += pool.bytes;
  return bytes;
}

size_t Reassembler::partials(uint32_t stream) const { return stream < streams_.size() ? streams_[stream].count : 0; }

Reassembler::Partial* Reassembler::find(uint32_t stream, uint8_t type, uint64_t key) const {
  if (stream >= streams_.size()) return nullptr;
  Partial* p = streams_[stream].list.newest;
  while (p && (p->key != key || p->type != type)) p = p->links[kInStream].older;
  return p;
}

bool Reassembler::makeRoom(uint8_t pool, uint64_t bytes, const Partial* keep) {
  Pool& p = pools_[pool];
  // The pool of large messages holds one at a time, whatever its size.
  auto fits = [&] { return pool == kLarge ? keep || !p.list.oldest : p.bytes + bytes <= limits_.budgetBytes; };
  while (!fits()) {
    Partial* victim = p.list.oldest;
    if (victim && victim == keep) victim = victim->links[kInPool].newer;
    if (!victim || p.tick - victim->tick < kPatience) return false;
    discard(victim);
  }
  return true;
}

DropReason Reassembler::add(uint32_t stream, Class from, bool mayExceedBudget, uint8_t type, Bytes fragment,
                            bool& complete, Bytes& message) {
  complete = false;
  large_.reset();
  if (fragment.size() <= kFragmentHeader) return DropReason::BadBody;
  const uint64_t key = load<uint64_t>(fragment.data());
  const uint32_t total = load<uint32_t>(fragment.data() + 8), offset = load<uint32_t>(fragment.data() + 12);
  const Bytes part = fragment.subspan(kFragmentHeader);
  if (part.size() > total || offset > total - part.size()) return DropReason::BadBody;
  const Range range{offset, static_cast<uint32_t>(offset + part.size())};
  if (range.end < total && part.size() < kMinFragmentBytes) return DropReason::BadBody;

  const uint32_t largest = from == Class::Client ? limits_.clientMessageBytes : limits_.replicaMessageBytes;
  if (total > largest) return DropReason::FragmentLimit;
  uint8_t pool = from == Class::Client ? kClients : kReplicas;
  if (uint64_t{total} + kOverheadBytes > limits_.budgetBytes) {
    if (!mayExceedBudget) return DropReason::FragmentLimit;
    pool = kLarge;
  }
  pools_[pool].tick++;

  Partial* p = find(stream, type, key);
  if (p && (p->total != total || p->pool != pool)) {
    // The sender broke the rule that a key names one message. Neither version is to be trusted to complete the other.
    discard(p);
    return DropReason::BadBody;
  }
  if (part.size() == total) {
    if (p) discard(p);
    complete = true;
    message = part;
    return DropReason::None;
  }
  if (p) {
    const Coverage known = coverage(p->ranges, range);
    if (known != Coverage::New) {
      auto equal = [](uint8_t* have, const uint8_t* got, uint32_t n) { return std::memcmp(have, got, n) == 0; };
      if (known == Coverage::Known && p->each(range, part.data(), equal)) return DropReason::None;
      discard(p);
      return DropReason::BadBody;
    }
    const uint64_t bytes = p->missingChunkBytes(range);
    if (bytes) {
      if (!makeRoom(pool, bytes, p)) return DropReason::FragmentLimit;
      p->charged += bytes;
      pools_[pool].bytes += bytes;
    }
  } else {
    auto fresh = std::make_unique<Partial>();
    fresh->stream = stream;
    fresh->type = type;
    fresh->pool = pool;
    fresh->key = key;
    fresh->total = total;
    fresh->charged = kOverheadBytes + fresh->missingChunkBytes(range);
    if (!makeRoom(pool, fresh->charged, nullptr)) return DropReason::FragmentLimit;
    if (stream >= streams_.size()) streams_.resize(stream + 1);
    PerStream& s = streams_[stream];
    if (s.count >= limits_.perStream) discard(s.list.oldest);
    p = fresh.release();
    s.count++;
    push(s.list, p, kInStream);
    push(pools_[pool].list, p, kInPool);
    pools_[pool].bytes += p->charged;
  }
  const bool written = p->each(range, part.data(), [](uint8_t* to, const uint8_t* got, uint32_t n) {
    std::memcpy(to, got, n);
    return true;
  });
  if (!written) {
    discard(p);
    return DropReason::BufferFull;
  }
  insert(p->ranges, range);
  p->received += static_cast<uint32_t>(part.size());
  touch(*p);
  if (p->received < total) return DropReason::None;
  complete = assemble(*p, message);
  discard(p);
  return complete ? DropReason::None : DropReason::BufferFull;
}

bool Reassembler::assemble(Partial& p, Bytes& message) {
  uint8_t* to;
  if (p.total <= kSpareBytes) {
    if (spare_.size() < p.total) spare_.resize(p.total);
    to = spare_.data();
  } else {
    large_.reset(new (std::nothrow) uint8_t[p.total]);
    if (!large_) return false;
    to = large_.get();
  }
  message = {to, p.total};
  for (Chunk& c : p.chunks) {
    std::memcpy(to + static_cast<size_t>(c.index) * kChunkBytes, c.bytes.get(), p.chunkSize(c.index));
    c.bytes.reset();   // at no time does a large message lie in memory twice
  }
  return true;
}

}  // namespace squall::wire
