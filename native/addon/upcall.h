// Calls from native into JavaScript. Every status is checked: user code may throw anything, the environment may be going down.
#pragma once

#include <napi.h>

#include <initializer_list>

namespace squall::addon {

class Upcalls {
 public:
  Upcalls(napi_env env, const char* name);
  ~Upcalls();
  Upcalls(const Upcalls&) = delete;
  Upcalls& operator=(const Upcalls&) = delete;

  napi_env env() const { return env_; }
  /// Takes the function property `name` of `object`; false if it is no function.
  bool bind(napi_value object, const char* name, napi_ref& out);
  void release(napi_ref& ref);

  /// Counts calls from JavaScript into the engine: upcalls below one are ordinary calls whose exceptions travel on to that
  /// caller; upcalls from the event loop drain microtasks and report exceptions as uncaught.
  class Nested {
   public:
    explicit Nested(Upcalls& u) : upcalls_(u) { upcalls_.depth_++; }
    ~Nested() { upcalls_.depth_--; }
   private:
    Upcalls& upcalls_;
  };
  void setAlwaysNested() { alwaysNested_ = true; }

  /// Calls fn; true when it returned normally. `result` is valid only inside a scope that the caller opened.
  bool call(napi_ref fn, size_t argc, const napi_value* argv, napi_value* result = nullptr);
  /// The same without draining microtasks, for an upcall that starts none: the machine's, which is synchronous by contract.
  bool callSynchronous(napi_ref fn, size_t argc, const napi_value* argv, napi_value* result);

 private:
  bool settle(napi_status status);
  napi_env env_;
  napi_async_context context_ = nullptr;
  napi_ref receiver_ = nullptr;
  int depth_ = 0;
  bool alwaysNested_ = false;
};

/// A handle scope for code that runs from the event loop.
class Scope {
 public:
  explicit Scope(napi_env env) : env_(env) { if (napi_open_handle_scope(env, &scope_) != napi_ok) scope_ = nullptr; }
  ~Scope() { if (scope_) napi_close_handle_scope(env_, scope_); }
  bool ok() const { return scope_ != nullptr; }
 private:
  napi_env env_;
  napi_handle_scope scope_ = nullptr;
};

}  // namespace squall::addon
