import type { Command } from "commander";
import { listMembers, type MembershipChange, type ReconfigureProgress, reconfigure, rewriteMembers } from "../index.js";
import { clusterOption, each, hostPort, jsonOption, type Register, wholeNumber } from "./arguments.js";
import { table } from "./output.js";

type Address = ReturnType<typeof hostPort>;

const memberIndex = wholeNumber(0, 8);

interface Options {
  cluster: string;
  deadline: number;
  json: boolean;
}

export const registerMembers: Register = (program) => {
  const members = program.command("members").description("who the replicas are, and changes of it while the cluster runs");
  members
    .command("list")
    .description("the present members, as they know it themselves")
    .addOption(clusterOption())
    .addOption(jsonOption())
    .option("--deadline <ms>", "wait for answers at most so long", wholeNumber(1, 3_600_000), 1000)
    .action(list);
  changing(
    members
      .command("add")
      .description("blank replicas at host:port join; two at once, so that their number stays odd")
      .argument("<address...>", "where they wait, host:port", each(hostPort)),
  ).action((add: Address[], options: Options) => change({ add }, options));
  changing(
    members
      .command("remove")
      .description("members leave; two at once, so that their number stays odd")
      .argument("<index...>", "as `squall members list` counts them", each(memberIndex)),
  ).action((remove: number[], options: Options) => change({ remove }, options));
  changing(
    members
      .command("replace")
      .description("a blank replica at host:port takes the place of a member, dead or alive")
      .argument("<index>", "as `squall members list` counts them", memberIndex)
      .argument("<address>", "where the blank one waits, host:port", hostPort),
  ).action((index: number, address: Address, options: Options) => change({ replace: [{ index, address }] }, options));
};

function changing(command: Command): Command {
  return command
    .addOption(clusterOption())
    .addOption(jsonOption())
    .option("--deadline <ms>", "give up waiting after so long", wholeNumber(1, 3_600_000), 30_000);
}

async function list({ cluster, deadline, json }: Options): Promise<void> {
  const membership = await listMembers({ cluster, deadlineMs: deadline });
  const members = membership.members.map(({ address, report }, index) => ({
    index,
    ...address,
    status: report === undefined ? "no answer" : report.joining ? "joining" : report.status,
    view: report?.view,
    committed: report?.committed,
  }));
  if (json) {
    console.log(JSON.stringify({ epoch: membership.epoch, lifeId: membership.lifeId, members }));
    return;
  }
  console.log(`epoch ${membership.epoch} of life ${membership.lifeId}`);
  const rows = members.map(({ index, ip, port, status, view, committed }) =>
    [index, `${ip} port ${port}`, status, view ?? "", committed ?? ""].map(String),
  );
  console.log(table(["member", "address", "status", "view", "committed"], rows));
}

async function change(wanted: MembershipChange, { cluster, deadline, json }: Options): Promise<void> {
  for await (const progress of reconfigure({ cluster, change: wanted, deadlineMs: deadline })) {
    console.log(json ? JSON.stringify(progress) : describe(progress));
    if (progress.state === "done")
      await rewriteMembers(cluster, progress.members, [...(wanted.add ?? []), ...(wanted.replace ?? []).map(({ address }) => address)]);
  }
  if (!json) console.log(`${cluster} names them now`);
}

function describe(progress: ReconfigureProgress): string {
  switch (progress.state) {
    case "collecting":
      return `epoch ${progress.epoch}: asking who is there`;
    case "closing":
      return `epoch ${progress.epoch}: the members end epoch ${progress.epoch - 1}`;
    case "transferring":
      return `epoch ${progress.epoch}: ${progress.ready} of ${progress.total} members take part`;
    case "done":
      return `epoch ${progress.epoch}: done; members ${progress.members.map(({ ip, port }) => `${ip}:${port}`).join(", ")}`;
  }
}
