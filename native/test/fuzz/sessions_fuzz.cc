// Session tables as a hostile peer would send them: the digest is made to fit, all else is arbitrary. Anything may be refused; what is
// taken must go on serving, and give itself back.
#include <cstdlib>

#include "log/sessions.h"

using namespace squall;

namespace {

constexpr uint32_t kWindow = 4, kSessions = 3;
constexpr size_t kTableBytes = 56, kSessionBytes = 64, kSlotBytes = 40;

/// Fills in the header's digest, as far as the bytes make sense (the layout is that of Sessions::serialize).
void sign(std::vector<uint8_t>& table) {
  if (table.size() < kTableBytes) return;
  wire::Sha256 hash;
  Bytes rest = Bytes(table).subspan(kTableBytes);
  for (uint32_t n = wire::load<uint32_t>(table.data() + 48); n && rest.size() >= kSessionBytes; n--) {
    hash.update(rest.first(32));                     // id, client id, low mark, touched
    uint32_t slots = wire::load<uint32_t>(rest.data() + 56);
    rest = rest.subspan(kSessionBytes);
    for (; slots && rest.size() >= kSlotBytes; slots--) {
      hash.update(rest.first(16));                   // request, seqno
      rest = rest.subspan(std::min<size_t>(kSlotBytes + size_t{wire::load<uint32_t>(rest.data() + 32)}, rest.size()));
    }
  }
  Hash digest;
  hash.finish(digest);
  std::memcpy(table.data(), digest.data(), digest.size());
}

void append(log::Log& log, log::Sessions& sessions, uint64_t session, uint64_t request, uint64_t low, uint8_t flags) {
  uint8_t bytes[wire::kRecordBytes + 24] = {};
  wire::writeRecordHeader(bytes, session, request, low, 0, flags, 24);
  wire::Record record;
  if (!wire::parseRecord(bytes, 64, record) || !log.hasRoom(sizeof bytes)) std::abort();
  log.append(record.all, 0, 0);
  sessions.apply(log, log.end(), record, false);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> table(data, data + size);
  sign(table);
  const uint64_t seqno = size >= 40 ? wire::load<uint64_t>(data + 32) : 0;
  log::Log log(64, 1, true, 8);
  log::Sessions sessions(kSessions, kWindow, true, 1 << 10);
  if (seqno > ~0ull - 100 || !sessions.restore(table, seqno)) return 0;
  log.restore(seqno, {});
  if (sessions.live() > kSessions) std::abort();
  Hash digest;
  sessions.digest(digest);
  if (std::memcmp(digest.data(), table.data(), digest.size()) != 0) std::abort();

  // Whoever is in the table uses its window, one more registers, and somebody is evicted; then all of it is undone.
  Bytes rest = Bytes(table).subspan(kTableBytes);
  const uint64_t id = rest.size() >= 24 ? wire::load<uint64_t>(rest.data()) : 1, low = rest.size() >= 24 ? wire::load<uint64_t>(rest.data() + 16) : 1;
  for (uint64_t i = 0; i < 2 * kWindow; i++) append(log, sessions, id, low + i, low + i / 2, i % 3 ? 0 : wire::kOrdered);
  for (uint64_t i = 1; i <= kSessions; i++) append(log, sessions, id + i, 0, 0, wire::kRegister);
  Hash after;
  const uint64_t end = log.end();
  for (uint64_t s = end; s > seqno; s--) sessions.undo(log, s);
  sessions.digest(after);
  if (after != digest) std::abort();
  log.rollbackTo(seqno);

  for (uint64_t i = 0; i < kWindow; i++) append(log, sessions, id, low + i, low, 0);
  sessions.commit(log, log.end());
  sessions.retain(log, log.end() - 1);
  log.truncate(log.end() - 1);
  std::vector<uint8_t> again;
  log::Sessions other(kSessions, kWindow, true, 1 << 10);
  sessions.digest(digest);
  if (!sessions.serialize(log, log.end(), again) || !other.restore(again, log.end())) std::abort();
  other.digest(after);
  if (after != digest) std::abort();
  return 0;
}
