// The replica engine as a JavaScript object: the control plane's verbs and the upcalls, nothing else.
#include "addon/lent_body.h"
#include "addon/upcall.h"
#include "addon/values.h"
#include "protocol/replica.h"
#include "wire/crypto.h"

namespace squall::addon {

namespace {

constexpr size_t kPositionBytes = 48;     // summary hash 32, cumulative bytes 8, logical time 8

void addReceived(fabric::UdpCounters& to, const fabric::UdpCounters& from) {
  to.datagramsReceived += from.datagramsReceived;
  to.bytesReceived += from.bytesReceived;
  to.foreignDatagrams += from.foreignDatagrams;
  to.receiveCalls += from.receiveCalls;
}

class ReplicaObject : public Napi::ObjectWrap<ReplicaObject>, public protocol::ReplicaUpcalls {
 public:
  explicit ReplicaObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ReplicaObject>(info), upcalls_(info.Env(), "squall.replica") {
    const Napi::Env env = info.Env();
    Options o(env, info[0]);
    protocol::ReplicaConfig c;
    bool loop = false;
    const std::shared_ptr<fabric::Fabric> fabric = fabricOf(env, o, loop);
    c.group = wire::load<uint64_t>(o.bytes<8>("group").data());
    c.replica = static_cast<uint32_t>(o.number("replica", 0));
    c.replicas = o.addresses("replicas");
    c.n = static_cast<uint32_t>(c.replicas.size());
    if (c.replica >= c.n) o.wrong("replica");
    const Napi::Value multicast = o.value("multicast");
    if (multicast.IsObject()) {
      Options m(env, multicast);
      c.multicastGroup = m.address("group", true);
      c.multicastInterface = m.interfaceAddress("interface");
      if (m.raise()) return;
    }
    c.secret = o.bytes<32>("secret");
    c.sealed = o.boolean("sealed", true);
    c.datagramBytes = static_cast<uint32_t>(o.number("datagramBytes", 1400));
    c.maxOperationBytes = static_cast<uint32_t>(o.number("maxOperationBytes", 1 << 20));
    c.window = static_cast<uint32_t>(o.number("window", 64));
    c.maxSessions = static_cast<uint32_t>(o.number("maxSessions", 4096));
    c.logEntries = static_cast<uint64_t>(o.number("logEntries", 4 << 20));
    c.logBytes = static_cast<uint64_t>(o.number("logBytes", 2147483648.0));
    c.maxClockSkewMs = static_cast<uint32_t>(o.number("maxClockSkewMs", 500));
    c.checkpointEvery = static_cast<uint64_t>(o.number("checkpointEvery", 0));
    c.packing = o.boolean("packing", true);
    c.prepareBatch = static_cast<uint32_t>(o.number("prepareBatch", 64));
    c.newestVersion = static_cast<uint8_t>(o.number("newestWireVersion", wire::kWireVersion));
    const auto mode = static_cast<uint32_t>(o.number("mode", 0));
    if (mode >= kModes) o.wrong("mode");
    c.firstMode = static_cast<Mode>(mode);
    const double durability = o.number("durability", 0);
    c.durability = durability == 2 ? protocol::Durability::Sync : durability == 1 ? protocol::Durability::Async : protocol::Durability::Memory;
    c.guardsOff = static_cast<uint32_t>(o.number("guardsOff", 0));
    const fabric::WaitMode wait = waitModeOf(o);
    protocol::ReplicaRegion r;
    size_t bytes = 0;
    r.status = reinterpret_cast<double*>(o.memory("status", bytes, keep_));
    if (bytes < protocol::kStatusWords * sizeof(double)) o.wrong("status");
    r.rows = reinterpret_cast<protocol::ExecuteRow*>(o.memory("rows", bytes, keep_));
    r.rowCapacity = static_cast<uint32_t>(bytes / sizeof(protocol::ExecuteRow));
    r.arena = o.memory("arena", r.arenaBytes, keep_);
    r.results = o.memory("results", r.resultBytes, keep_);
    if (r.rowCapacity == 0 || r.arenaBytes < c.maxOperationBytes) o.wrong("arena");
    if (!info[1].IsObject() || !upcalls_.bind(info[1], "onExecute", onExecute_) || !upcalls_.bind(info[1], "onQuery", onQuery_) || !upcalls_.bind(info[1], "onControl", onControl_) ||
        !upcalls_.bind(info[1], "onComplaint", onComplaint_) || !upcalls_.bind(info[1], "onTick", onTick_) || !upcalls_.bind(info[1], "onAppended", onAppended_)) o.wrong("upcalls");
    if (o.raise()) return;
    if (loop) upcalls_.setAlwaysNested();
    auto engine = std::make_unique<protocol::Replica>(fabric, c, r, *this);
    if (!engine->ok()) {
      Napi::RangeError::New(env, "not enough address space for the log").ThrowAsJavaScriptException();
      return;
    }
    if (const int error = engine->start()) {
      const bool group = engine->endpoint() != fabric::kNoEndpoint && c.multicastGroup.family;
      const fabric::Address where = group ? c.multicastGroup : c.replicas[c.replica];
      engine.reset();
      throwErrno(env, error, "cannot bind", where);
      return;
    }
    if (!loop) udp_ = static_cast<fabric::UdpFabric*>(fabric.get());
    if (udp_) udp_->setWait(engine.get(), wait);
    engine_ = std::move(engine);
    Ref();   // open engines stay: they are reachable from the network
  }
  ~ReplicaObject() override { shut(); }
  void Finalize(Napi::Env) override { shut(); }

  // ReplicaUpcalls
  uint32_t execute(uint32_t count) override { return runRows(onExecute_, count); }
  uint32_t query(uint32_t count) override { return runRows(onQuery_, count); }
  uint32_t runRows(napi_ref upcall, uint32_t count) {
    const Scope scope(upcalls_.env());
    napi_value argument, result;
    uint32_t done = 0;
    if (!scope.ok() || napi_create_uint32(upcalls_.env(), count, &argument) != napi_ok) return 0;
    const Inside inside(inUpcall_);
    if (upcalls_.callSynchronous(upcall, 1, &argument, &result)) napi_get_value_uint32(upcalls_.env(), result, &done);
    return done;
  }
  void control(wire::Opened& frame) override {
    const Scope scope(upcalls_.env());
    napi_env env = upcalls_.env();
    napi_value arguments[4];
    if (!scope.ok() || napi_create_uint32(env, static_cast<uint32_t>(frame.type), &arguments[0]) != napi_ok ||
        napi_create_double(env, static_cast<double>(frame.sender), &arguments[1]) != napi_ok ||
        napi_create_uint32(env, frame.stream, &arguments[2]) != napi_ok ||
        (!lent_.lend(env, frame.body, arguments[3]) &&
         napi_create_buffer_copy(env, frame.body.size(), frame.body.data(), nullptr, &arguments[3]) != napi_ok)) return;
    const Inside inside(inUpcall_);
    upcalls_.call(onControl_, 4, arguments);
  }
  void complaint(uint64_t session, uint64_t seqno) override {
    const Scope scope(upcalls_.env());
    napi_env env = upcalls_.env();
    napi_value arguments[2];
    // A session's id in a double: only a key for rate limits.
    if (!scope.ok() || napi_create_double(env, static_cast<double>(session >> 11), &arguments[0]) != napi_ok ||
        napi_create_double(env, static_cast<double>(seqno), &arguments[1]) != napi_ok) return;
    const Inside inside(inUpcall_);
    upcalls_.call(onComplaint_, 2, arguments);
  }
  void tick(uint64_t nowUs) override {
    const Scope scope(upcalls_.env());
    napi_value argument;
    if (!scope.ok() || napi_create_double(upcalls_.env(), static_cast<double>(nowUs), &argument) != napi_ok) return;
    const Inside inside(inUpcall_);
    upcalls_.call(onTick_, 1, &argument);
  }

  void appended() override {
    const Scope scope(upcalls_.env());
    const Inside inside(inUpcall_);
    if (scope.ok()) upcalls_.call(onAppended_, 0, nullptr);
  }

  // verbs
  Napi::Value NowUs(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), engine_ ? static_cast<double>(engine_->nowUs()) : 0); }
  Napi::Value SetTimer(const Napi::CallbackInfo& info) {
    const double at = number(info, 0);
    if (engine_) engine_->setTimer(at >= 1.8e19 || at != at ? ~0ull : static_cast<uint64_t>(at < 0 ? 0 : at));
    return info.Env().Undefined();
  }
  Napi::Value SetProgressAt(const Napi::CallbackInfo& info) {
    const double at = number(info, 0);
    if (engine_) engine_->setProgressAt(at >= 1.8e19 ? ~0ull : static_cast<uint64_t>(at < 0 ? 0 : at));
    return info.Env().Undefined();
  }
  Napi::Value Bootstrap(const Napi::CallbackInfo& info) {
    Bytes life;
    LifeId id;
    if (!engine_ || !readBytes(info[0], life) || life.size() != id.size()) return wrongArgument(info, "a life id of 16 bytes");
    std::memcpy(id.data(), life.data(), id.size());
    return Napi::Boolean::New(info.Env(), engine_->bootstrap(id));
  }
  Napi::Value Life(const Napi::CallbackInfo& info) {
    return engine_ && engine_->hasLife() ? copyBytes(info.Env(), engine_->life()) : info.Env().Undefined();
  }
  Napi::Value Freeze(const Napi::CallbackInfo& info) {
    const Upcalls::Nested nested(upcalls_);
    if (engine_) engine_->freeze(seqno(info, 0));
    return info.Env().Undefined();
  }
  Napi::Value Install(const Napi::CallbackInfo& info) {
    const Upcalls::Nested nested(upcalls_);
    if (!engine_) return info.Env().Undefined();
    std::vector<Bytes> records;
    if (!readRecords(info[3], records)) return wrongArgument(info, "an array of records");
    Bytes hashes;
    if (!info[4].IsUndefined() && !readHashes(info[4], records.size(), hashes)) return wrongArgument(info, "32 bytes of hash for each record");
    const bool ok = engine_->install(seqno(info, 0), static_cast<Mode>(seqno(info, 1)), seqno(info, 2), records, hashes);
    if (info.Env().IsExceptionPending()) return info.Env().Undefined();
    if (!ok) return fail(info, "install refused: it would change what is committed, or the log is full");
    return info.Env().Undefined();
  }
  Napi::Value CommitTo(const Napi::CallbackInfo& info) {
    if (engine_ && !engine_->commitTo(seqno(info, 0))) return fail(info, "commit beyond the end of the log");
    return info.Env().Undefined();
  }
  Napi::Value PrepareAgain(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), engine_ ? engine_->prepareAgain(static_cast<int32_t>(number(info, 0))) : 0);
  }
  Napi::Value PrepareStats(const Napi::CallbackInfo& info) {
    const uint32_t n = engine_ ? engine_->config().n : 0;
    Napi::Float64Array out = Napi::Float64Array::New(info.Env(), size_t{n} * protocol::Replica::kPrepareStatsColumns);
    if (engine_ && !info.Env().IsExceptionPending()) engine_->prepareStats(out.Data());
    return out;
  }
  Napi::Value Position(const Napi::CallbackInfo& info) {
    const uint64_t s = seqno(info, 0);
    if (!inLogOrBase(s)) return wrongArgument(info, "a seqno within the log");
    const log::Position position = engine_->log().position(s);
    uint8_t out[kPositionBytes];
    std::memcpy(out, position.hash.data(), 32);
    wire::store<uint64_t>(out + 32, position.cumulativeBytes);
    wire::store<uint64_t>(out + 40, position.timeUs);
    return copyBytes(info.Env(), out);
  }
  Napi::Value CheckpointSessions(const Napi::CallbackInfo& info) {
    const uint64_t s = seqno(info, 0);
    if (!inLog(s)) return wrongArgument(info, "a seqno within the log");
    std::vector<uint8_t> out;
    return engine_->checkpointSessions(s, out) ? copyBytes(info.Env(), out) : info.Env().Undefined();
  }
  Napi::Value Checkpointed(const Napi::CallbackInfo& info) {
    if (engine_) engine_->checkpointed(seqno(info, 0));
    return info.Env().Undefined();
  }
  Napi::Value Truncate(const Napi::CallbackInfo& info) {
    const Upcalls::Nested nested(upcalls_);
    const bool ok = !engine_ || closed_ || engine_->truncate(seqno(info, 0));
    if (!ok && !info.Env().IsExceptionPending()) return fail(info, "truncation beyond what is committed and executed");
    return info.Env().Undefined();
  }
  Napi::Value Restore(const Napi::CallbackInfo& info) {
    Bytes at, sessions;
    if (!readBytes(info[1], at) || at.size() != kPositionBytes) return wrongArgument(info, "a position of 48 bytes");
    if (!readBytes(info[2], sessions)) return wrongArgument(info, "the bytes of a session table");
    log::Position position{{}, wire::load<uint64_t>(at.data() + 32), wire::load<uint64_t>(at.data() + 40)};
    std::memcpy(position.hash.data(), at.data(), 32);
    return Napi::Boolean::New(info.Env(), engine_ && engine_->restore(seqno(info, 0), position, sessions));
  }
  Napi::Value CommittedRun(const Napi::CallbackInfo& info) {
    const uint64_t from = seqno(info, 0);
    if (!inLog(from) || from > engine_->committed()) return wrongArgument(info, "a seqno of a committed entry within the log");
    std::vector<uint8_t> run;
    engine_->committedRun(from, seqno(info, 1), info[2].ToNumber().Uint32Value(), run);
    if (Bytes room; !readBytes(info[3], room) || room.size() < run.size()) return copyBytes(info.Env(), run);
    auto into = info[3].As<Napi::Uint8Array>();
    std::memcpy(into.Data(), run.data(), run.size());
    return Napi::Uint8Array::New(info.Env(), run.size(), into.ArrayBuffer(), into.ByteOffset());
  }
  Napi::Value AppendRun(const Napi::CallbackInfo& info) {
    const Upcalls::Nested nested(upcalls_);
    Bytes run, hashes;
    if (!readBytes(info[0], run)) return wrongArgument(info, "a run of records");
    if (!info[1].IsUndefined() && !readBytes(info[1], hashes)) return wrongArgument(info, "hashes of 32 bytes");
    const int64_t appended = engine_ ? engine_->appendRun(run, hashes) : -1;
    return info.Env().IsExceptionPending() ? info.Env().Undefined() : Napi::Number::New(info.Env(), static_cast<double>(appended));
  }
  Napi::Value SetDurable(const Napi::CallbackInfo& info) {
    const Upcalls::Nested nested(upcalls_);
    if (engine_) engine_->setDurable(seqno(info, 0), seqno(info, 1));
    return info.Env().Undefined();
  }
  Napi::Value ExportRows(const Napi::CallbackInfo& info) {
    if (!info[1].IsTypedArray() || !info[2].IsTypedArray()) return wrongArgument(info, "a buffer and two counts");
    auto into = info[1].As<Napi::Uint8Array>();
    auto counts = info[2].As<Napi::Uint32Array>();
    if (counts.ElementLength() < 2) return wrongArgument(info, "two counts");
    size_t bytes = 0;
    counts.Data()[0] = engine_ ? engine_->exportRows(seqno(info, 0), into.Data(), into.ByteLength(), bytes) : 0;
    counts.Data()[1] = static_cast<uint32_t>(bytes);
    return info.Env().Undefined();
  }
  Napi::Value TakeDisplaced(const Napi::CallbackInfo& info) {
    const uint64_t keptTo = engine_ ? engine_->takeDisplaced() : ~uint64_t{0};
    return keptTo == ~uint64_t{0} ? info.Env().Undefined() : Napi::Number::New(info.Env(), static_cast<double>(keptTo));
  }
  Napi::Value AppendLoaded(const Napi::CallbackInfo& info) {
    const Upcalls::Nested nested(upcalls_);
    std::vector<Bytes> records;
    if (!readRecords(info[0], records)) return wrongArgument(info, "an array of records");
    const bool ok = engine_ && engine_->appendLoaded(records, static_cast<Mode>(seqno(info, 1)), seqno(info, 2));
    return info.Env().IsExceptionPending() ? info.Env().Undefined() : Napi::Boolean::New(info.Env(), ok);
  }
  Napi::Value Resume(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), engine_ && engine_->resume(seqno(info, 0), seqno(info, 1), static_cast<Mode>(seqno(info, 2))));
  }
  Napi::Value Reexecute(const Napi::CallbackInfo& info) {
    const Upcalls::Nested nested(upcalls_);
    const bool ok = engine_ && engine_->reexecute(seqno(info, 0), seqno(info, 1));
    return info.Env().IsExceptionPending() ? info.Env().Undefined() : Napi::Boolean::New(info.Env(), ok);
  }
  Napi::Value SetLife(const Napi::CallbackInfo& info) {
    Bytes life;
    LifeId id;
    if (!engine_ || !readBytes(info[0], life) || life.size() != id.size()) return wrongArgument(info, "a life id of 16 bytes");
    std::memcpy(id.data(), life.data(), id.size());
    return Napi::Boolean::New(info.Env(), engine_->setLife(id));
  }
  Napi::Value HearRequests(const Napi::CallbackInfo& info) {
    const fabric::UdpCounters group = udp_ && engine_ ? udp_->counters(engine_->groupEndpoint()) : fabric::UdpCounters{};
    if (engine_) engine_->hearRequests(info[0].ToBoolean());
    if (engine_ && engine_->groupEndpoint() == fabric::kNoEndpoint) addReceived(leftGroup_, group);
    return info.Env().Undefined();
  }
  Napi::Value Reconfigure(const Napi::CallbackInfo& info) {
    const Upcalls::Nested nested(upcalls_);
    Options o(info.Env(), info[0]);
    wire::Members members;
    members.life = o.bytes<16>("life");
    members.epoch = static_cast<uint32_t>(o.number("epoch", 0));
    members.replicas = o.addresses("replicas");
    const auto replica = static_cast<uint32_t>(o.number("replica", 0));
    if (o.raise()) return info.Env().Undefined();
    return Napi::Boolean::New(info.Env(), engine_ && engine_->reconfigure(members, replica));
  }
  Napi::Value BeginEpoch(const Napi::CallbackInfo& info) {
    const Upcalls::Nested nested(upcalls_);
    return Napi::Boolean::New(info.Env(), engine_ && engine_->beginEpoch(seqno(info, 0), static_cast<Mode>(seqno(info, 1))));
  }
  Napi::Value SendToAddress(const Napi::CallbackInfo& info) {
    Options o(info.Env(), info[0]);
    const fabric::Address to = o.address("to", true);
    Bytes body;
    if (o.raise()) return info.Env().Undefined();
    if (!readBytes(info[2], body)) return wrongArgument(info, "a body");
    if (engine_) engine_->sendToAddress(to, static_cast<MessageType>(seqno(info, 1)), body);
    return info.Env().Undefined();
  }
  Napi::Value Answer(const Napi::CallbackInfo& info) {
    if (engine_) engine_->answer(seqno(info, 0), seqno(info, 1));
    return info.Env().Undefined();
  }
  Napi::Value HashAt(const Napi::CallbackInfo& info) {
    const uint64_t s = seqno(info, 0);
    if (!inLogOrBase(s)) return wrongArgument(info, "a seqno within the log");
    return copyBytes(info.Env(), {engine_->log().hashAt(s), 32});
  }
  Napi::Value SuffixRows(const Napi::CallbackInfo& info) {
    const uint64_t from = seqno(info, 0), to = seqno(info, 1);
    if (!engine_ || from <= engine_->log().base() || to > engine_->log().end()) return wrongArgument(info, "seqnos within the log");
    napi_value out;
    void* data;
    const size_t count = to >= from ? to - from + 1 : 0;
    if (napi_create_buffer(info.Env(), count * 48, &data, &out) != napi_ok) return info.Env().Undefined();
    uint8_t* p = static_cast<uint8_t*>(data);
    for (uint64_t s = from; s <= to; s++, p += 48) {
      std::memcpy(p, engine_->log().hashAt(s), 32);
      std::memcpy(p + 32, engine_->log().record(s).data(), 16);   // session and request number lead the record
    }
    return Napi::Value(info.Env(), out);
  }
  Napi::Value Record(const Napi::CallbackInfo& info) {
    const uint64_t s = seqno(info, 0);
    if (!inLog(s)) return wrongArgument(info, "a seqno within the log");
    return copyBytes(info.Env(), engine_->log().record(s));
  }
  Napi::Value ExecutedOperation(const Napi::CallbackInfo& info) {
    const uint64_t s = seqno(info, 0);
    if (!inLog(s)) return wrongArgument(info, "a seqno within the log");
    if (engine_->log().at(s).kind != log::EntryKind::Execute) return info.Env().Undefined();
    return copyBytes(info.Env(), engine_->log().operation(s));
  }
  Napi::Value ViewOf(const Napi::CallbackInfo& info) {
    const uint64_t s = seqno(info, 0);
    return Napi::Number::New(info.Env(), inLog(s) ? static_cast<double>(engine_->log().at(s).view) : 0);
  }
  Napi::Value Send(const Napi::CallbackInfo& info) {
    Bytes body;
    if (!readBytes(info[2], body)) return wrongArgument(info, "a body");
    if (engine_) engine_->send(static_cast<int32_t>(number(info, 0)), static_cast<MessageType>(seqno(info, 1)), body);
    return info.Env().Undefined();
  }
  Napi::Value SendToStream(const Napi::CallbackInfo& info) {
    Bytes body;
    if (!readBytes(info[2], body)) return wrongArgument(info, "a body");
    if (engine_) engine_->sendToStream(static_cast<uint32_t>(seqno(info, 0)), static_cast<MessageType>(seqno(info, 1)), body);
    return info.Env().Undefined();
  }
  Napi::Value SetHalted(const Napi::CallbackInfo& info) {
    const Upcalls::Nested nested(upcalls_);
    if (engine_) engine_->setHalted(info[0].ToBoolean().Value());
    return info.Env().Undefined();
  }
  Napi::Value SessionDigest(const Napi::CallbackInfo& info) {
    Hash hash{};
    if (engine_) engine_->sessions().digest(hash);
    return copyBytes(info.Env(), hash);
  }
  Napi::Value Speak(const Napi::CallbackInfo& info) {
    if (engine_) engine_->speak(static_cast<uint8_t>(std::min(255u, info[0].As<Napi::Number>().Uint32Value())));
    return info.Env().Undefined();
  }
  Napi::Value Flush(const Napi::CallbackInfo& info) {
    const Upcalls::Nested nested(upcalls_);
    if (engine_) engine_->flush();
    return info.Env().Undefined();
  }
  Napi::Value Address(const Napi::CallbackInfo& info) {
    return engine_ ? addressValue(info.Env(), engine_->fabric().addressOf(engine_->endpoint())) : info.Env().Undefined();
  }
  Napi::Value Counters(const Napi::CallbackInfo& info) {
    Napi::Object o = Napi::Object::New(info.Env());
    if (udp_ && engine_) {
      fabric::UdpCounters c = udp_->counters(engine_->endpoint());
      addReceived(c, udp_->counters(engine_->groupEndpoint()));
      addReceived(c, leftGroup_);
      const auto set = [&](const char* name, uint64_t v) { o.Set(name, static_cast<double>(v)); };
      set("datagramsReceived", c.datagramsReceived); set("datagramsSent", c.datagramsSent); set("bytesReceived", c.bytesReceived);
      set("bytesSent", c.bytesSent); set("sendDrops", c.sendDrops); set("foreignDatagrams", c.foreignDatagrams);
      set("receiveCalls", c.receiveCalls); set("sendCalls", c.sendCalls);
      set("receiveBufferBytes", udp_->receiveBufferBytes(engine_->endpoint()));
    }
    return o;
  }
  Napi::Value Save(const Napi::CallbackInfo& info) {
    std::vector<uint8_t> out;
    if (!engine_ || !engine_->save(out)) return fail(info, "this engine's state can't be saved now");
    return copyBytes(info.Env(), out);
  }
  Napi::Value Load(const Napi::CallbackInfo& info) {
    Bytes in;
    if (!readBytes(info[0], in)) return wrongArgument(info, "the bytes that save() gave");
    if (!engine_ || !engine_->load(in)) return fail(info, "these bytes are no state of this engine");
    return info.Env().Undefined();
  }
  Napi::Value Close(const Napi::CallbackInfo& info) {
    if (engine_ && !closed_) {
      closed_ = true;
      engine_->close();
      if (!inUpcall_) engine_->discard();
      Unref();
    }
    return info.Env().Undefined();
  }

 private:
  struct Inside {
    explicit Inside(int& depth) : depth(depth) { depth++; }
    ~Inside() { depth--; }
    int& depth;
  };
  static double number(const Napi::CallbackInfo& info, size_t i) { return info[i].IsNumber() ? info[i].As<Napi::Number>().DoubleValue() : 0; }
  static uint64_t seqno(const Napi::CallbackInfo& info, size_t i) { const double d = number(info, i); return d > 0 ? static_cast<uint64_t>(d) : 0; }
  bool inLog(uint64_t s) const { return engine_ && engine_->log().has(s); }
  bool inLogOrBase(uint64_t s) const { return engine_ && s >= engine_->log().base() && s <= engine_->log().end(); }
  static bool readRecords(Napi::Value value, std::vector<Bytes>& out) {
    if (!value.IsArray()) return false;
    const Napi::Array list = value.As<Napi::Array>();
    out.resize(list.Length());
    for (uint32_t i = 0; i < list.Length(); i++) if (!readBytes(list.Get(i), out[i])) return false;
    return true;
  }
  static bool readHashes(Napi::Value value, size_t records, Bytes& out) { return readBytes(value, out) && out.size() == records * 32; }
  static Napi::Value wrongArgument(const Napi::CallbackInfo& info, const char* expected) {
    Napi::TypeError::New(info.Env(), std::string("expected ") + expected).ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  static Napi::Value fail(const Napi::CallbackInfo& info, const char* message) {
    Napi::Error::New(info.Env(), message).ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  void shut() {
    if (engine_) engine_->close();
    engine_.reset();
    upcalls_.release(onExecute_);
    upcalls_.release(onQuery_);
    upcalls_.release(onControl_);
    upcalls_.release(onComplaint_);
    upcalls_.release(onTick_);
    upcalls_.release(onAppended_);
    lent_.release(upcalls_.env());
    keep_.clear();
  }

  Upcalls upcalls_;
  napi_ref onExecute_ = nullptr, onQuery_ = nullptr, onControl_ = nullptr, onComplaint_ = nullptr, onTick_ = nullptr, onAppended_ = nullptr;
  LentBody lent_;
  std::vector<Napi::ObjectReference> keep_;
  std::unique_ptr<protocol::Replica> engine_;
  fabric::UdpFabric* udp_ = nullptr;      // null on the loop
  fabric::UdpCounters leftGroup_;         // of group endpoints that were left
  bool closed_ = false;
  int inUpcall_ = 0;
};

}  // namespace

Napi::Function defineReplicaEngine(Napi::Env env) {
  using O = ReplicaObject;
  return O::DefineClass(env, "ReplicaEngine", {
      O::InstanceMethod("nowUs", &O::NowUs), O::InstanceMethod("setTimer", &O::SetTimer), O::InstanceMethod("setProgressAt", &O::SetProgressAt), O::InstanceMethod("bootstrap", &O::Bootstrap),
      O::InstanceMethod("lifeId", &O::Life), O::InstanceMethod("freeze", &O::Freeze), O::InstanceMethod("install", &O::Install),
      O::InstanceMethod("commitTo", &O::CommitTo), O::InstanceMethod("prepareAgain", &O::PrepareAgain),
      O::InstanceMethod("prepareStats", &O::PrepareStats), O::InstanceMethod("answer", &O::Answer), O::InstanceMethod("hashAt", &O::HashAt),
      O::InstanceMethod("suffixRows", &O::SuffixRows), O::InstanceMethod("record", &O::Record),
      O::InstanceMethod("executedOperation", &O::ExecutedOperation), O::InstanceMethod("viewOf", &O::ViewOf), O::InstanceMethod("send", &O::Send),
      O::InstanceMethod("sendToStream", &O::SendToStream), O::InstanceMethod("setHalted", &O::SetHalted),
      O::InstanceMethod("sessionDigest", &O::SessionDigest), O::InstanceMethod("flush", &O::Flush), O::InstanceMethod("speak", &O::Speak), O::InstanceMethod("address", &O::Address),
      O::InstanceMethod("counters", &O::Counters), O::InstanceMethod("close", &O::Close), O::InstanceMethod("position", &O::Position),
      O::InstanceMethod("checkpointSessions", &O::CheckpointSessions), O::InstanceMethod("checkpointed", &O::Checkpointed),
      O::InstanceMethod("truncate", &O::Truncate), O::InstanceMethod("restore", &O::Restore),
      O::InstanceMethod("committedRun", &O::CommittedRun), O::InstanceMethod("appendRun", &O::AppendRun),
      O::InstanceMethod("reexecute", &O::Reexecute),
      O::InstanceMethod("setLife", &O::SetLife), O::InstanceMethod("hearRequests", &O::HearRequests), O::InstanceMethod("reconfigure", &O::Reconfigure),
      O::InstanceMethod("setDurable", &O::SetDurable), O::InstanceMethod("exportRows", &O::ExportRows),
      O::InstanceMethod("takeDisplaced", &O::TakeDisplaced), O::InstanceMethod("appendLoaded", &O::AppendLoaded), O::InstanceMethod("resume", &O::Resume),
      O::InstanceMethod("beginEpoch", &O::BeginEpoch), O::InstanceMethod("sendToAddress", &O::SendToAddress),
      O::InstanceMethod("save", &O::Save), O::InstanceMethod("load", &O::Load)});
}

}  // namespace squall::addon
