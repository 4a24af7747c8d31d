import type { ReplicaReport } from "squall";

/** What the replicas said of themselves, and when they were asked. */
export interface Reports {
  atMs: number;
  replicas: readonly (ReplicaReport | undefined)[];
}

/** Of one replica between two reports; bytes are payload of UDP. */
export interface Traffic {
  seconds: number;
  bytesSent: number;
  bytesReceived: number;
  datagramsSent: number;
  datagramsReceived: number;
  reconciliations: number;
}

export function trafficSince(before: Reports, after: Reports): Traffic[] {
  return after.replicas.map((report, id) => {
    const earlier = before.replicas[id];
    const since = (name: string) => (report?.network[name] ?? 0) - (earlier?.network[name] ?? 0);
    return {
      seconds: (after.atMs - before.atMs) / 1000,
      bytesSent: since("bytesSent"),
      bytesReceived: since("bytesReceived"),
      datagramsSent: since("datagramsSent"),
      datagramsReceived: since("datagramsReceived"),
      reconciliations: (report?.counters.reconciliations ?? 0) - (earlier?.counters.reconciliations ?? 0),
    };
  });
}
