import type { Experiment } from "../experiment.js";
import type { ExperimentName } from "../record.js";
import { figure8 } from "./figure8.js";
import { figure9 } from "./figure9.js";
import { latency } from "./latency.js";
import { openLoop } from "./open-loop.js";
import { outstanding, processes, replicas, sizes } from "./scaling.js";
import { table1 } from "./table1.js";

export const experiments: Record<ExperimentName, Experiment> = {
  latency,
  figure8,
  figure9,
  table1,
  replicas,
  sizes,
  processes,
  outstanding,
  "open-loop": openLoop,
};
