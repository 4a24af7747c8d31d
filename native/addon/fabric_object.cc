// UdpFabric and LoopHub as JavaScript objects.
#include <algorithm>

#include "addon/values.h"

namespace squall::addon {

namespace {

constexpr napi_type_tag kUdpTag = {0x51c4a1f0d3b24a01, 0x9e7755aa10c0ffee};
constexpr napi_type_tag kHubTag = {0x51c4a1f0d3b24a02, 0x9e7755aa10c0ffee};

/// Node closes the environment only after the sockets' handles are closed: hence an asynchronous cleanup hook.
struct Hook {
  std::shared_ptr<fabric::UdpFabric> fabric;
  napi_async_cleanup_hook_handle handle = nullptr;
  bool closing = false;
  static void done(void* context) {
    Hook* hook = static_cast<Hook*>(context);
    if (hook->handle) napi_remove_async_cleanup_hook(hook->handle);
    delete hook;
  }
  void close() {
    if (closing) return;
    closing = true;
    fabric->close(&Hook::done, this);
  }
};

class UdpFabricObject : public Napi::ObjectWrap<UdpFabricObject> {
 public:
  explicit UdpFabricObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<UdpFabricObject>(info) {
    uv_loop_t* loop = nullptr;
    if (napi_get_uv_event_loop(info.Env(), &loop) != napi_ok) {
      Napi::Error::New(info.Env(), "no event loop").ThrowAsJavaScriptException();
      return;
    }
    fabric_ = std::make_shared<fabric::UdpFabric>(loop);
    hook_ = new Hook{fabric_};
    napi_add_async_cleanup_hook(
        info.Env(), [](napi_async_cleanup_hook_handle, void* arg) { static_cast<Hook*>(arg)->close(); }, hook_, &hook_->handle);
    napi_type_tag_object(info.Env(), info.This(), &kUdpTag);
  }
  std::shared_ptr<fabric::UdpFabric> fabric() { return fabric_; }

  Napi::Value Close(const Napi::CallbackInfo& info) {
    if (hook_) { Hook* hook = hook_; hook_ = nullptr; hook->close(); }
    return info.Env().Undefined();
  }
  Napi::Value SetMaxDatagramBytes(const Napi::CallbackInfo& info) {
    if (info.Length() > 0 && info[0].IsNumber()) fabric_->setMaxDatagramBytes(info[0].As<Napi::Number>().Uint32Value());
    return info.Env().Undefined();
  }
  Napi::Value SetReordering(const Napi::CallbackInfo& info) {
    fabric::ReorderOptions reorder;
    Options o(info.Env(), info[0]);
    reorder.ppm = static_cast<uint32_t>(o.number("ppm", 0));
    reorder.seed = static_cast<uint64_t>(o.number("seed", 0));
    reorder.behind = static_cast<uint32_t>(o.number("behind", reorder.behind));
    if (o.raise()) return info.Env().Undefined();
    return Napi::Number::New(info.Env(), fabric_->setReordering(reorder));
  }
  Napi::Value WaitCounters(const Napi::CallbackInfo& info) {
    const fabric::WaitCounters c = fabric_->waitCounters();
    Napi::Object o = Napi::Object::New(info.Env());
    o.Set("looks", static_cast<double>(c.looks));
    o.Set("found", static_cast<double>(c.found));
    o.Set("missed", static_cast<double>(c.missed));
    o.Set("robbed", static_cast<double>(c.robbed));
    return o;
  }

 private:
  std::shared_ptr<fabric::UdpFabric> fabric_;
  Hook* hook_ = nullptr;
};

class LoopHubObject : public Napi::ObjectWrap<LoopHubObject> {
 public:
  explicit LoopHubObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<LoopHubObject>(info) {
    const uint64_t lo = info[0].IsNumber() ? info[0].As<Napi::Number>().Uint32Value() : 0;
    const uint64_t hi = info[1].IsNumber() ? info[1].As<Napi::Number>().Uint32Value() : 0;
    hub_ = std::make_shared<fabric::LoopHub>(hi << 32 | lo);
    napi_type_tag_object(info.Env(), info.This(), &kHubTag);
  }
  std::shared_ptr<fabric::LoopHub> hub() { return hub_; }

  static uint32_t u32(const Napi::CallbackInfo& info, size_t i) { return info[i].IsNumber() ? info[i].As<Napi::Number>().Uint32Value() : 0; }
  static uint64_t u64(const Napi::CallbackInfo& info, size_t i) {
    const double d = info[i].IsNumber() ? info[i].As<Napi::Number>().DoubleValue() : 0;
    return d >= 1.8e19 ? fabric::kNever : d <= 0 ? 0 : static_cast<uint64_t>(d);
  }
  static fabric::PathOptions path(Napi::Value value) {
    fabric::PathOptions out;
    Options o(value.Env(), value);
    out.baseDelayUs = static_cast<uint32_t>(o.number("baseDelayUs", out.baseDelayUs));
    out.jitterUs = static_cast<uint32_t>(o.number("jitterUs", out.jitterUs));
    out.lossPpm = static_cast<uint32_t>(o.number("lossPpm", 0));
    out.duplicatePpm = static_cast<uint32_t>(o.number("duplicatePpm", 0));
    out.reorderPpm = static_cast<uint32_t>(o.number("reorderPpm", 0));
    out.reorderDelayUs = static_cast<uint32_t>(o.number("reorderDelayUs", out.reorderDelayUs));
    out.corruptPpm = static_cast<uint32_t>(o.number("corruptPpm", 0));
    o.raise();
    return out;
  }

  Napi::Value AddPort(const Napi::CallbackInfo& info) {
    fabric::LoopPort* port = hub_->addPort();
    return Napi::Number::New(info.Env(), port ? port->index() : -1);
  }
  Napi::Value SetGroup(const Napi::CallbackInfo& info) {
    std::vector<uint16_t> ports;
    if (info[1].IsArray()) {
      const Napi::Array list = info[1].As<Napi::Array>();
      for (uint32_t i = 0; i < list.Length(); i++) ports.push_back(static_cast<uint16_t>(list.Get(i).ToNumber().Uint32Value()));
    }
    hub_->setGroup(static_cast<uint16_t>(u32(info, 0)), ports.data(), ports.size());
    return info.Env().Undefined();
  }
  Napi::Value SetDefaultPath(const Napi::CallbackInfo& info) { hub_->setAllPaths(path(info[0])); return info.Env().Undefined(); }
  Napi::Value SetPath(const Napi::CallbackInfo& info) {
    const uint16_t from = static_cast<uint16_t>(u32(info, 0)), to = static_cast<uint16_t>(u32(info, 1));
    fabric::PathOptions options = path(info[2]);
    options.blocked = hub_->path(from, to).blocked;
    hub_->setPath(from, to, options);
    return info.Env().Undefined();
  }
  Napi::Value SetBlocked(const Napi::CallbackInfo& info) {
    hub_->setBlocked(static_cast<uint16_t>(u32(info, 0)), static_cast<uint16_t>(u32(info, 1)), info[2].ToBoolean().Value());
    return info.Env().Undefined();
  }
  Napi::Value SetMulticastSkew(const Napi::CallbackInfo& info) { hub_->setMulticastSkew(u32(info, 0)); return info.Env().Undefined(); }
  Napi::Value SetClock(const Napi::CallbackInfo& info) {
    const double offset = info[1].IsNumber() ? info[1].As<Napi::Number>().DoubleValue() : 0;
    const double drift = info[2].IsNumber() ? info[2].As<Napi::Number>().DoubleValue() : 0;
    hub_->setClock(static_cast<uint16_t>(u32(info, 0)), static_cast<int64_t>(offset), static_cast<int32_t>(drift));
    return info.Env().Undefined();
  }
  Napi::Value Pause(const Napi::CallbackInfo& info) { hub_->pause(static_cast<uint16_t>(u32(info, 0)), u64(info, 1)); return info.Env().Undefined(); }
  Napi::Value SetOpen(const Napi::CallbackInfo& info) {
    if (info[1].ToBoolean().Value()) hub_->reopenPort(static_cast<uint16_t>(u32(info, 0)));
    else hub_->closePort(static_cast<uint16_t>(u32(info, 0)));
    return info.Env().Undefined();
  }
  Napi::Value SetPacking(const Napi::CallbackInfo& info) { hub_->setPacking(info[0].ToBoolean().Value()); return info.Env().Undefined(); }
  Napi::Value NowUs(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), static_cast<double>(hub_->nowUs())); }
  Napi::Value NextEventUs(const Napi::CallbackInfo& info) {
    const uint64_t next = hub_->nextEventUs();
    return Napi::Number::New(info.Env(), next == fabric::kNever ? -1 : static_cast<double>(next));
  }
  Napi::Value Run(const Napi::CallbackInfo& info) {
    const uint64_t until = u64(info, 0), most = info.Length() > 1 ? u64(info, 1) : fabric::kNever;
    // In slices, so that an exception thrown by an upcall ends the run soon after the event that threw.
    uint64_t ran = 0;
    const Napi::Env env = info.Env();
    while (ran < most) {
      const uint64_t slice = hub_->run(until, std::min<uint64_t>(most - ran, 256));
      ran += slice;
      if (env.IsExceptionPending()) return env.Undefined();
      if (slice < 256) break;
    }
    return Napi::Number::New(env, static_cast<double>(ran));
  }
  Napi::Value Stop(const Napi::CallbackInfo& info) { hub_->stop(); return info.Env().Undefined(); }
  Napi::Value Trace(const Napi::CallbackInfo& info) {
    Bytes bytes;
    if (readBytes(info[0], bytes) && hub_->portCount()) hub_->port(0)->trace(nullptr, 't', bytes);
    return info.Env().Undefined();
  }
  Napi::Value TraceHash(const Napi::CallbackInfo& info) {
    Hash hash;
    hub_->traceHash(hash);
    return copyBytes(info.Env(), hash);
  }
  Napi::Value PortCounters(const Napi::CallbackInfo& info) {
    const uint32_t port = info[0].IsNumber() ? info[0].As<Napi::Number>().Uint32Value() : 0xffff;
    const fabric::LoopPortCounters c = hub_->portCounters(static_cast<uint16_t>(std::min(port, 0xffffu)));
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("sent", static_cast<double>(c.sent));
    out.Set("received", static_cast<double>(c.received));
    return out;
  }
  Napi::Value Counters(const Napi::CallbackInfo& info) {
    const fabric::LoopCounters& c = hub_->counters();
    Napi::Object o = Napi::Object::New(info.Env());
    const auto set = [&](const char* name, uint64_t v) { o.Set(name, static_cast<double>(v)); };
    set("sent", c.sent); set("delivered", c.delivered); set("lost", c.lost); set("duplicated", c.duplicated); set("reordered", c.reordered);
    set("corrupted", c.corrupted); set("blocked", c.blocked); set("deferred", c.deferred); set("closed", c.closed); set("foreign", c.foreign);
    set("overflow", c.queueFull); set("timers", c.timers);
    return o;
  }

 private:
  std::shared_ptr<fabric::LoopHub> hub_;
};

}  // namespace

std::shared_ptr<fabric::Fabric> fabricOf(Napi::Env env, Options& options, bool& loop) {
  const Napi::Value value = options.value("fabric");
  loop = false;
  bool tagged = false;
  if (value.IsObject()) {
    if (napi_check_object_type_tag(env, value, &kUdpTag, &tagged) == napi_ok && tagged) {
      std::shared_ptr<fabric::UdpFabric> udp = UdpFabricObject::Unwrap(value.As<Napi::Object>())->fabric();
      udp->setMaxDatagramBytes(std::max(udp->maxDatagramBytes(), static_cast<uint32_t>(options.number("datagramBytes", 1400))));
      if (!options.boolean("packing", true)) udp->setPacking(false);
      return udp;
    }
    if (napi_check_object_type_tag(env, value, &kHubTag, &tagged) == napi_ok && tagged) {
      std::shared_ptr<fabric::LoopHub> hub = LoopHubObject::Unwrap(value.As<Napi::Object>())->hub();
      fabric::LoopPort* port = hub->port(static_cast<uint16_t>(options.number("loopPort", 0)));
      loop = true;
      if (port) return {hub, port};    // lives as long as the hub
    }
    if (std::shared_ptr<fabric::Fabric> capture = captureOf(env, value)) {
      loop = true;
      return capture;
    }
  }
  options.wrong("fabric");
  return nullptr;
}

Napi::Function defineUdpFabric(Napi::Env env) {
  using O = UdpFabricObject;
  return O::DefineClass(env, "UdpFabric", {O::InstanceMethod("close", &O::Close), O::InstanceMethod("setMaxDatagramBytes", &O::SetMaxDatagramBytes),
      O::InstanceMethod("setReordering", &O::SetReordering), O::InstanceMethod("waitCounters", &O::WaitCounters)});
}

Napi::Function defineLoopHub(Napi::Env env) {
  using O = LoopHubObject;
  return O::DefineClass(env, "LoopHub", {
      O::InstanceMethod("addPort", &O::AddPort), O::InstanceMethod("setGroup", &O::SetGroup),
      O::InstanceMethod("setDefaultPath", &O::SetDefaultPath), O::InstanceMethod("setPath", &O::SetPath),
      O::InstanceMethod("setBlocked", &O::SetBlocked), O::InstanceMethod("setMulticastSkew", &O::SetMulticastSkew),
      O::InstanceMethod("setClock", &O::SetClock), O::InstanceMethod("pause", &O::Pause), O::InstanceMethod("setOpen", &O::SetOpen),
      O::InstanceMethod("setPacking", &O::SetPacking), O::InstanceMethod("nowUs", &O::NowUs), O::InstanceMethod("nextEventUs", &O::NextEventUs),
      O::InstanceMethod("run", &O::Run), O::InstanceMethod("stop", &O::Stop), O::InstanceMethod("trace", &O::Trace),
      O::InstanceMethod("traceHash", &O::TraceHash), O::InstanceMethod("counters", &O::Counters),
      O::InstanceMethod("portCounters", &O::PortCounters)});
}

}  // namespace squall::addon
