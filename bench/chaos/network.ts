import { freePorts } from "../cluster-file.js";

/** A direction that is cut: members are replicas by id, and then all clients as one. */
export interface Cut {
  from: number;
  to: number;
}

/** Where the processes of a run live, and how they are kept from each other. */
export interface Network {
  readonly kind: "namespaces" | "loopback";
  /** Whether cut() is possible. */
  readonly cuttable: boolean;
  readonly replicas: { host: string; port: number }[];
  /** The command in front of Node for a member; undefined for none. */
  launcher(member: number): string[] | undefined;
  /** The same for the process that no cut concerns. */
  readonly observerLauncher: string[] | undefined;
  /** Drops what goes these ways, in silence, until heal() with the same list. */
  cut(cuts: readonly Cut[]): void;
  heal(cuts: readonly Cut[]): void;
  /** Removes all of it; idempotent. */
  close(): void;
}

/** All on 127.0.0.1: needs no rights, and can't be cut. */
export async function loopbackNetwork(replicas: number): Promise<Network> {
  const ports = await freePorts(replicas);
  return {
    kind: "loopback",
    cuttable: false,
    replicas: ports.map((port) => ({ host: "127.0.0.1", port })),
    launcher: () => undefined,
    observerLauncher: undefined,
    cut() {},
    heal() {},
    close() {},
  };
}
