# What the native unit tests and the fuzz targets share. Sourced with the repository's root as working directory.
# Sets SOURCES, INCLUDES and WARNINGS; build_objects compiles sources in parallel into a folder.

INCLUDES="-Inative"
WARNINGS="-Wall -Wextra"
# The UDP fabric is not among them: it lives on the event loop of Node, which exports libuv.
SOURCES=$(ls native/{wire,log,protocol,client,fabric}/*.cc 2>/dev/null | grep -v '^native/fabric/udp' || true)

# build_objects <folder> <compiler and flags> <source>...
build_objects() {
  local folder=$1 compile=$2
  shift 2
  mkdir -p "$folder"
  rm -f "$folder"/*.o
  printf '%s\n' "$@" |
    FOLDER=$folder COMPILE=$compile xargs -P "$(nproc)" -I{} sh -c '$COMPILE -c {} -o "$FOLDER/$(echo {} | tr / _).o"'
}
