import type { Mode } from "../../cluster-file.js";
import type { Deployment, DeploymentOptions } from "../deployment.js";
import type { Experiment } from "../experiment.js";
import { replicated } from "../experiment.js";
import type { ProtocolName, RunKey } from "../record.js";

/** As many as in the paper. */
const clients = 20;
const modes: Partial<Record<RunKey["protocol"], Mode>> = {
  speculative: "speculative",
  "speculative-leader": "leader",
  adaptive: "adaptive",
};

/** What each deployment reorders at the moment. */
const rates = new WeakMap<Deployment, number>();

/** Each replica lets other requests pass a part of those it receives, with a seed of its own. */
export const figure9: Experiment = {
  name: "figure9",
  description:
    "throughput against the rate of requests reordered at each replica, 20 closed-loop clients; the modes of Speculative Paxos too",
  stages: (lengths, protocols) => {
    const others = replicated(protocols).filter((protocol) => protocol !== "paxos-batching");
    const sides: RunKey["protocol"][] = protocols.includes("speculative") ? [...others, "speculative-leader", "adaptive"] : others;
    return lengths.reorderedPpm.map((reorderedPpm, index) => ({
      keepsDeployments: index + 1 < lengths.reorderedPpm.length,
      rounds: lengths.rounds,
      secondsPerRun: lengths.secondsPerRun,
      points: [sides.map((protocol) => ({ protocol, reorderedPpm }))],
      async run(context, key) {
        const deployment = await context.deployment(deploymentOf(key.protocol));
        if (rates.get(deployment) !== reorderedPpm) {
          rates.set(deployment, reorderedPpm);
          await deployment.reorder(reorderedPpm, 1 + context.seed * 1_000_003 + reorderedPpm * 10);
          if (key.protocol === "adaptive") await deployment.closed({ clients, seconds: context.lengths.adaptSeconds });
        }
        return deployment.closed({ clients, seconds: context.lengths.secondsPerRun });
      },
    }));
  },
};

function deploymentOf(protocol: RunKey["protocol"]): DeploymentOptions {
  const mode = modes[protocol];
  return mode === undefined ? { protocol: protocol as ProtocolName } : { protocol: "speculative", mode };
}
