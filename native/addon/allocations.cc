// Test builds count what the addon's own code takes from the heap, to show that steady state takes nothing.
#ifdef SQUALL_MUTATIONS
#include <cstdint>
#include <cstdlib>
#include <new>

#include "addon/values.h"

namespace {

thread_local uint64_t allocations = 0;

void* allocate(size_t bytes) {
  ++allocations;
  void* memory = std::malloc(bytes ? bytes : 1);
  if (memory == nullptr) std::abort();
  return memory;
}

}  // namespace

// The linker binds the addon's calls to these (-Bsymbolic-functions); nobody else's.
void* operator new(size_t bytes) { return allocate(bytes); }
void* operator new[](size_t bytes) { return allocate(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

namespace squall::addon {

Napi::Value allocationCount(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), static_cast<double>(allocations)); }

}  // namespace squall::addon
#endif
