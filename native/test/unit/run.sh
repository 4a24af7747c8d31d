#!/usr/bin/env bash
# Builds and runs the native unit tests. CXX: the compiler (g++); SANITIZE=0: without sanitizers, optimised.
# An argument runs only the tests whose name contains it.
set -euo pipefail
cd "$(dirname "$0")/../../.."
. native/test/unit/sources.sh

flags="-std=c++20 -g -fno-exceptions $WARNINGS $INCLUDES -Inative/test/unit"
if [ "${SANITIZE:-1}" = 1 ]; then flags="$flags -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined"
else flags="$flags -O2"; fi

out=build/native-tests
build_objects "$out/unit-objects" "${CXX:-g++} $flags" $SOURCES native/test/unit/*.cc
${CXX:-g++} $flags "$out"/unit-objects/*.o -ldl -pthread -o "$out/unit"
exec "$out/unit" "$@"
