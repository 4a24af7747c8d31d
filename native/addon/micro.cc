// Kernels of the micro bench: the pieces of the hot path alone, nanoseconds an iteration.
#include <chrono>

#include "addon/values.h"
#include "log/sessions.h"
#include "wire/channel.h"

namespace squall::addon {

namespace {

template <class F> double nanoseconds(uint64_t iterations, F&& body) {
  const auto start = std::chrono::steady_clock::now();
  for (uint64_t i = 0; i < iterations; i++) body(i);
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() / static_cast<double>(iterations);
}

double aead(uint64_t iterations, size_t bytes, bool open) {
  wire::Aead cipher;
  const uint8_t key[16] = {1};
  if (!cipher.init(key)) return -1;
  std::vector<uint8_t> aad(wire::kAuthenticatedBytes), plain(bytes), sealed(bytes), tag(wire::kTagBytes);
  cipher.seal(7, aad, plain, sealed.data(), tag.data());
  if (open) return nanoseconds(iterations, [&](uint64_t) { cipher.open(7, aad, sealed, plain.data(), tag.data()); });
  return nanoseconds(iterations, [&](uint64_t i) { cipher.seal(i, aad, plain, sealed.data(), tag.data()); });
}

double session(uint64_t iterations, size_t bytes) {
  log::Log log(iterations + 1024, 512u << 20, true);
  log::Sessions sessions(16, 64, true);
  if (!log.ok() || !sessions.ok()) return -1;
  std::vector<uint8_t> bytesOf(wire::kRecordBytes + std::max<size_t>(bytes, 24));
  wire::Record record;
  wire::writeRecordHeader(bytesOf.data(), 5, 0, 0, 0, wire::kRegister, 24);
  wire::parseRecord(bytesOf, 1u << 20, record);
  log.append(record.all, 0, 0);
  sessions.apply(log, 1, record, false);
  return nanoseconds(iterations, [&](uint64_t i) {
    wire::writeRecordHeader(bytesOf.data(), 5, i + 1, i + 1, i, 0, static_cast<uint32_t>(bytesOf.size() - wire::kRecordBytes));
    wire::parseRecord(bytesOf, 1u << 20, record);
    if (!log.hasRoom(bytesOf.size())) return;
    log.append(record.all, i, 0);
    sessions.apply(log, log.end(), record, false);
  });
}

double codec(uint64_t iterations, size_t bytes) {
  std::vector<uint8_t> frame(wire::kFrameOverhead + bytes);
  wire::FrameHeader header{};
  header.version = wire::kWireVersion;
  header.type = static_cast<uint8_t>(MessageType::Request);
  header.length = static_cast<uint16_t>(frame.size());
  uint64_t sum = 0;
  const double ns = nanoseconds(iterations, [&](uint64_t i) {
    header.counter = i;
    wire::writeHeader(frame.data(), header);
    wire::FrameHeader read{};
    wire::parseHeader(frame, read);
    sum += read.counter;
  });
  return sum == ~0ull ? 0 : ns;
}

}  // namespace

Napi::Value micro(const Napi::CallbackInfo& info) {
  if (!info[0].IsString() || !info[1].IsNumber() || !info[2].IsNumber()) {
    Napi::TypeError::New(info.Env(), "expected (name, iterations, bytes)").ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  const std::string name = info[0].As<Napi::String>().Utf8Value();
  const uint64_t iterations = std::max<uint32_t>(info[1].As<Napi::Number>().Uint32Value(), 1);
  const size_t bytes = std::min<uint32_t>(info[2].As<Napi::Number>().Uint32Value(), 60'000);
  double ns = -1;
  if (name == "hash") {
    Hash hash{};
    const std::vector<uint8_t> record(wire::kRecordBytes + bytes);
    ns = nanoseconds(iterations, [&](uint64_t) { wire::summaryHash(hash.data(), record, hash); });
  } else if (name == "seal") ns = aead(iterations, bytes, false);
  else if (name == "open") ns = aead(iterations, bytes, true);
  else if (name == "session") ns = session(iterations, bytes);
  else if (name == "codec") ns = codec(iterations, bytes);
  return Napi::Number::New(info.Env(), ns);
}

}  // namespace squall::addon
