/** Says on few lines what the tests came to: failed tests first, each behind "!!", then `N passed, N failed`. Argument: vitest's JSON report. */
import { readFileSync } from "node:fs";

const report = JSON.parse(readFileSync(process.argv[2], "utf8"));
for (const file of report.testResults) {
  const failed = file.assertionResults.filter((test) => test.status === "failed");
  if (file.status === "failed" && failed.length === 0) console.log(`!! ${file.name}: ${firstLines(file.message)}`);
  for (const test of failed) console.log(`!! ${test.fullName} (${file.name}): ${firstLines(test.failureMessages.join(" "))}`);
}
console.log(`${report.numPassedTests} passed, ${report.numFailedTests} failed`);

function firstLines(text) {
  return (text ?? "").replaceAll(/\s+/g, " ").slice(0, 400);
}
