// Client and tool engines and the relay as JavaScript objects.
#include "addon/upcall.h"
#include "addon/values.h"
#include "client/client.h"
#include "client/tool.h"
#include "protocol/relay.h"

namespace squall::addon {

namespace {

fabric::Address anyAddressFor(const std::vector<fabric::Address>& peers, const fabric::Address& target) {
  fabric::Address out;
  out.family = target.family ? target.family : peers.empty() ? uint8_t{4} : peers[0].family;
  return out;
}

class ClientObject : public Napi::ObjectWrap<ClientObject>, public client::ClientUpcalls {
 public:
  explicit ClientObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ClientObject>(info), upcalls_(info.Env(), "squall.client") {
    const Napi::Env env = info.Env();
    Options o(env, info[0]);
    client::ClientConfig c;
    bool loop = false;
    const std::shared_ptr<fabric::Fabric> fabric = fabricOf(env, o, loop);
    c.group = wire::load<uint64_t>(o.bytes<8>("group").data());
    c.clientId = wire::load<uint64_t>(o.bytes<8>("clientId").data());
    c.key = o.bytes<32>("key");
    c.replicas = o.addresses("replicas");
    const std::string design = o.text("design", "unicast");
    if (design != "unicast") c.target = o.address("target", true);
    c.bind = o.address("bind", false);
    if (!c.bind.family && !c.replicas.empty()) c.bind = anyAddressFor(c.replicas, c.target);
    if (design == "multicast") c.multicastInterface = o.interfaceAddress("multicastInterface");
    c.sealed = o.boolean("sealed", true);
    c.ordered = o.boolean("ordered", false);
    c.toLeader = o.boolean("toLeader", false);
    c.datagramBytes = static_cast<uint32_t>(o.number("datagramBytes", 1400));
    c.maxOperationBytes = static_cast<uint32_t>(o.number("maxOperationBytes", 1 << 20));
    c.window = static_cast<uint32_t>(o.number("window", 64));
    c.minRetryMs = static_cast<uint32_t>(o.number("minRetryMs", 5));
    c.maxRetryMs = static_cast<uint32_t>(o.number("maxRetryMs", 500));
    c.guardsOff = static_cast<uint32_t>(o.number("guardsOff", 0));
    const std::string misbehave = o.text("misbehave", "none");
    if (loop) c.misbehave = misbehave == "reuse" ? client::Misbehave::Reuse : misbehave == "equivocate" ? client::Misbehave::Equivocate : client::Misbehave::None;
    const fabric::WaitMode wait = waitModeOf(o);
    client::ClientRegion r;
    size_t bytes = 0;
    r.status = reinterpret_cast<double*>(o.memory("status", bytes, keep_));
    if (bytes < client::kClientWords * sizeof(double)) o.wrong("status");
    r.requests = reinterpret_cast<const client::RequestRow*>(o.memory("requestRows", bytes, keep_));
    r.requestCapacity = static_cast<uint32_t>(bytes / sizeof(client::RequestRow));
    r.reads = reinterpret_cast<const client::RequestRow*>(o.memory("readRows", bytes, keep_));
    r.readCapacity = static_cast<uint32_t>(bytes / sizeof(client::RequestRow));
    r.arena = o.memory("arena", r.arenaBytes, keep_);
    r.completions = reinterpret_cast<client::CompletionRow*>(o.memory("completionRows", bytes, keep_));
    r.completionCapacity = static_cast<uint32_t>(bytes / sizeof(client::CompletionRow));
    r.results = o.memory("results", r.resultBytes, keep_);
    if (!r.completionCapacity || r.resultBytes < c.maxOperationBytes) o.wrong("results");
    if (r.readCapacity > 1024) o.wrong("readRows");
    if (c.window < 1 || c.window > 1024) o.wrong("window");
    if (!info[1].IsObject() || !upcalls_.bind(info[1], "onComplete", onComplete_) || !upcalls_.bind(info[1], "onState", onState_)) o.wrong("upcalls");
    if (o.raise()) return;
    if (loop) upcalls_.setAlwaysNested();
    auto engine = std::make_unique<client::Client>(fabric, c, r, *this);
    if (const int error = engine->open()) {
      engine.reset();
      throwErrno(env, error, "cannot bind", c.bind);
      return;
    }
    udp_ = loop ? nullptr : static_cast<fabric::UdpFabric*>(fabric.get());
    if (udp_) udp_->setWait(engine.get(), wait);
    engine_ = std::move(engine);
    Ref();
  }
  ~ClientObject() override { shut(); }
  void Finalize(Napi::Env) override { shut(); }

  void complete(uint32_t count) override {
    const Scope scope(upcalls_.env());
    napi_value argument;
    if (scope.ok() && napi_create_uint32(upcalls_.env(), count, &argument) == napi_ok) upcalls_.call(onComplete_, 1, &argument);
  }
  void state(client::ClientState state) override {
    const Scope scope(upcalls_.env());
    napi_value argument;
    if (scope.ok() && napi_create_uint32(upcalls_.env(), static_cast<uint32_t>(state), &argument) == napi_ok) upcalls_.call(onState_, 1, &argument);
  }

  Napi::Value Start(const Napi::CallbackInfo& info) {
    const Upcalls::Nested nested(upcalls_);
    if (engine_) engine_->start();
    return info.Env().Undefined();
  }
  Napi::Value Flush(const Napi::CallbackInfo& info) {
    const Upcalls::Nested nested(upcalls_);
    const uint32_t count = info[0].IsNumber() ? info[0].As<Napi::Number>().Uint32Value() : 0;
    if (engine_ && !engine_->flush(count))
      Napi::Error::New(info.Env(), "request rows do not fit the window").ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  Napi::Value FlushReads(const Napi::CallbackInfo& info) {
    const Upcalls::Nested nested(upcalls_);
    const uint32_t count = info[0].IsNumber() ? info[0].As<Napi::Number>().Uint32Value() : 0;
    if (engine_ && !engine_->flushReads(count)) Napi::Error::New(info.Env(), "read rows do not fit the window").ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  Napi::Value SetAddresses(const Napi::CallbackInfo& info) {
    Options o(info.Env(), info[0]);
    const std::vector<fabric::Address> replicas = o.addresses("replicas");
    const fabric::Address target = o.address("target", false);
    if (!o.raise() && engine_) engine_->setAddresses(replicas, target);
    return info.Env().Undefined();
  }
  Napi::Value Scramble(const Napi::CallbackInfo& info) {
    if (engine_) engine_->scramble(info[0].ToBoolean().Value());
    return info.Env().Undefined();
  }
  Napi::Value NowUs(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), engine_ ? static_cast<double>(engine_->nowUs()) : 0); }
  Napi::Value Session(const Napi::CallbackInfo& info) {
    uint8_t id[8];
    wire::store<uint64_t>(id, engine_ ? engine_->session() : 0);
    return copyBytes(info.Env(), id);
  }
  Napi::Value RefLoop(const Napi::CallbackInfo& info) {
    if (udp_ && engine_ && !closed_) udp_->ref(engine_.get());
    return info.Env().Undefined();
  }
  Napi::Value UnrefLoop(const Napi::CallbackInfo& info) {
    if (udp_ && engine_ && !closed_) udp_->unref(engine_.get());
    return info.Env().Undefined();
  }
  Napi::Value Address(const Napi::CallbackInfo& info) {
    return engine_ ? addressValue(info.Env(), engine_->fabric().addressOf(engine_->endpoint())) : info.Env().Undefined();
  }
  Napi::Value Close(const Napi::CallbackInfo& info) {
    if (engine_ && !closed_) {
      closed_ = true;
      engine_->close();
      Unref();
    }
    return info.Env().Undefined();
  }

 private:
  void shut() {
    if (engine_) engine_->close();
    engine_.reset();
    upcalls_.release(onComplete_);
    upcalls_.release(onState_);
    keep_.clear();
  }
  Upcalls upcalls_;
  napi_ref onComplete_ = nullptr, onState_ = nullptr;
  std::vector<Napi::ObjectReference> keep_;
  std::unique_ptr<client::Client> engine_;
  fabric::UdpFabric* udp_ = nullptr;
  bool closed_ = false;
};

class ToolObject : public Napi::ObjectWrap<ToolObject> {
 public:
  explicit ToolObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ToolObject>(info), upcalls_(info.Env(), "squall.tool") {
    const Napi::Env env = info.Env();
    Options o(env, info[0]);
    bool loop = false;
    const std::shared_ptr<fabric::Fabric> fabric = fabricOf(env, o, loop);
    wire::ChannelConfig c{};
    const std::string role = o.text("role", "client");
    if (role != "client" && role != "operator") o.wrong("role");
    c.role = role == "operator" ? wire::Role::Operator : wire::Role::Client;
    c.group = wire::load<uint64_t>(o.bytes<8>("group").data());
    c.self = wire::load<uint64_t>(o.bytes<8>("id").data());
    c.secret = o.bytes<32>("key");
    c.sealed = o.boolean("sealed", true);
    c.maxFrameBytes = static_cast<uint32_t>(o.number("datagramBytes", 1400));
    const std::vector<fabric::Address> replicas = o.addresses("replicas");
    const fabric::Address target = o.address("target", false);
    const fabric::Address interface = o.interfaceAddress("multicastInterface");
    napi_valuetype type = napi_undefined;
    if (napi_typeof(env, info[1], &type) != napi_ok || type != napi_function || napi_create_reference(env, info[1], 1, &onMessage_) != napi_ok) o.wrong("onMessage");
    if (o.raise()) return;
    if (loop) upcalls_.setAlwaysNested();
    engine_ = std::make_unique<client::Tool>(fabric, c, replicas, target, [this](const wire::Opened& frame) { message(frame); });
    const fabric::Address bind = anyAddressFor(replicas, {});
    if (const int error = engine_->open(bind)) {
      engine_.reset();
      throwErrno(env, error, "cannot bind", bind);
      return;
    }
    if (!loop && interface.family) static_cast<fabric::UdpFabric*>(fabric.get())->setMulticastInterface(engine_->endpoint(), interface);
    Ref();
    open_ = true;
  }
  ~ToolObject() override { shut(); }
  void Finalize(Napi::Env) override { shut(); }

  Napi::Value Send(const Napi::CallbackInfo& info) {
    Bytes body;
    if (!readBytes(info[2], body) || !info[0].IsNumber() || !info[1].IsNumber()) {
      Napi::TypeError::New(info.Env(), "expected (replica, type, body)").ThrowAsJavaScriptException();
      return info.Env().Undefined();
    }
    const Upcalls::Nested nested(upcalls_);
    if (!engine_ || !open_) return info.Env().Undefined();
    const auto type = static_cast<MessageType>(info[1].As<Napi::Number>().Uint32Value());
    const int64_t replica = info[0].As<Napi::Number>().Int64Value();
    if (replica < 0) engine_->sendToTarget(type, body);
    else engine_->send(static_cast<uint32_t>(std::min<int64_t>(replica, UINT32_MAX)), type, body);
    return info.Env().Undefined();
  }
  Napi::Value Ask(const Napi::CallbackInfo& info) {
    Bytes body;
    if (!readBytes(info[2], body) || !info[0].IsNumber() || !info[1].IsNumber()) {
      Napi::TypeError::New(info.Env(), "expected (replica, type, body)").ThrowAsJavaScriptException();
      return info.Env().Undefined();
    }
    const Upcalls::Nested nested(upcalls_);
    if (engine_ && open_)
      engine_->ask(info[0].As<Napi::Number>().Uint32Value(), static_cast<MessageType>(info[1].As<Napi::Number>().Uint32Value()), body);
    return info.Env().Undefined();
  }
  Napi::Value Close(const Napi::CallbackInfo& info) {
    if (open_) { open_ = false; engine_->close(); Unref(); }
    return info.Env().Undefined();
  }

 private:
  void message(const wire::Opened& frame) {
    napi_env env = upcalls_.env();
    const Scope scope(env);
    napi_value arguments[3];
    if (!scope.ok() || napi_create_uint32(env, static_cast<uint32_t>(frame.type), &arguments[0]) != napi_ok ||
        napi_create_double(env, static_cast<double>(frame.sender), &arguments[1]) != napi_ok ||
        napi_create_buffer_copy(env, frame.body.size(), frame.body.data(), nullptr, &arguments[2]) != napi_ok) return;
    upcalls_.call(onMessage_, 3, arguments);
  }
  void shut() {
    open_ = false;
    if (engine_) engine_->close();
    engine_.reset();
    upcalls_.release(onMessage_);
  }
  Upcalls upcalls_;
  napi_ref onMessage_ = nullptr;
  std::unique_ptr<client::Tool> engine_;
  bool open_ = false;
};

class RelayObject : public Napi::ObjectWrap<RelayObject> {
 public:
  explicit RelayObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<RelayObject>(info) {
    const Napi::Env env = info.Env();
    Options o(env, info[0]);
    bool loop = false;
    const std::shared_ptr<fabric::Fabric> fabric = fabricOf(env, o, loop);
    const fabric::Address bind = o.address("bind", true);
    const std::vector<fabric::Address> targets = o.addresses("targets");
    const fabric::Address interface = o.interfaceAddress("multicastInterface");
    if (o.raise()) return;
    udp_ = loop ? nullptr : static_cast<fabric::UdpFabric*>(fabric.get());
    relay_ = std::make_unique<protocol::Relay>(fabric, targets);
    if (const int error = relay_->open(bind)) {
      relay_.reset();
      throwErrno(env, error, "cannot bind", bind);
      return;
    }
    if (udp_ && interface.family) udp_->setMulticastInterface(relay_->endpoint(), interface);
    Ref();
    open_ = true;
  }
  ~RelayObject() override { relay_.reset(); }
  void Finalize(Napi::Env) override { relay_.reset(); }
  Napi::Value SetTargets(const Napi::CallbackInfo& info) {
    Options o(info.Env(), info[0]);
    std::vector<fabric::Address> targets = o.addresses("targets");
    if (!o.raise() && open_) relay_->setTargets(std::move(targets));
    return info.Env().Undefined();
  }
  Napi::Value Counters(const Napi::CallbackInfo& info) {
    Napi::Object o = Napi::Object::New(info.Env());
    if (udp_ && open_) {
      const fabric::UdpCounters c = udp_->counters(relay_->endpoint());
      o.Set("datagramsReceived", static_cast<double>(c.datagramsReceived));
      o.Set("datagramsSent", static_cast<double>(c.datagramsSent));
      o.Set("sendDrops", static_cast<double>(c.sendDrops));
    }
    return o;
  }
  Napi::Value Close(const Napi::CallbackInfo& info) {
    if (open_) { open_ = false; relay_->close(); Unref(); }
    return info.Env().Undefined();
  }

 private:
  std::unique_ptr<protocol::Relay> relay_;
  fabric::UdpFabric* udp_ = nullptr;
  bool open_ = false;
};

}  // namespace

Napi::Function defineClientEngine(Napi::Env env) {
  using O = ClientObject;
  return O::DefineClass(env, "ClientEngine", {
      O::InstanceMethod("start", &O::Start), O::InstanceMethod("flush", &O::Flush), O::InstanceMethod("flushReads", &O::FlushReads), O::InstanceMethod("scramble", &O::Scramble),
      O::InstanceMethod("setAddresses", &O::SetAddresses), O::InstanceMethod("nowUs", &O::NowUs), O::InstanceMethod("session", &O::Session), O::InstanceMethod("ref", &O::RefLoop),
      O::InstanceMethod("unref", &O::UnrefLoop), O::InstanceMethod("address", &O::Address), O::InstanceMethod("close", &O::Close)});
}
Napi::Function defineToolEngine(Napi::Env env) {
  using O = ToolObject;
  return O::DefineClass(env, "ToolEngine", {O::InstanceMethod("send", &O::Send), O::InstanceMethod("ask", &O::Ask), O::InstanceMethod("close", &O::Close)});
}
Napi::Function defineRelay(Napi::Env env) {
  using O = RelayObject;
  return O::DefineClass(env, "Relay", {O::InstanceMethod("setTargets", &O::SetTargets), O::InstanceMethod("counters", &O::Counters), O::InstanceMethod("close", &O::Close)});
}

}  // namespace squall::addon
