/** A tool's channel to the replicas: asks all of them again and again until enough have answered or time is up. */
import { randomBytes } from "node:crypto";
import type { Cluster } from "../config-types.js";
import { SquallError } from "../errors.js";
import type { NativeBinding, NativeToolEngine } from "./binding.js";
import { endpointsOf } from "./endpoints.js";
import { leaseFabric } from "./fabrics.js";
import { loadBinding } from "./load.js";

const RepeatMs = 100;

export interface ToolChannel {
  /** Sends to one replica; lost messages are the caller's to repeat. */
  send(to: number, type: number, body: Uint8Array): void;
  /** Sends to whoever listens at the address of replica `to`, whatever index it has by now. */
  ask(to: number, type: number, body: Uint8Array): void;
  /** Sends to all replicas the way that requests go: by the multicast group or the relay. Does nothing under the design unicast. */
  sendToAll(type: number, body: Uint8Array): void;
  /** Calls `step` now, every 100 ms and after each message, until it returns true or the deadline has come (then false). */
  run(deadlineMs: number, step: (due: boolean) => boolean, signal?: AbortSignal): Promise<boolean>;
  close(): void;
}

/** `onMessage` bodies are valid during the call. */
export function openTool(
  cluster: Cluster,
  role: "client" | "operator",
  onMessage: (type: number, from: number, body: Uint8Array) => void,
): ToolChannel {
  const binding = loadBinding();
  const { id, key } = identity(binding, cluster, role);
  const endpoints = endpointsOf(cluster);
  const lease = leaseFabric(binding);
  let wake: (() => void) | undefined;
  let engine: NativeToolEngine;
  try {
    engine = new binding.ToolEngine(
      {
        fabric: lease.fabric,
        group: cluster.group,
        role,
        id,
        key,
        replicas: endpoints.replicas,
        ...(endpoints.target === undefined ? {} : { target: endpoints.target }),
        ...(endpoints.interface === undefined ? {} : { multicastInterface: endpoints.interface }),
        sealed: cluster.sealed,
        datagramBytes: cluster.datagramBytes,
      },
      (type, from, body) => {
        onMessage(type, from, body);
        wake?.();
      },
    );
  } catch (error) {
    lease.release();
    throw error;
  }
  return {
    send: (to, type, body) => engine.send(to, type, body),
    ask: (to, type, body) => engine.ask(to, type, body),
    sendToAll: (type, body) => engine.send(-1, type, body),
    run(deadlineMs, step, signal) {
      return new Promise<boolean>((resolve) => {
        const finish = (done: boolean): void => {
          wake = undefined;
          clearInterval(repeat);
          clearTimeout(deadline);
          signal?.removeEventListener("abort", onAbort);
          resolve(done);
        };
        const onAbort = (): void => finish(false);
        const repeat = setInterval(() => step(true) && finish(true), RepeatMs);
        const deadline = setTimeout(() => finish(false), deadlineMs);
        signal?.addEventListener("abort", onAbort);
        wake = () => step(false) && finish(true);
        if (signal?.aborted === true) finish(false);
        else if (step(true)) finish(true);
      });
    },
    close() {
      engine.close();
      lease.release();
    },
  };
}

function identity(binding: NativeBinding, cluster: Cluster, role: "client" | "operator"): { id: Uint8Array; key: Uint8Array } {
  const id = randomBytes(8);
  if (role === "client" && cluster.clientKey !== undefined) return cluster.clientKey;
  if (cluster.secret === undefined) {
    throw new SquallError(
      "SECRET_MISSING",
      role === "operator" ? "Bootstrapping needs the cluster's secret." : "Asking for status needs a client key or the cluster's secret.",
    );
  }
  return { id, key: role === "operator" ? cluster.secret : binding.clientKey(cluster.secret, id) };
}
