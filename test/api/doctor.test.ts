import { type DoctorCheck, doctor, type ReplicaReport } from "squall";
import { beforeAll, describe, expect, it } from "vitest";
import type { Cluster } from "../../src/config-types.js";
import { judgeGroup, judgeMember, judgeTarget, type LocalFacts, type Member } from "../../src/doctor/judge.js";
import { newStatusWords, readProgress } from "../../src/status.js";
import { rejection, startGroup, testCluster } from "./support.js";

const life = "ab".repeat(16);
const own = { version: "1.2.3", configDigest: "cd" };
const nothing: LocalFacts = { mtu: undefined, lostDatagrams: undefined };
let cluster: Cluster;

beforeAll(async () => {
  cluster = { ...(await testCluster()), datagramBytes: 1_400 };
});

function report(id: number, change: Partial<ReplicaReport> = {}): ReplicaReport {
  return {
    id,
    replicas: 3,
    epoch: 0,
    members: [],
    joining: false,
    limitsDigest: "",
    ...readProgress(newStatusWords()),
    status: "normal",
    version: own.version,
    wireVersion: 1,
    timeMs: 0,
    uptimeMs: 1_000,
    leader: 0,
    silent: [],
    reason: "",
    configDigest: own.configDigest,
    lifeId: life,
    bootId: "00",
    committedHash: "",
    hash: "",
    durability: "memory",
    network: { receiveBufferBytes: 8 << 20 },
    ...change,
  };
}

function member(id: number, change: Partial<Member["evidence"]> = {}): Member {
  const evidence: Member["evidence"] = {
    welcome: { lifeId: life },
    reject: undefined,
    report: report(id),
    clock: { offsetMs: 0, errorMs: 1 },
    datagrams: { there: 1_400, back: 1_400 },
    ...change,
  };
  return { id, address: `10.0.0.${id + 1} port 7100`, evidence };
}

const problems = (checks: DoctorCheck[]) => checks.filter(({ result }) => result !== "ok");
const judge = (change: Partial<Member["evidence"]>, facts: Partial<LocalFacts> = {}) =>
  problems(judgeMember(cluster, member(1, change), { ...nothing, ...facts }, own));

describe("what the doctor makes of one replica", () => {
  it("is nothing when all is well", () => {
    expect(judge({}, { mtu: { name: "eth0", mtu: 1_500 }, lostDatagrams: 0 })).toEqual([]);
  });

  it.each<[string, Partial<Member["evidence"]>, Partial<LocalFacts>, Partial<DoctorCheck>]>([
    ["no answer", { welcome: undefined, report: undefined }, {}, { check: "answer", result: "fail" }],
    [
      "another protocol",
      { welcome: undefined, reject: "version" },
      {},
      { check: "answer", result: "fail", remedy: expect.stringContaining("same version") },
    ],
    ["a greeting without a report", { report: undefined }, {}, { check: "state", result: "fail" }],
    ["another release", { report: report(1, { version: "1.2.4" }) }, {}, { check: "version", result: "warn" }],
    ["another configuration", { report: report(1, { configDigest: "ff" }) }, {}, { check: "configuration", result: "fail" }],
    [
      "a broken invariant",
      { report: report(1, { broken: "view 3 conflicts" }) },
      {},
      { check: "state", result: "fail", message: expect.stringContaining("view 3 conflicts") },
    ],
    [
      "a machine that stands still",
      {
        report: report(1, {
          halted: true,
          failure: { code: "MACHINE_THREW", seqno: 9, upcall: "speculativelyExecute", message: "Error: odd" },
        }),
      },
      {},
      { check: "state", result: "fail", message: expect.stringContaining("at 9: Error: odd") },
    ],
    [
      "a recovery",
      { report: report(1, { status: "recovery", reason: "1 of 2 answers" }) },
      {},
      { check: "state", result: "warn", message: expect.stringContaining("(1 of 2 answers)") },
    ],
    ["a reconciliation", { report: report(1, { status: "reconciliation" }) }, {}, { check: "state", result: "warn" }],
    [
      "large datagrams lost on their way there",
      { datagrams: { there: 1_232, back: 1_400 } },
      {},
      { check: "datagram", result: "fail", message: expect.stringContaining("not get there."), remedy: expect.stringContaining("to 1232") },
    ],
    [
      "large datagrams lost on their way back",
      { datagrams: { there: 1_400, back: 512 } },
      {},
      { check: "datagram", result: "fail", message: expect.stringContaining("not get back."), remedy: expect.stringContaining("to 512") },
    ],
    [
      "nothing but the smallest",
      { datagrams: { there: 0, back: 0 } },
      {},
      { check: "datagram", result: "fail", remedy: expect.stringContaining("network between") },
    ],
    [
      "datagrams in pieces",
      {},
      { mtu: { name: "wg0", mtu: 1_420 } },
      { check: "datagram", result: "warn", remedy: expect.stringContaining("to 1372") },
    ],
    [
      "a small receive buffer",
      { report: report(1, { network: { receiveBufferBytes: 425_984 } }) },
      {},
      { check: "buffers", result: "warn", remedy: expect.stringContaining("net.core.rmem_max=4194304") },
    ],
    [
      "a receive buffer that was full",
      {},
      { lostDatagrams: 12 },
      { check: "buffers", result: "warn", message: expect.stringContaining("12 datagrams were lost") },
    ],
  ])("names %s", (_name, evidence, facts, expected) => {
    expect(judge(evidence, facts)).toMatchObject([expected]);
    for (const { remedy } of judge(evidence, facts)) expect(remedy).toBeTruthy();
  });

  it("names a late loop and a log that is nearly full", () => {
    const base = report(1);
    const late = { ...base, counters: { ...base.counters, loopDelayUs: 60_000 } };
    expect(judge({ report: late })).toMatchObject([{ check: "loop", result: "warn" }]);
    const full = { ...base, logBase: 1_000, speculative: 1_000 + cluster.limits.logEntries * 0.8 };
    expect(judge({ report: full })).toMatchObject([{ check: "log", result: "warn", message: expect.stringContaining("91% full") }]);
    expect(judge({ report: { ...full, logBase: full.speculative - 10 } })).toEqual([]);
  });
});

describe("what the doctor makes of the group", () => {
  const group = (...changes: Partial<Member["evidence"]>[]) =>
    problems(
      judgeGroup(
        cluster,
        changes.map((change, id) => member(id, change)),
      ),
    );
  const gone = { welcome: undefined, report: undefined, clock: undefined, datagrams: undefined };

  it("is nothing when all is well, and nothing where nobody answers", () => {
    expect(group({}, {}, {})).toEqual([]);
    expect(group(gone, gone, gone)).toEqual([]);
  });

  it("tells two lives from a blank replica", () => {
    expect(group({}, { welcome: { lifeId: "cd".repeat(16) } }, {})).toMatchObject([
      { check: "life", result: "fail", message: expect.stringContaining("replica 0, 2") },
    ]);
    const blank = { welcome: { lifeId: undefined }, report: report(2, { status: "recovery", lifeId: undefined }) };
    expect(group({}, {}, blank)).toMatchObject([
      { check: "life", result: "warn", message: expect.stringContaining("Replica 2 is blank") },
      { check: "quorum", result: "warn", message: expect.stringContaining("no further replica may fail") },
    ]);
    expect(group(gone, gone, blank)).toMatchObject([{ check: "life", result: "warn", remedy: expect.stringContaining("bootstrap") }]);
  });

  it("fails when no operation can complete", () => {
    expect(group({}, gone, gone)).toMatchObject([{ check: "quorum", result: "fail", message: expect.stringContaining("2 are needed") }]);
    expect(group({}, gone, { report: report(2, { status: "reconciliation" }) })).toMatchObject([{ check: "quorum", result: "fail" }]);
  });

  it("names who does not hear whom, unless that one is gone anyway", () => {
    const deaf = { report: report(0, { silent: [1] }) };
    expect(group(deaf, {}, {})).toMatchObject([
      { check: "peers", replica: 0, result: "fail", message: expect.stringContaining("replica 1") },
    ]);
    expect(group(deaf, gone, {}).map(({ check }) => check)).toEqual(["quorum"]);
  });

  it("judges clocks by what is certain about them", () => {
    const clock = (offsetMs: number, errorMs: number) =>
      group({ clock: { offsetMs, errorMs } }, {}, {}).map(({ result, check }) => `${check} ${result}`);
    expect(clock(-600, 10)).toEqual(["clock fail"]);
    expect(clock(600, 10)).toEqual(["clock fail"]);
    expect(clock(600, 200)).toEqual(["clock warn"]);
    expect(clock(600, 500)).toEqual([]);
  });

  it("tells a group that reaches nobody from one that misses a member", () => {
    const multicast: Cluster = { ...cluster, network: { design: "multicast", group: "239.1.1.1", port: 7000, interface: "10.0.0.9" } };
    expect(problems(judgeTarget(multicast, [0, 1, 2], new Set()))).toMatchObject([
      { check: "multicast", result: "fail", message: expect.stringContaining("by 10.0.0.9") },
    ]);
    expect(problems(judgeTarget(multicast, [0, 1, 2], new Set([0, 2])))).toMatchObject([
      { check: "multicast", replica: 1, result: "fail" },
    ]);
    const serialized: Cluster = { ...cluster, network: { design: "serialized", relay: { ip: "10.0.0.9", port: 7000 } } };
    expect(problems(judgeTarget(serialized, [0, 1], new Set([0])))).toMatchObject([{ check: "relay", replica: 1, result: "fail" }]);
    expect(judgeTarget(cluster, [0, 1], new Set())).toEqual([]);
    expect(problems(judgeTarget(serialized, [0, 1], new Set([0]), new Set([1])))).toMatchObject([{ replica: 1, result: "fail" }]);
    // A replica that fetches the log has left the group: no fault of the network, and no proof that it is well.
    expect(problems(judgeTarget(multicast, [0, 1, 2], new Set([0, 1]), new Set([2])))).toMatchObject([
      { check: "multicast", replica: 2, result: "warn" },
    ]);
    expect(problems(judgeTarget(multicast, [0, 1, 2], new Set(), new Set([2])))).toMatchObject([
      { check: "multicast", result: "fail" },
      { check: "multicast", replica: 2, result: "warn" },
    ]);
    expect(problems(judgeTarget(multicast, [0, 1, 2], new Set([0, 1, 2]), new Set([2])))).toEqual([]);
  });
});

describe("doctor()", () => {
  it("looks at a loaded cluster; refuses options that do not exist", async () => {
    const { cluster: loaded } = await startGroup();
    const { ok, checks, cluster: id } = await doctor({ cluster: loaded });
    expect(checks.filter(({ result }) => result === "fail")).toEqual([]);
    expect(ok).toBe(true);
    expect(id).toBe(Buffer.from(loaded.group).toString("hex"));
    expect(await rejection(doctor({ cluster: loaded, id: 3 }))).toMatchObject({ code: "INVALID_OPTION" });
    expect(await rejection(doctor({ cluster: loaded, deadline: 3 } as never))).toMatchObject({ code: "UNKNOWN_OPTION" });
  });
});
