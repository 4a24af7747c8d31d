{
  # native/sources.txt is the one list of sources; CMakeLists.txt reads it too.
  "variables": {
    "squall_mutations%": 0,
  },
  "target_defaults": {
    "sources": ["<!@(node -p \"require('fs').readFileSync('native/sources.txt','utf8').trim().split(/\\s+/).join(' ')\")"],
    "include_dirs": ["native", "<!(node -p \"require('node-addon-api').include_dir\")"],
    "defines": ["NAPI_VERSION=9", "NAPI_DISABLE_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fexceptions"],
    "cflags_cc": ["-std=c++20", "-O3", "-fno-exceptions", "-fvisibility=hidden", "-fvisibility-inlines-hidden", "-Wall", "-Wextra", "-Wno-unused-parameter"],
    "xcode_settings": {
      "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
      "GCC_ENABLE_CPP_EXCEPTIONS": "NO",
      "GCC_OPTIMIZATION_LEVEL": "3",
      "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
      "MACOSX_DEPLOYMENT_TARGET": "11.0",
    },
  },
  "targets": [{"target_name": "squall"}],
  "conditions": [
    # Guards that tests switch off one by one; never published.
    ["squall_mutations==1", {
      "targets": [{
        "target_name": "squall_mutations",
        "defines": ["SQUALL_MUTATIONS=1"],
        # Its operator new counts, and is nobody else's.
        "conditions": [["OS=='linux'", {"ldflags": ["-Wl,-Bsymbolic-functions"]}]],
      }],
    }],
  ],
}
