/**
 * Fault profiles: ranges from which each seed draws its own parameters. A seed leaves out some kinds of fault altogether,
 * so that the others are seen undisturbed too.
 */
import type { ClusterMode } from "../config-types.js";
import { SquallError } from "../errors.js";
import { suggestName } from "../options.js";
import { cleanPath } from "./paths.js";
import type { Prng } from "./prng.js";
import { demandsOf, drawnScripts, scriptNames } from "./scripts.js";

/** What a profile allows, at most. Rates are per million datagrams. */
export interface FaultProfile {
  /** Probability that a seed has a given kind of fault at all. */
  kindChance: number;
  baseDelayUs: [number, number];
  jitterUs: [number, number];
  lossPpm: number;
  duplicatePpm: number;
  reorderPpm: number;
  reorderDelayUs: [number, number];
  corruptPpm: number;
  /** Episodes (partitions, pauses, slow or lossy paths) begun per 100 ms of virtual time. */
  episodesPer100Ms: number;
  episodeUs: [number, number];
  /** Base delay of a path during a slow episode: frames of views long past arrive after it. */
  slowDelayUs: [number, number];
  clockOffsetMs: number;
  clockDriftPpm: number;
  /** Adversarial clients (reuse of a request number, different bytes to different replicas) have one operation in so many; 0: none. */
  adversaryOneIn: number;
  modes: readonly ClusterMode[];
  /** Entries between checkpoints; 0: more than the run has. */
  checkpointEvery: readonly number[];
  /** Weight of crashes with loss of memory among the episodes; 0: none. */
  crashes: number;
  /** "sync": replicas have disks, from which they come back. */
  durability: "memory" | "sync";
  /** Weights of losses of power, of any number of replicas at once, and of faults of at most f disks, among the episodes. */
  powerLosses: number;
  diskFaults: number;
  /** How often a seed has a machine that throws where the others do not. */
  machineFaultChance: number;
  /** Virtual microseconds that a write takes to be on disk: slower than messages, what is promised too early shows. */
  diskSyncUs: [number, number];
  /** How often a seed changes its members, and how many changes it begins then, at most, per 100 ms of virtual time (but one at least). */
  membersChance: number;
  changesPer100Ms: number;
  /** How often a run of three replicas plays a script instead of drawing episodes. */
  scriptChance: number;
  /** How often requests travel by multicast, and how far apart its copies arrive (-1: each by its own path's delay). */
  multicastChance: number;
  multicastSkewsUs: readonly number[];
  /** Shares of reads outside the log among the operations, of which a seed has one. */
  readShares: readonly number[];
  /** Virtual microseconds an operation: how far apart the workload spreads its operations. */
  paceUs: [number, number];
}

const none: FaultProfile = {
  kindChance: 0,
  baseDelayUs: [20, 80],
  jitterUs: [0, 20],
  lossPpm: 0,
  duplicatePpm: 0,
  reorderPpm: 0,
  reorderDelayUs: [0, 0],
  corruptPpm: 0,
  episodesPer100Ms: 0,
  episodeUs: [0, 0],
  slowDelayUs: [0, 0],
  clockOffsetMs: 0,
  clockDriftPpm: 0,
  adversaryOneIn: 0,
  modes: ["speculative"],
  checkpointEvery: [0],
  crashes: 0,
  durability: "memory",
  powerLosses: 0,
  diskFaults: 0,
  machineFaultChance: 0,
  diskSyncUs: [50, 2_000],
  membersChance: 0,
  changesPer100Ms: 0,
  scriptChance: 0,
  multicastChance: 0.8,
  multicastSkewsUs: [0, 0, 0, 1, 1, -1],
  readShares: [0, 0.2],
  paceUs: [20, 60],
};

const light: FaultProfile = {
  ...none,
  kindChance: 0.5,
  jitterUs: [5, 60],
  lossPpm: 2_000,
  duplicatePpm: 2_000,
  reorderPpm: 2_000,
  reorderDelayUs: [50, 1_000],
  corruptPpm: 1_000,
  clockOffsetMs: 50,
  clockDriftPpm: 100,
};

const standard: FaultProfile = {
  kindChance: 0.75,
  baseDelayUs: [20, 300],
  jitterUs: [5, 200],
  lossPpm: 10_000,
  duplicatePpm: 20_000,
  reorderPpm: 8_000,
  reorderDelayUs: [100, 5_000],
  corruptPpm: 5_000,
  episodesPer100Ms: 2.5,
  episodeUs: [2_000, 60_000],
  slowDelayUs: [2_000, 80_000],
  clockOffsetMs: 200,
  clockDriftPpm: 500,
  adversaryOneIn: 250,
  modes: ["adaptive", "adaptive", "speculative", "leader"],
  checkpointEvery: [0, 32, 200],
  crashes: 2,
  durability: "memory",
  powerLosses: 0,
  diskFaults: 0,
  machineFaultChance: 0.3,
  diskSyncUs: [50, 2_000],
  membersChance: 0.2,
  changesPer100Ms: 1,
  scriptChance: 0.1,
  multicastChance: 0.95,
  multicastSkewsUs: [0, 0, 0, 0, 0, 1, 1, 20, -1],
  readShares: [0, 0.1, 0.3, 0.7],
  paceUs: [60, 160],
};

const harsh: FaultProfile = {
  ...standard,
  kindChance: 0.9,
  jitterUs: [20, 1_000],
  lossPpm: 150_000,
  duplicatePpm: 100_000,
  reorderPpm: 100_000,
  reorderDelayUs: [500, 30_000],
  corruptPpm: 50_000,
  episodesPer100Ms: 8,
  episodeUs: [5_000, 150_000],
  slowDelayUs: [5_000, 300_000],
  clockOffsetMs: 450,
  adversaryOneIn: 50,
  multicastChance: 0.5,
  multicastSkewsUs: [-1, 0, 1, 20, 200],
  paceUs: [100, 300],
};

/** Short runs with many reconciliations, for the mutation checks: rules break where views change often. */
const mutation: FaultProfile = {
  ...standard,
  kindChance: 0.85,
  lossPpm: 100_000,
  reorderPpm: 100_000,
  reorderDelayUs: [200, 20_000],
  corruptPpm: 0,
  episodesPer100Ms: 14,
  episodeUs: [4_000, 60_000],
  slowDelayUs: [4_000, 120_000],
  clockOffsetMs: 0,
  adversaryOneIn: 50,
  clockDriftPpm: 0,
  modes: ["speculative"],
  checkpointEvery: [0],
  crashes: 0,
  machineFaultChance: 0,
  membersChance: 0,
  scriptChance: 0.6,
  multicastChance: 0.5,
  multicastSkewsUs: [-1, 0, 1, 20, 200],
  readShares: [0],
  paceUs: [300, 6_000],
};

/** The same in LEADER views, from the first one on. */
const mutationLeader: FaultProfile = { ...mutation, modes: ["leader"], scriptChance: 0 };

/** Short runs in which replicas lose their memory all the time. */
const crash: FaultProfile = {
  ...mutation,
  modes: ["adaptive", "speculative", "leader"],
  checkpointEvery: [0, 32, 200],
  crashes: 12,
  machineFaultChance: 0.3,
  scriptChance: 0,
};

/** Short runs of replicas with disks, which lose power together, and whose disks fail. */
const disk: FaultProfile = {
  ...mutation,
  modes: ["adaptive", "speculative", "leader"],
  checkpointEvery: [0, 32, 200],
  durability: "sync",
  membersChance: 0,
  crashes: 4,
  powerLosses: 10,
  diskFaults: 3,
  machineFaultChance: 0.3,
  scriptChance: 0,
  readShares: [0, 0.3],
};

/** The same with disks that are well but slow, for the mutation checks. */
const powerLoss: FaultProfile = { ...disk, crashes: 0, diskFaults: 0, machineFaultChance: 0, diskSyncUs: [2_000, 30_000] };
/** Short runs in which replicas come, go and lose their memory all the time. */
const members: FaultProfile = { ...crash, episodesPer100Ms: 10, crashes: 6, membersChance: 1, changesPer100Ms: 2.5, readShares: [0, 0.3] };

/** Members that come and go with their disks: the power fails at any number of them, in the middle of a change too. */
const membersDisk: FaultProfile = { ...members, durability: "sync", crashes: 3, powerLosses: 5 };

/** Changes of the members that little else disturbs: what the operator draws into them happens. */
const mutationMembers: FaultProfile = { ...members, episodesPer100Ms: 1, crashes: 2, machineFaultChance: 0, readShares: [0] };

/** The mutation runs with mostly reads. */
const reads: FaultProfile = { ...mutation, readShares: [0.5, 0.7] };

export const profiles: Readonly<Record<string, FaultProfile>> = {
  none,
  light,
  default: standard,
  harsh,
  mutation,
  mutationLeader,
  crash,
  disk,
  powerLoss,
  members,
  membersDisk,
  mutationMembers,
  reads,
};

export interface NamedProfile {
  profile: FaultProfile;
  /** The script every seed plays: "mutation:lostCommit". */
  script: string | undefined;
}

/** The profile of that name, with or without a script behind a colon. Throws INVALID_OPTION with the names there are. */
export function profileNamed(name: string): NamedProfile {
  const [base, script, ...rest] = name.split(":") as [string, ...string[]];
  const profile = Object.hasOwn(profiles, base) ? profiles[base] : undefined;
  if (profile === undefined || rest.length > 0) {
    throw new SquallError("INVALID_OPTION", `There is no fault profile "${name}". ${suggestName(base, Object.keys(profiles))}`);
  }
  if (script !== undefined && !scriptNames.includes(script)) {
    throw new SquallError("INVALID_OPTION", `There is no script "${script}". ${suggestName(script, scriptNames)}`);
  }
  return { profile, script };
}

/** What one seed drew. */
export interface DrawnFaults {
  baseDelayUs: number;
  jitterUs: number;
  lossPpm: number;
  duplicatePpm: number;
  reorderPpm: number;
  reorderDelayUs: number;
  corruptPpm: number;
  episodes: number;
  partitions: boolean;
  asymmetricPartitions: boolean;
  pauses: boolean;
  slowPaths: boolean;
  lossyPaths: boolean;
  clockOffsetMs: number;
  clockDriftPpm: number;
  adversaries: boolean;
  /** Weight of crashes among the episodes. */
  crashes: number;
  durability: "memory" | "sync";
  diskSyncUs: [number, number];
  powerLosses: number;
  diskFaults: number;
  /** Machines that throw alone. */
  machineFaults: number;
  /** Changes of the members that are begun. */
  changes: number;
  mode: ClusterMode;
  checkpointEvery: number;
  /** The script played, with clean paths and without episodes; undefined: none. */
  script: string | undefined;
  multicast: boolean;
  /** Spread of the copies of one multicast; -1: every copy takes the delay of its own path. */
  multicastSkewUs: number;
}

/** `chaosUs`: how long faults last. `replicas`: undefined where the scripts, which know Speculative Paxos alone, do not fit. */
export function drawFaults(
  { profile, script: asked }: NamedProfile,
  prng: Prng,
  chaosUs: number,
  replicas: number | undefined,
): DrawnFaults {
  const drawn = prng.chance(profile.scriptChance) ? prng.pick(drawnScripts) : undefined;
  const wanted = asked ?? drawn;
  const script = wanted !== undefined && replicas === demandsOf(wanted).replicas ? wanted : undefined;
  const has = () => prng.chance(profile.kindChance) && script === undefined;
  const rate = (mostPpm: number) => (has() && mostPpm > 0 ? prng.spread(Math.max(1, mostPpm / 50), mostPpm) : 0);
  const episodes = Math.max(profile.episodesPer100Ms > 0 ? 2 : 0, (chaosUs / 100_000) * profile.episodesPer100Ms);
  return {
    baseDelayUs: script === undefined ? prng.between(...profile.baseDelayUs) : cleanPath.baseDelayUs,
    jitterUs: script === undefined ? prng.between(...profile.jitterUs) : cleanPath.jitterUs,
    lossPpm: rate(profile.lossPpm),
    duplicatePpm: rate(profile.duplicatePpm),
    reorderPpm: rate(profile.reorderPpm),
    reorderDelayUs: prng.between(...profile.reorderDelayUs),
    corruptPpm: rate(profile.corruptPpm),
    episodes: script === undefined ? Math.round(episodes * (0.5 + prng.unit())) : 0,
    partitions: has(),
    asymmetricPartitions: has(),
    pauses: has(),
    slowPaths: has(),
    lossyPaths: has(),
    clockOffsetMs: has() ? profile.clockOffsetMs : 0,
    clockDriftPpm: has() ? profile.clockDriftPpm : 0,
    adversaries: profile.adversaryOneIn > 0 && has(),
    script,
    multicast: prng.chance(profile.multicastChance),
    multicastSkewUs: prng.pick(profile.multicastSkewsUs),
    crashes: has() ? profile.crashes : 0,
    durability: profile.durability,
    diskSyncUs: profile.diskSyncUs,
    powerLosses: profile.powerLosses,
    diskFaults: profile.diskFaults > 0 && has() ? profile.diskFaults : 0,
    machineFaults:
      prng.split("machines").chance(profile.machineFaultChance) && script === undefined ? 1 + Math.round(chaosUs / 100_000) : 0,
    mode: modeOf(script, prng.pick(profile.modes)),
    checkpointEvery: prng.pick(profile.checkpointEvery),
    changes:
      script === undefined && prng.chance(profile.membersChance)
        ? Math.ceil((chaosUs / 100_000) * profile.changesPer100Ms * prng.unit())
        : 0,
  };
}

function modeOf(script: string | undefined, drawn: ClusterMode): ClusterMode {
  const { mode } = demandsOf(script ?? "");
  return mode === "adaptive" ? mode : drawn;
}
