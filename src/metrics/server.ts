/** `GET /metrics` for Prometheus. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";
import { SquallError } from "../errors.js";
import { checkInteger, checkOptions, describeValue } from "../options.js";

export interface MetricsServerOptions {
  registry: Registry;
  /** TCP port; 0 takes any. */
  port: number;
  /** Where to listen; default 127.0.0.1. It answers whoever can reach it. */
  host?: string;
}

export interface MetricsServer {
  readonly address: { host: string; port: number };
  close(): Promise<void>;
}

/** A scraper needs one connection; more than a few are not served. */
const MaxConnections = 16;
const RequestTimeoutMs = 5_000;

/**
 * Serves a registry on `GET /metrics`, without authentication. Does not keep the process alive. Rejects with INVALID_OPTION,
 * UNKNOWN_OPTION, ADDRESS_IN_USE or ADDRESS_INVALID.
 */
export async function createMetricsServer(options: MetricsServerOptions): Promise<MetricsServer> {
  checkOptions("createMetricsServer", options, ["registry", "port", "host"]);
  const { registry, host = "127.0.0.1" } = options;
  const port = checkInteger("port", options.port, 0, 65_535);
  if (typeof host !== "string") throw new SquallError("INVALID_OPTION", `host must be a string; it is ${describeValue(host)}.`);
  if (typeof (registry as Registry | undefined)?.metrics !== "function") {
    throw new SquallError("INVALID_OPTION", `registry must be a prom-client registry; it is ${describeValue(registry)}.`);
  }
  const server = createServer((request, response) => void answer(registry, request, response));
  server.maxConnections = MaxConnections;
  server.requestTimeout = RequestTimeoutMs;
  server.headersTimeout = RequestTimeoutMs;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const taken = cause.code === "EADDRINUSE";
      const problem = taken ? "is in use: end the other process, or choose another port" : `can't be used (${cause.code ?? cause.message})`;
      const code = taken ? "ADDRESS_IN_USE" : "ADDRESS_INVALID";
      reject(new SquallError(code, `The address for metrics, ${host} port ${port}, ${problem}.`, { cause }));
    });
    server.listen({ host, port }, resolve);
  });
  server.unref();
  const bound = server.address() as AddressInfo;
  return {
    address: { host: bound.address, port: bound.port },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(registry: Registry, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const end = (status: number, body: string, headers: Record<string, string> = {}): void => {
    response.writeHead(status, { "content-type": "text/plain; charset=utf-8", ...headers });
    response.end(request.method === "HEAD" ? undefined : body);
  };
  // The query is of no interest.
  const [path] = (request.url ?? "").split("?", 1);
  if (path !== "/metrics") return end(404, "The metrics are at /metrics.\n");
  if (request.method !== "GET" && request.method !== "HEAD") return end(405, "GET only.\n", { allow: "GET, HEAD" });
  try {
    end(200, await registry.metrics(), { "content-type": registry.contentType });
  } catch (error) {
    end(500, `${error instanceof Error ? error.message : String(error)}\n`);
  }
}
