#include "addon/upcall.h"

namespace squall::addon {

Upcalls::Upcalls(napi_env env, const char* name) : env_(env) {
  napi_value object, label;
  if (napi_create_object(env, &object) == napi_ok) napi_create_reference(env, object, 1, &receiver_);
  if (napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &label) == napi_ok) napi_async_init(env, object, label, &context_);
}

Upcalls::~Upcalls() {
  if (context_) napi_async_destroy(env_, context_);
  release(receiver_);
}

bool Upcalls::bind(napi_value object, const char* name, napi_ref& out) {
  napi_value fn;
  napi_valuetype type;
  return napi_get_named_property(env_, object, name, &fn) == napi_ok && napi_typeof(env_, fn, &type) == napi_ok && type == napi_function &&
         napi_create_reference(env_, fn, 1, &out) == napi_ok;
}

void Upcalls::release(napi_ref& ref) {
  if (ref) napi_delete_reference(env_, ref);
  ref = nullptr;
}

bool Upcalls::call(napi_ref fn, size_t argc, const napi_value* argv, napi_value* result) {
  napi_value function, receiver, ignored;
  if (!fn || napi_get_reference_value(env_, fn, &function) != napi_ok || !function) return false;
  bool pending = false;
  if (napi_is_exception_pending(env_, &pending) != napi_ok || pending) return false;   // an earlier upcall threw: unwind first
  if (depth_ > 0 || alwaysNested_) {
    if (napi_get_undefined(env_, &receiver) != napi_ok) return false;
    return napi_call_function(env_, receiver, function, argc, argv, result ? result : &ignored) == napi_ok;
  }
  if (napi_get_reference_value(env_, receiver_, &receiver) != napi_ok) return false;
  return settle(napi_make_callback(env_, context_, receiver, function, argc, argv, result ? result : &ignored));
}

bool Upcalls::callSynchronous(napi_ref fn, size_t argc, const napi_value* argv, napi_value* result) {
  napi_value function, receiver;
  if (!fn || napi_get_reference_value(env_, fn, &function) != napi_ok || !function) return false;
  bool pending = false;
  if (napi_is_exception_pending(env_, &pending) != napi_ok || pending) return false;
  if (napi_get_undefined(env_, &receiver) != napi_ok) return false;
  const napi_status status = napi_call_function(env_, receiver, function, argc, argv, result);
  return depth_ > 0 || alwaysNested_ ? status == napi_ok : settle(status);
}

/// From the event loop nobody above catches: what was thrown is an uncaught exception.
bool Upcalls::settle(napi_status status) {
  if (status == napi_ok) return true;
  if (status == napi_pending_exception) {
    napi_value thrown;
    if (napi_get_and_clear_last_exception(env_, &thrown) == napi_ok) napi_fatal_exception(env_, thrown);
  }
  return false;
}

}  // namespace squall::addon
