/** What this machine says about its network, where the operating system tells. */
import { createSocket } from "node:dgram";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";

const ProcColumns = { local: 1, drops: 12 } as const;

/** The interface by which datagrams to `address` leave, and its MTU; undefined where that can't be known. */
export async function routeTo(address: { ip: string; port: number }): Promise<{ name: string; mtu: number } | undefined> {
  const local = await localAddress(address);
  const name = Object.entries(networkInterfaces()).find(([, entries]) => entries?.some((entry) => entry.address === local))?.[0];
  if (name === undefined) return undefined;
  const mtu = Number(await readText(`/sys/class/net/${name}/mtu`));
  return mtu > 0 ? { name, mtu } : undefined;
}

/** Whether `ip` is an address of this machine. */
export function isLocal(ip: string): boolean {
  const plain = ip.split("%", 1)[0];
  if (plain?.startsWith("127.") === true || plain === "::1") return true;
  return Object.values(networkInterfaces()).some((entries) => entries?.some((entry) => entry.address === plain));
}

/** Datagrams that the sockets on a local UDP port lost since their buffer was full; undefined where the system does not tell. */
export async function lostOnPort(port: number): Promise<number | undefined> {
  const texts = await Promise.all(["/proc/net/udp", "/proc/net/udp6"].map(readText));
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const lines = texts
    .flatMap((text) => (text ?? "").split("\n").slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter((cells) => cells[ProcColumns.local]?.endsWith(wanted) === true);
  if (lines.length === 0) return undefined;
  return lines.reduce((sum, cells) => sum + (Number(cells[ProcColumns.drops]) || 0), 0);
}

/** The largest receive buffer that a process without privileges gets, in bytes; undefined where the system has no such limit. */
export async function largestReceiveBufferBytes(): Promise<number | undefined> {
  const text = await readText("/proc/sys/net/core/rmem_max");
  return text === undefined ? undefined : Number(text);
}

/** The source address that the system chooses; nothing is sent. */
function localAddress({ ip, port }: { ip: string; port: number }): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(isIP(ip.split("%", 1)[0] ?? "") === 6 ? "udp6" : "udp4");
    const finish = (address: string | undefined): void => {
      socket.close();
      resolve(address);
    };
    socket.once("error", () => finish(undefined));
    socket.connect(port, ip, () => finish(socket.address().address));
  });
}

async function readText(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, "utf8")).trim();
  } catch {
    return undefined;
  }
}
