/** Replicas and clients of this process for Prometheus. prom-client is loaded only where this is used. */
import type { Counter, Gauge, Registry } from "prom-client";
import { Client } from "../client.js";
import { SquallError } from "../errors.js";
import { checkOptions, describeValue } from "../options.js";
import { Replica } from "../replica.js";
import { clientMetrics, type MetricDefinition, replicaMetrics } from "./definitions.js";

export interface PrometheusOptions {
  /** Whose metrics: read at each scrape, so that replicas and clients may come and go. */
  replicas?: Iterable<Replica>;
  clients?: Iterable<Client>;
  /** Where to register them, beside a program's own metrics; a new one by default. */
  registry?: Registry;
}

/**
 * A prom-client registry with the metrics of `replicas` (labels cluster and replica) and `clients` (labels cluster and session).
 * Values are read from shared memory when it is scraped: that costs a replica nothing, and works while it is busy. Rejects with
 * INVALID_OPTION, UNKNOWN_OPTION, and what prom-client throws when the registry has such metrics already.
 */
export async function prometheusRegistry(options: PrometheusOptions): Promise<Registry> {
  checkOptions("prometheusRegistry", options, ["replicas", "clients", "registry"]);
  const { replicas, clients } = options;
  checkSources("replicas", replicas, Replica);
  checkSources("clients", clients, Client);
  const prometheus = await import("prom-client");
  const registry = options.registry ?? new prometheus.Registry();
  if (replicas !== undefined) {
    register(prometheus, registry, replicaMetrics, "replica", function* () {
      for (const replica of replicas) {
        // It has no index yet, and must not be taken for another one.
        const index = replica.joining ? "joining" : String(replica.id);
        yield { labels: { cluster: hex(replica.cluster.group), replica: index }, source: replica.progress() };
      }
    });
  }
  if (clients !== undefined) {
    register(prometheus, registry, clientMetrics, "session", function* () {
      for (const client of clients) {
        if (client.closed) continue;
        const { cluster, id } = client.session;
        yield { labels: { cluster, session: id }, source: client.metrics() };
      }
    });
  }
  return registry;
}

interface Sample<Source> {
  labels: Record<string, string>;
  source: Source;
}

function register<Source>(
  prometheus: typeof import("prom-client"),
  registry: Registry,
  definitions: MetricDefinition<Source>[],
  owner: string,
  samples: () => Iterable<Sample<Source>>,
): void {
  for (const { name, help, kind, label, read } of definitions) {
    const configuration = {
      name,
      help,
      labelNames: ["cluster", owner, ...(label === undefined ? [] : [label])],
      registers: [registry],
      collect(this: Counter | Gauge): void {
        // What was counted elsewhere is set, not added to; a replica that is gone leaves nothing behind.
        this.reset();
        for (const { labels, source } of samples()) {
          const value = read(source);
          if (typeof value === "number") this.inc(labels, value);
          else for (const [key, part] of Object.entries(value)) this.inc({ ...labels, [label as string]: key }, part);
        }
      },
    };
    if (kind === "counter") new prometheus.Counter(configuration);
    else new prometheus.Gauge(configuration);
  }
}

function checkSources(name: string, value: unknown, kind: typeof Replica | typeof Client): void {
  if (value === undefined) return;
  if (typeof value !== "object" || value === null || !(Symbol.iterator in value)) {
    throw new SquallError("INVALID_OPTION", `${name} must be an array or another iterable; it is ${describeValue(value)}.`);
  }
  for (const member of value as Iterable<unknown>) {
    if (member instanceof kind) continue;
    throw new SquallError("INVALID_OPTION", `${name} must hold objects of the class ${kind.name}; one is ${describeValue(member)}.`);
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
