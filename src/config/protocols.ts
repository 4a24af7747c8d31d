/**
 * The protocols that order a group's operations, each on the same data plane, sessions, log, machine and client
 * (docs/adding-a-protocol.md). What differs between them at start is what ProtocolRules says.
 */
import type { Cluster, ClusterProtocol } from "../config-types.js";
import { Mode } from "../data/binding.js";

/** Names as in the cluster file, the default first. */
export const protocolNames = [
  "speculative",
  "paxos",
  "paxos-batching",
  "fast-paxos",
  "unreplicated",
] as const satisfies readonly ClusterProtocol[];

/** How the modes of views follow each other; beyond what `mode` in a cluster file may say, "fast": every view is a FAST one. */
export type ModeChoice = "adaptive" | "speculative" | "leader" | "fast";

export interface ProtocolRules {
  modes: ModeChoice;
  /** Of view 0. */
  firstMode: Mode;
  /** Of the first view of later epochs: an adaptive group begins them with the leader's order. */
  epochMode: Mode;
  /** Most operations of one PREPARE; with 1 every operation has its own. */
  prepareBatch: number;
  /** The client's first try goes to the leader alone. */
  toLeader: boolean;
}

const modeOf: Record<ModeChoice, Mode> = {
  adaptive: Mode.Speculative,
  speculative: Mode.Speculative,
  leader: Mode.Leader,
  fast: Mode.Fast,
};

export function protocolRules({ protocol, mode, limits }: Pick<Cluster, "protocol" | "mode" | "limits">): ProtocolRules {
  const modes: ModeChoice = protocol === "speculative" ? mode : protocol === "fast-paxos" ? "fast" : "leader";
  return {
    modes,
    firstMode: modeOf[modes],
    epochMode: modes === "adaptive" ? Mode.Leader : modeOf[modes],
    prepareBatch: protocol === "paxos" ? 1 : limits.prepareBatch,
    toLeader: protocol === "paxos" || protocol === "paxos-batching",
  };
}

/** Whether the named mode may stand beside the protocol; the others have one mode each, and it is not to be chosen. */
export function protocolProblem(
  protocol: ClusterProtocol,
  replicas: number,
  given: { mode: boolean; prepareBatch: boolean },
): string | undefined {
  if (protocol === "speculative") return undefined;
  if (given.mode) return `"mode" belongs to the protocol "speculative": leave it out with "protocol": "${protocol}".`;
  if (given.prepareBatch && protocol !== "paxos-batching")
    return `"limits.prepareBatch" has no meaning with "protocol": "${protocol}"; leave it out, or take "paxos-batching".`;
  if (protocol === "unreplicated" && replicas !== 1) return `"protocol": "unreplicated" has one replica; "replicas" lists ${replicas}.`;
  if (protocol !== "unreplicated" && replicas === 1)
    return `"protocol": "${protocol}" needs 3, 5, 7 or 9 replicas; with one it is "unreplicated".`;
  return undefined;
}
