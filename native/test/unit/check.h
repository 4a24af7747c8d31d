// A small test runner: TEST(name) { CHECK(...); CHECK_EQ(a, b); }. A failed check is printed and the test goes on.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <type_traits>
#include <vector>

namespace check {

struct Test {
  const char* name;
  void (*run)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}
inline int& failures() {
  static int count = 0;
  return count;
}

struct Registration {
  Registration(const char* name, void (*run)()) { tests().push_back({name, run}); }
};

template <class T> std::string show(const T& value) {
  if constexpr (std::is_same_v<T, bool>) return value ? "true" : "false";
  else if constexpr (std::is_enum_v<T>) return std::to_string(static_cast<long long>(value));
  else if constexpr (std::is_integral_v<T> || std::is_floating_point_v<T>) return std::to_string(value);
  else if constexpr (std::is_convertible_v<T, std::string>) return "\"" + std::string(value) + "\"";
  else return "(value)";
}

template <class A, class B> bool equal(const A& a, const B& b) {
  if constexpr (std::is_integral_v<A> && std::is_integral_v<B> && !std::is_same_v<A, bool> && !std::is_same_v<B, bool>)
    return (a < 0) == (b < 0) && static_cast<uint64_t>(a) == static_cast<uint64_t>(b);
  else return a == b;
}

inline void fail(const char* file, int line, const std::string& what) {
  std::printf("  %s:%d: %s\n", file, line, what.c_str());
  failures()++;
}

template <class A, class B>
void checkEqual(const A& a, const B& b, const char* textA, const char* textB, const char* file, int line) {
  if (!equal(a, b))
    fail(file, line, std::string(textA) + " == " + textB + " does not hold: " + show(a) + ", " + show(b));
}

/// Runs the tests whose name contains `filter`; the exit code of the program.
inline int run(const char* filter) {
  int passed = 0, failed = 0;
  for (const Test& test : tests()) {
    if (filter && std::string(test.name).find(filter) == std::string::npos) continue;
    failures() = 0;
    test.run();
    std::printf("%s %s\n", failures() ? "FAIL" : "ok  ", test.name);
    std::fflush(stdout);
    (failures() ? failed : passed)++;
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed || !passed ? 1 : 0;
}

}  // namespace check

#define TEST(name)                                                        \
  static void test_##name();                                              \
  static const check::Registration registration_##name(#name, test_##name); \
  static void test_##name()
#define CHECK(condition) \
  do { if (!(condition)) check::fail(__FILE__, __LINE__, #condition); } while (0)
#define CHECK_EQ(a, b) check::checkEqual((a), (b), #a, #b, __FILE__, __LINE__)
