#!/usr/bin/env bash
# Builds every *_fuzz.cc here with clang and runs each for FUZZ_SECONDS (20) with its corpus/<target>/ as the start.
# What a run finds goes to build/fuzz/; FUZZ_KEEP=1 replaces the corpus here by the smallest set with the same coverage.
# Arguments name the targets to run (frame_fuzz ...); default: all.
set -euo pipefail
cd "$(dirname "$0")/../../.."
. native/test/unit/sources.sh

compile="${CXX:-clang++} -std=c++20 -g -O1 -fno-exceptions $WARNINGS $INCLUDES -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined"
out=build/fuzz
build_objects "$out/objects" "$compile" $SOURCES

if [ $# -eq 0 ]; then set -- $(cd native/test/fuzz && ls ./*_fuzz.cc | sed 's|^\./||; s|\.cc$||'); fi
for target in "$@"; do
  $compile -fsanitize=fuzzer "native/test/fuzz/$target.cc" "$out"/objects/*.o -ldl -pthread -o "$out/$target"
  corpus=native/test/fuzz/corpus/$target found=$out/found/$target
  mkdir -p "$corpus" "$found" "$out/artifacts/$target"
  echo "== $target, ${FUZZ_SECONDS:-20} s"
  "$out/$target" "$found" "$corpus" -max_total_time="${FUZZ_SECONDS:-20}" -max_len=8192 -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix="$out/artifacts/$target/" -print_final_stats=1 2>"$out/$target.log" || { tail -60 "$out/$target.log"; exit 1; }
  grep -E "stat::(number_of_executed_units|average_exec_per_sec|peak_rss_mb)|^Done" "$out/$target.log" || true
  if [ "${FUZZ_KEEP:-0}" = 1 ]; then
    minimal=$out/minimal/$target
    rm -rf "$minimal" && mkdir -p "$minimal"
    "$out/$target" -set_cover_merge=1 "$minimal" "$corpus" "$found" -max_len=8192 2>>"$out/$target.log"
    rm -rf "$corpus" && mkdir -p "$corpus"
    ls -S "$minimal" | awk "NR < 100" | while read -r file; do cp "$minimal/$file" "$corpus/"; done
    echo "kept $(ls "$corpus" | wc -l) of $(ls "$minimal" | wc -l) inputs"
  fi
done
