import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // A crash in the addon ends one child process, not the run.
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // Real processes on a machine that others share: CI tries once more and says which tests needed it; by hand, nothing is tried twice.
    retry: process.env.CI === undefined ? 0 : 1,
  },
});
