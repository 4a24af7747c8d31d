/** What `squall doctor` says about one thing. */

export const checkNames = [
  "file",
  "name",
  "answer",
  "version",
  "configuration",
  "life",
  "state",
  "quorum",
  "peers",
  "datagram",
  "multicast",
  "relay",
  "buffers",
  "clock",
  "loop",
  "log",
] as const;
export type CheckName = (typeof checkNames)[number];

export interface DoctorCheck {
  check: CheckName;
  /** The replica that it is about; undefined: the group, or this machine. */
  replica?: number;
  /** fail: operations fail, or will; warn: slower, or less safe, than need be. */
  result: "ok" | "warn" | "fail";
  /** What was found. */
  message: string;
  /** How to mend it, where something is wrong. */
  remedy?: string;
}

/** `replica` undefined: about the group, or this machine. */
export function ok(check: CheckName, replica: number | undefined, message: string): DoctorCheck {
  return { check, ...(replica === undefined ? {} : { replica }), result: "ok", message };
}
export function warn(check: CheckName, replica: number | undefined, message: string, remedy: string): DoctorCheck {
  return { check, ...(replica === undefined ? {} : { replica }), result: "warn", message, remedy };
}
export function fail(check: CheckName, replica: number | undefined, message: string, remedy: string): DoctorCheck {
  return { check, ...(replica === undefined ? {} : { replica }), result: "fail", message, remedy };
}
