import { execFileSync } from "node:child_process";
import type { Cut, Network } from "./network.js";

const prefix = "squall-chaos";
const port = 7100;
const hubAddress = "10.77.0.254";
/** Above the rule for the local table, which therefore moves behind: else a rule could not drop what comes in. */
const dropPreference = 100;
const localPreference = 200;

function ip(...args: string[]): string {
  return execFileSync("ip", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** Whether this process may make network namespaces; tries it. */
export function namespacesWork(): boolean {
  const name = `${prefix}-${process.pid}-probe`;
  try {
    ip("netns", "add", name);
    ip("netns", "delete", name);
    return true;
  } catch {
    return false;
  }
}

/** Namespaces of runs that were killed before they could clean up, and the processes left in them. */
function removeLeftovers(): void {
  const owner = new RegExp(`^${prefix}-(\\d+)-`);
  for (const line of ip("netns", "list").split("\n")) {
    const name = line.split(" ")[0]!;
    const pid = Number(owner.exec(name)?.[1] ?? Number.NaN);
    if (Number.isNaN(pid) || alive(pid)) continue;
    for (const left of ip("netns", "pids", name).split("\n").filter(Boolean)) process.kill(Number(left), "SIGKILL");
    ip("netns", "delete", name);
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/**
 * A namespace for each replica and one for the clients, joined by a bridge in a namespace of its own: nothing of it touches the
 * machine's own network. Needs root and iproute2. What a member must not hear is dropped in its own namespace by the source
 * address, so that senders notice nothing, as in a network.
 */
export class NamespaceNetwork implements Network {
  readonly kind = "namespaces";
  readonly cuttable = true;
  readonly replicas: { host: string; port: number }[];
  readonly observerLauncher: string[];
  readonly #names: string[] = [];
  readonly #hub = `${prefix}-${process.pid}-hub`;
  #closed = false;

  constructor(replicas: number) {
    removeLeftovers();
    this.replicas = Array.from({ length: replicas }, (_, id) => ({ host: addressOf(id), port }));
    process.once("exit", () => this.close());
    this.#add(this.#hub);
    ip("-n", this.#hub, "link", "add", "bridge", "type", "bridge");
    ip("-n", this.#hub, "address", "add", `${hubAddress}/24`, "dev", "bridge");
    ip("-n", this.#hub, "link", "set", "bridge", "up");
    for (let member = 0; member <= replicas; member++) this.#join(member);
    this.observerLauncher = ["ip", "netns", "exec", this.#hub];
  }

  launcher(member: number): string[] {
    return ["ip", "netns", "exec", this.#name(member)];
  }

  cut(cuts: readonly Cut[]): void {
    for (const cut of cuts) this.#rule("add", cut);
  }

  heal(cuts: readonly Cut[]): void {
    for (const cut of cuts) this.#rule("delete", cut);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const name of this.#names) {
      try {
        ip("netns", "delete", name);
      } catch {
        // never made, or removed by hand
      }
    }
  }

  #rule(verb: "add" | "delete", { from, to }: Cut): void {
    ip("-n", this.#name(to), "rule", verb, "preference", String(dropPreference), "from", addressOf(from), "blackhole");
  }

  #join(member: number): void {
    const name = this.#name(member);
    this.#add(name);
    ip("-n", this.#hub, "link", "add", `member${member}`, "type", "veth", "peer", "name", "eth0", "netns", name);
    ip("-n", this.#hub, "link", "set", `member${member}`, "master", "bridge", "up");
    ip("-n", name, "address", "add", `${addressOf(member)}/24`, "dev", "eth0");
    ip("-n", name, "link", "set", "eth0", "up");
    ip("-n", name, "rule", "add", "preference", String(localPreference), "lookup", "local");
    ip("-n", name, "rule", "delete", "preference", "0");
  }

  #add(name: string): void {
    this.#names.push(name);
    ip("netns", "add", name);
    ip("-n", name, "link", "set", "lo", "up");
  }

  #name(member: number): string {
    return `${prefix}-${process.pid}-${member}`;
  }
}

function addressOf(member: number): string {
  return `10.77.0.${1 + member}`;
}
