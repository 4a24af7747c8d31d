/** Host names of a cluster file to addresses, all of one family. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import type { ResolvedMulticast, ResolvedNetwork } from "../config-types.js";
import { SquallError } from "../errors.js";
import type { CheckedClusterFile, HostPort } from "./cluster-file.js";

type Family = 4 | 6;

export interface ResolvedAddresses {
  replicas: { ip: string; port: number }[];
  network: ResolvedNetwork;
  /** Every address is of this machine's loopback interface. */
  loopback: boolean;
}

/** The addresses of a host name, the preferred one first; rejects or gives none where it has none. */
export type HostLookup = (host: string) => Promise<readonly string[]>;

const systemLookup: HostLookup = async (host) => (await lookup(host, { all: true })).map(({ address }) => address);

/** Whether any host is a name, which may lead to another address later. */
export function hasNames(spec: CheckedClusterFile): boolean {
  const relay = spec.network.design === "serialized" ? spec.network.relay : undefined;
  return [...spec.replicas, ...(relay === undefined ? [] : [relay])].some(({ host }) => isIP(bare(host)) === 0);
}

/** Looks every host up once. Throws ADDRESS_INVALID for a name without an address, mixed families or a group that is not multicast. */
export async function resolveAddresses(
  spec: CheckedClusterFile,
  label: string,
  hostLookup: HostLookup = systemLookup,
): Promise<ResolvedAddresses> {
  const relay = spec.network.design === "serialized" ? spec.network.relay : undefined;
  const hosts: HostPort[] = relay === undefined ? spec.replicas : [...spec.replicas, relay];
  const found = await Promise.all(hosts.map(({ host }) => addressesOf(host, label, hostLookup)));
  const family = commonFamily(found);
  if (family === undefined) {
    throw new SquallError(
      "ADDRESS_INVALID",
      `${label}: all hosts must have IPv4 addresses, or all IPv6; these differ: ${hosts.map(({ host }) => host).join(", ")}.`,
    );
  }
  const resolved = hosts.map(({ port }, index) => ({ ip: found[index]!.find((address) => isIP(bare(address)) === family)!, port }));
  const loopback = resolved.every(({ ip }) => isLoopback(ip));
  const replicas = resolved.slice(0, spec.replicas.length);
  return { replicas, network: resolveNetwork(spec, resolved.at(-1)!, loopback, family, label), loopback };
}

function resolveNetwork(
  spec: CheckedClusterFile,
  relay: { ip: string; port: number },
  loopback: boolean,
  family: Family,
  label: string,
): ResolvedNetwork {
  if (spec.network.design === "unicast") return { design: "unicast" };
  if (spec.network.design === "multicast")
    return { design: "multicast", ...resolveMulticast(spec.network.multicast!, loopback, family, label) };
  const { multicast } = spec.network;
  return { design: "serialized", relay, ...(multicast && { multicast: resolveMulticast(multicast, loopback, family, label) }) };
}

function resolveMulticast(
  multicast: NonNullable<CheckedClusterFile["network"]["multicast"]>,
  loopback: boolean,
  family: Family,
  label: string,
): ResolvedMulticast {
  const { group, port, interface: wanted } = multicast;
  if (!isMulticast(group)) {
    throw new SquallError(
      "ADDRESS_INVALID",
      `${label}: "network.multicast.group" is ${group}; it must be a multicast address, for example 239.1.2.3 or ff15::1:2.`,
    );
  }
  if (isIP(bare(group)) !== family) {
    throw new SquallError(
      "ADDRESS_INVALID",
      `${label}: "network.multicast.group" is ${group}, the replicas have IPv${family} addresses; both must be of one family.`,
    );
  }
  return { group, port, interface: interfaceAddress(wanted, loopback, family, label) };
}

/** The interface's address; for IPv6 with its name as the scope, since that is what a socket joins by. */
function interfaceAddress(wanted: string | undefined, loopback: boolean, family: Family, label: string): string | undefined {
  const all = networkInterfaces();
  const named =
    wanted ??
    (loopback ? Object.keys(all).find((name) => all[name]?.some((entry) => entry.internal && entry.family === `IPv${family}`)) : undefined);
  if (named === undefined || isIP(bare(named)) === family) return named;
  const entry = all[named]?.find((candidate) => candidate.family === `IPv${family}`);
  if (entry === undefined) {
    const known = Object.keys(all).join(", ");
    throw new SquallError(
      "ADDRESS_INVALID",
      `${label}: "network.multicast.interface" is "${named}", which has no IPv${family} address here. Interfaces: ${known}.`,
    );
  }
  return family === 6 ? `${entry.address}%${named}` : entry.address;
}

/** The first address of a host. Rejects with ADDRESS_INVALID. */
export async function lookUp(host: string): Promise<string> {
  return (await addressesOf(host, "the change", systemLookup))[0] as string;
}

async function addressesOf(host: string, label: string, hostLookup: HostLookup): Promise<string[]> {
  if (isIP(bare(host)) !== 0) return [host];
  try {
    const found = (await hostLookup(host)).filter((address) => isIP(bare(address)) !== 0);
    if (found.length > 0) return found;
  } catch (cause) {
    throw new SquallError(
      "ADDRESS_INVALID",
      `${label}: the host "${host}" can't be looked up (${(cause as Error).message}). Correct the name, or write its address.`,
      { cause },
    );
  }
  throw new SquallError("ADDRESS_INVALID", `${label}: the host "${host}" has no address.`);
}

function commonFamily(found: string[][]): Family | undefined {
  const families: Family[] = [4, 6];
  return families.find((family) => found.every((addresses) => addresses.some((address) => isIP(bare(address)) === family)));
}

/** An IPv6 address without its scope. */
function bare(address: string): string {
  return address.split("%", 1)[0]!;
}

function isLoopback(ip: string): boolean {
  return ip.startsWith("127.") || ip === "::1";
}

function isMulticast(address: string): boolean {
  if (isIP(bare(address)) === 4) {
    const first = Number(address.split(".", 1)[0]);
    return first >= 224 && first <= 239;
  }
  return isIP(bare(address)) === 6 && /^ff/i.test(address);
}
