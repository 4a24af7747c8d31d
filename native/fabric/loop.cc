#include "fabric/loop.h"

#include <algorithm>

#include "fabric/loop_internal.h"
#include "wire/frame.h"

namespace squall::fabric {
namespace {

constexpr size_t kSizeClasses = 9;
constexpr size_t kClassBytes[kSizeClasses] = {128, 256, 512, 1'024, 2'048, 4'096, 16'384, 32'768, 65'536};
constexpr size_t kChunkBytes = 256 * 1'024;
constexpr size_t kTraceBufferBytes = 16'384;

enum Stream : uint64_t { kPathStream = 1, kGroupStream = 2, kEntropyStream = 3, kWorkloadStream = 4 };

template <class T> inline bool before(const T& a, const T& b) {
  return a.timeUs != b.timeUs ? a.timeUs < b.timeUs : a.sequence < b.sequence;
}

}  // namespace

LoopHub::LoopHub(uint64_t seed, bool tracing) : seed_(seed), tracing_(tracing && wire::cryptoAvailable()) {
  traceBuffer_.reserve(kTraceBufferBytes);
}

LoopHub::~LoopHub() = default;

LoopPort* LoopHub::addPort() {
  if (ports_.size() >= kFirstLoopGroup) return nullptr;
  const auto index = static_cast<uint16_t>(ports_.size());
  ports_.emplace_back(new LoopPort(*this, index));
  ports_.back()->entropy_ = Random(streamSeed(seed_, kEntropyStream, index, 0));
  return ports_.back().get();
}

LoopPort* LoopHub::port(uint16_t index) { return index < ports_.size() ? ports_[index].get() : nullptr; }

Random LoopHub::streamFor(uint64_t purpose) const { return Random(streamSeed(seed_, kWorkloadStream, purpose, 0)); }

// ---- the event queue: a 4-ary heap of small items, the events themselves stay where they are

void LoopHub::push(uint64_t timeUs, const Event& event) {
  uint32_t slot;
  if (freeEvents_.empty()) {
    slot = static_cast<uint32_t>(events_.size());
    events_.push_back(event);
  } else {
    slot = freeEvents_.back();
    freeEvents_.pop_back();
    events_[slot] = event;
  }
  const HeapItem item{timeUs, sequence_++, slot};
  size_t i = heap_.size();
  heap_.push_back(item);
  while (i > 0) {
    const size_t parent = (i - 1) / 4;
    if (!before(item, heap_[parent])) break;
    heap_[i] = heap_[parent];
    i = parent;
  }
  heap_[i] = item;
}

LoopHub::Event LoopHub::pop() {
  const uint32_t slot = heap_.front().event;
  const HeapItem item = heap_.back();
  heap_.pop_back();
  const size_t size = heap_.size();
  if (size > 0) {
    size_t i = 0;
    for (;;) {
      const size_t first = 4 * i + 1;
      if (first >= size) break;
      size_t least = first;
      const size_t last = std::min(first + 4, size);
      for (size_t child = first + 1; child < last; ++child) {
        if (before(heap_[child], heap_[least])) least = child;
      }
      if (!before(heap_[least], item)) break;
      heap_[i] = heap_[least];
      i = least;
    }
    heap_[i] = item;
  }
  freeEvents_.push_back(slot);
  return events_[slot];
}

uint64_t LoopHub::nextEventUs() const { return heap_.empty() ? kNever : heap_.front().timeUs; }

uint64_t LoopHub::run(uint64_t untilUs, uint64_t maxEvents) {
  if (running_) return 0;
  running_ = true;
  stopped_ = false;
  uint64_t events = 0;
  while (!stopped_ && events < maxEvents) {
    if (heap_.empty() || heap_.front().timeUs > untilUs) {
      if (untilUs != kNever) nowUs_ = std::max(nowUs_, untilUs);
      break;
    }
    nowUs_ = heap_.front().timeUs;
    process(pop(), events, maxEvents);
  }
  running_ = false;
  return events;
}

void LoopHub::schedule(uint64_t atUs, void (*fn)(void*), void* context) {
  Event event{};
  event.kind = Event::Kind::Call;
  event.call = {fn, context};
  push(std::max(atUs, nowUs_), event);
}

void LoopHub::process(const Event& event, uint64_t& events, uint64_t maxEvents) {
  if (event.kind == Event::Kind::Call) {
    ++events;
    event.call.fn(event.call.context);
    return;
  }
  LoopPort& port = *ports_[event.to];
  if (event.kind == Event::Kind::Resume) {
    if (port.paused_ && nowUs_ >= port.pausedUntilUs_) resume(port, events, maxEvents);
    return;
  }
  if (port.paused_) {
    defer(port, event);
    return;
  }
  if (event.kind == Event::Kind::Timer) {
    if (port.fireTimer(event.timer.slot, event.timer.generation)) ++events;
    return;
  }
  ++events;
  deliver(port, event);
  while (!stopped_ && events < maxEvents && !port.paused_ && !heap_.empty() && heap_.front().timeUs == nowUs_) {
    const Event& next = events_[heap_.front().event];
    if (next.kind != Event::Kind::Datagram || next.to != event.to) break;
    ++events;
    deliver(port, pop());
  }
  endBatch(port);
}

void LoopHub::deliver(LoopPort& port, const Event& event) {
  const Datagram datagram{event.buffer->data(), event.length, loopAddress(event.from)};
  if (!port.open_) {
    ++counters_.closed;
  } else if (event.length < wire::kHeaderBytes) {
    ++counters_.foreign;
  } else {
    const auto group = wire::load<uint64_t>(datagram.data + 8);
    bool attached = false;
    bool wanted = false;
    // By index: a callback may attach and detach.
    for (size_t i = 0; i < port.members_.size(); ++i) {
      LoopPort::Member& member = *port.members_[i];
      if (member.receiver == nullptr) continue;
      if (event.group != 0 && !port.listens(member, event.group)) continue;
      attached = true;
      const uint64_t its = member.receiver->group();
      if (its != 0 && its != group) continue;
      if (!wanted) {
        wanted = true;
        ++counters_.delivered;
        ++countersOf(event.to).received;
        if (tracing_) traceFrame(TraceKind::Delivered, event.from, event.to, datagram.data, event.length);
      }
      member.touched = true;
      member.receiver->onDatagram(datagram);
    }
    if (!attached) ++counters_.closed;
    else if (!wanted) ++counters_.foreign;
  }
  release(event.buffer);
}

void LoopHub::endBatch(LoopPort& port) {
  for (size_t i = 0; i < port.members_.size(); ++i) {
    LoopPort::Member& member = *port.members_[i];
    if (!member.touched) continue;
    member.touched = false;
    if (member.receiver != nullptr) member.receiver->onBatchEnd();
  }
  port.flush();
}

// ---- sending

LoopHub::Path& LoopHub::pathOf(uint16_t from, uint16_t to) {
  if (from >= paths_.size()) paths_.resize(from + 1u);
  auto& row = paths_[from];
  if (to >= row.size()) row.resize(to + 1u);
  if (!row[to]) {
    row[to].reset(new Path{defaults_, Random(streamSeed(seed_, kPathStream, from, to)), 0, 0});
  }
  return *row[to];
}

void LoopHub::send(LoopPort& from, const Address& to, Buffer* buffer, uint32_t length) {
  if (tracing_) traceFrame(TraceKind::Sent, from.index_, to.port, buffer->data(), length);
  if (!from.open_ || to.family != kLoopFamily) {
    ++counters_.sent;
    ++counters_.closed;
    return;
  }
  if (to.port < kFirstLoopGroup) {
    sendOn(from.index_, to.port, 0, buffer, length, false, 0);
    return;
  }
  const size_t index = to.port - kFirstLoopGroup;
  if (index >= groups_.size()) {
    ++counters_.sent;
    ++counters_.closed;
    return;
  }
  Group& group = groups_[index];
  uint64_t commonDelayUs = 0;
  const bool common = multicastSkewUs_ != kNoSkew;
  if (common) {
    if (from.index_ >= group.delays.size()) group.delays.resize(from.index_ + 1u);
    auto& random = group.delays[from.index_];
    if (!random) random.reset(new Random(streamSeed(seed_, kGroupStream, from.index_, to.port)));
    commonDelayUs = defaults_.baseDelayUs + random->exponential(defaults_.jitterUs);
  }
  for (const uint16_t member : group.members) sendOn(from.index_, member, to.port, buffer, length, common, commonDelayUs);
}

void LoopHub::sendOn(uint16_t from, uint16_t to, uint16_t group, Buffer* buffer, uint32_t length, bool multicast,
                     uint64_t commonDelayUs) {
  ++counters_.sent;
  ++countersOf(from).sent;
  if (to >= ports_.size()) {
    ++counters_.closed;
    return;
  }
  Path& path = pathOf(from, to);
  const PathOptions& options = path.options;
  Random& random = path.random;
  if (options.blocked) {
    ++counters_.blocked;
    return;
  }
  if (random.chance(options.lossPpm)) {
    ++counters_.lost;
    return;
  }
  int copies = 1;
  if (random.chance(options.duplicatePpm)) {
    ++counters_.duplicated;
    copies = 2;
  }
  for (; copies > 0; --copies) {
    uint64_t atUs = nowUs_;
    if (multicast) {
      atUs += commonDelayUs;
      if (multicastSkewUs_ != 0) atUs += random.below(multicastSkewUs_ + 1ull);
    } else {
      atUs += options.baseDelayUs;
      if (options.jitterUs != 0) atUs += random.exponential(options.jitterUs);
    }
    if (random.chance(options.reorderPpm)) {
      ++counters_.reordered;
      atUs += random.below(options.reorderDelayUs + 1ull);
    } else {
      uint64_t& last = multicast ? path.lastMulticastArrivalUs : path.lastArrivalUs;
      atUs = std::max(atUs, last);
      last = atUs;
    }
    if (length > 0 && random.chance(options.corruptPpm)) {
      ++counters_.corrupted;
      Buffer* changed = allocate(length);
      std::memcpy(changed->data(), buffer->data(), length);
      uint32_t changedLength = length;
      if (random.below(4) == 0) {
        changedLength = static_cast<uint32_t>(random.below(length));
      } else {
        const uint64_t bit = random.below(8ull * length);
        changed->data()[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
      }
      pushDatagram(atUs, from, to, group, changed, changedLength);
      release(changed);
    } else {
      pushDatagram(atUs, from, to, group, buffer, length);
    }
  }
}

void LoopHub::pushDatagram(uint64_t timeUs, uint16_t from, uint16_t to, uint16_t group, Buffer* buffer, uint32_t length) {
  if (heap_.size() >= eventLimit_) {
    ++counters_.queueFull;
    return;
  }
  ++buffer->references;
  Event event{};
  event.kind = Event::Kind::Datagram;
  event.from = from;
  event.to = to;
  event.group = group;
  event.length = length;
  event.buffer = buffer;
  push(timeUs, event);
}

void LoopHub::setAllPaths(const PathOptions& options) {
  defaults_ = options;
  for (auto& row : paths_) {
    for (auto& path : row) {
      if (path) path->options = options;
    }
  }
}

void LoopHub::setPath(uint16_t from, uint16_t to, const PathOptions& options) { pathOf(from, to).options = options; }
PathOptions LoopHub::path(uint16_t from, uint16_t to) { return pathOf(from, to).options; }
void LoopHub::setBlocked(uint16_t from, uint16_t to, bool blocked) { pathOf(from, to).options.blocked = blocked; }

void LoopHub::setGroup(uint16_t groupPort, const uint16_t* ports, size_t count) {
  if (groupPort < kFirstLoopGroup) return;
  const size_t index = groupPort - kFirstLoopGroup;
  if (index >= groups_.size()) groups_.resize(index + 1);
  groups_[index].members.assign(ports, ports + count);
}

// ---- the slab

LoopHub::Buffer* LoopHub::allocate(size_t length) {
  uint32_t sizeClass = 0;
  while (kClassBytes[sizeClass] < length) ++sizeClass;
  if (freeBuffers_[sizeClass] == nullptr) {
    const size_t stride = sizeof(Buffer) + kClassBytes[sizeClass];
    chunks_.emplace_back(new uint8_t[kChunkBytes]());   // zeroed: nothing unseeded may reach the trace
    uint8_t* chunk = chunks_.back().get();
    for (size_t at = 0; at + stride <= kChunkBytes; at += stride) {
      auto* buffer = reinterpret_cast<Buffer*>(chunk + at);
      buffer->sizeClass = sizeClass;
      buffer->next = freeBuffers_[sizeClass];
      freeBuffers_[sizeClass] = buffer;
    }
  }
  Buffer* buffer = freeBuffers_[sizeClass];
  freeBuffers_[sizeClass] = buffer->next;
  buffer->references = 1;
  return buffer;
}

void LoopHub::release(Buffer* buffer) {
  if (--buffer->references > 0) return;
  buffer->next = freeBuffers_[buffer->sizeClass];
  freeBuffers_[buffer->sizeClass] = buffer;
}

// ---- pauses, closed ports, clocks

void LoopHub::pause(uint16_t index, uint64_t untilUs) {
  LoopPort* port = this->port(index);
  if (port == nullptr || (!port->paused_ && untilUs <= nowUs_)) return;
  port->paused_ = true;
  port->pausedUntilUs_ = untilUs;
  if (untilUs == kNever) return;
  Event event{};
  event.kind = Event::Kind::Resume;
  event.to = index;
  push(std::max(untilUs, nowUs_), event);
}

void LoopHub::defer(LoopPort& port, const Event& event) {
  if (event.kind == Event::Kind::Datagram) {
    if (port.receiveQueueLimit_ != 0 && port.deferredDatagrams_ >= port.receiveQueueLimit_) {
      ++counters_.queueFull;
      release(event.buffer);
      return;
    }
    if (!port.open_) {
      ++counters_.closed;
      release(event.buffer);
      return;
    }
    ++port.deferredDatagrams_;
  }
  ++counters_.deferred;
  port.deferred_.push_back(event);
}

void LoopHub::resume(LoopPort& port, uint64_t& events, uint64_t maxEvents) {
  port.paused_ = false;
  const auto waiting = [&port] { return port.deferredHead_ < port.deferred_.size(); };
  const auto mayGoOn = [&] { return waiting() && !stopped_ && events < maxEvents && !port.paused_; };
  while (mayGoOn()) {
    Event event = port.deferred_[port.deferredHead_++];
    if (event.kind == Event::Kind::Timer) {
      if (port.fireTimer(event.timer.slot, event.timer.generation)) ++events;
      continue;
    }
    for (;;) {
      --port.deferredDatagrams_;
      ++events;
      deliver(port, event);
      if (!mayGoOn() || port.deferred_[port.deferredHead_].kind != Event::Kind::Datagram) break;
      event = port.deferred_[port.deferredHead_++];
    }
    endBatch(port);
  }
  if (!waiting()) {
    port.deferred_.clear();
    port.deferredHead_ = 0;
  } else if (!port.paused_) {
    // run() was ended: the rest keeps its place before what comes later.
    port.paused_ = true;
    port.pausedUntilUs_ = nowUs_;
    Event event{};
    event.kind = Event::Kind::Resume;
    event.to = port.index_;
    push(nowUs_, event);
  }
}

void LoopHub::setClock(uint16_t index, int64_t offsetUs, int32_t driftPpm) {
  LoopPort* port = this->port(index);
  if (port == nullptr) return;
  const uint64_t shown = port->localUs(nowUs_);
  const int64_t wanted = static_cast<int64_t>(nowUs_) + offsetUs;
  port->clockBaseUs_ = wanted > static_cast<int64_t>(shown) ? static_cast<uint64_t>(wanted) : shown;
  port->clockSetUs_ = nowUs_;
  port->wallOffsetUs_ = offsetUs;
  port->driftPpm_ = std::max(driftPpm, -900'000);          // a clock that stands still would never fire a timer
  for (uint32_t slot = 0; slot < port->members_.size(); ++slot) {
    LoopPort::Member& member = *port->members_[slot];
    member.armedUs = kNever;
    if (member.receiver != nullptr && member.timerAtUs != kNever) port->armTimer(slot);
  }
}

void LoopHub::closePort(uint16_t index) {
  LoopPort* port = this->port(index);
  if (port == nullptr) return;
  port->open_ = false;
  port->dropDeferred();
}

void LoopHub::reopenPort(uint16_t index) {
  if (LoopPort* port = this->port(index)) port->open_ = true;
}

void LoopHub::setReceiveQueueLimit(uint16_t index, size_t datagrams) {
  if (LoopPort* port = this->port(index)) port->receiveQueueLimit_ = datagrams;
}

// ---- the trace

void LoopHub::traceFrame(TraceKind kind, uint16_t from, uint16_t to, const uint8_t* data, uint32_t length) {
  constexpr size_t kRecordBytes = 8 + 2 + 2 + 1 + 4;
  uint8_t record[kRecordBytes];
  wire::store(record, nowUs_);
  wire::store(record + 8, from);
  wire::store(record + 10, to);
  record[12] = static_cast<uint8_t>(kind);
  wire::store(record + 13, length);
  if (traceBuffer_.size() + kRecordBytes + length > kTraceBufferBytes) {
    hash_.update(traceBuffer_);
    traceBuffer_.clear();
  }
  traceBuffer_.insert(traceBuffer_.end(), record, record + kRecordBytes);
  if (length > kTraceBufferBytes / 2) {
    hash_.update(traceBuffer_);
    traceBuffer_.clear();
    hash_.update(Bytes(data, length));
  } else {
    traceBuffer_.insert(traceBuffer_.end(), data, data + length);
  }
}

void LoopHub::traceHash(Hash& out) {
  if (!traceBuffer_.empty()) hash_.update(traceBuffer_);
  traceBuffer_.clear();
  wire::Sha256 copy = hash_;
  copy.finish(out);
}

}  // namespace squall::fabric
