import { type Header, type RecordFile, readRecord } from "./record.js";

/** Why the runs of `file` can't go on as those of `wanted`; undefined: they can. */
export function resumeProblem(had: Header, wanted: Header): string | undefined {
  if (had.machine.fingerprint !== wanted.machine.fingerprint)
    return `it was measured on another machine (${machineText(had)}; this is ${machineText(wanted)})`;
  if (had.machine.node !== wanted.machine.node) return `it was measured with Node ${had.machine.node}; this is ${wanted.machine.node}`;
  if (had.squall !== wanted.squall) return `it was measured with Squall ${had.squall}; this is ${wanted.squall}`;
  if (had.length !== wanted.length) return `its length is ${had.length}, not ${wanted.length}`;
  if (had.seed !== wanted.seed) return `its seed is ${had.seed}, not ${wanted.seed}`;
  if (had.plan.join() !== wanted.plan.join()) return `its experiments are ${had.plan.join(", ")}, not ${wanted.plan.join(", ")}`;
  if (had.protocols.join() !== wanted.protocols.join())
    return `its protocols are ${had.protocols.join(", ")}, not ${wanted.protocols.join(", ")}`;
  if (had.runs !== wanted.runs) return `it has ${had.runs} runs in all; this version plans ${wanted.runs}`;
  return undefined;
}

/** The file to go on with. Throws where it can't be read or does not fit. */
export function readForResume(file: string, wanted: (had: Header) => Header): RecordFile {
  const record = readRecord(file);
  const problem = resumeProblem(record.header, wanted(record.header));
  if (problem !== undefined) throw new Error(`${file} can't be resumed: ${problem}. Begin a new result with another --result.`);
  return record;
}

function machineText({ machine }: Header): string {
  return `${machine.cores} x ${machine.cpu}, ${machine.memoryGiB} GiB, ${machine.kernel}`;
}
