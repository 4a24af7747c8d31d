import { Option } from "commander";
import { SquallError } from "../errors.js";
import { type ConsistencyName, connect } from "../index.js";
import { clientKeyOption, clusterOption, type Register, wholeNumber } from "./arguments.js";

interface Options {
  cluster: string;
  clientKey?: string;
  hex: boolean;
  deadline: number;
  read: boolean;
  consistency: ConsistencyName;
}

export const registerInvoke: Register = (program) => {
  program
    .command("invoke")
    .description("execute one operation and print its result")
    .argument("<operation>", "the operation's bytes: text, or hex digits with --hex")
    .addOption(clusterOption())
    .addOption(clientKeyOption())
    .option("--hex", "operation and result are hex digits", false)
    .option("--read", "ask the machine's query instead, without logging an operation", false)
    .addOption(
      new Option("--consistency <level>", "of a read")
        .choices(["linearizable", "session", "stale"])
        .default("linearizable")
        .implies({ read: true }),
    )
    .option("--deadline <ms>", "give up after so long", wholeNumber(1, 3_600_000), 5000)
    .action(async (operation: string, options: Options) => {
      const bytes = options.hex ? fromHex(operation) : Buffer.from(operation);
      const client = await connect({
        cluster: options.cluster,
        deadlineMs: options.deadline,
        ...(options.clientKey === undefined ? {} : { clientKey: options.clientKey }),
      });
      try {
        const { deadline: deadlineMs, consistency } = options;
        const result = await (options.read ? client.read(bytes, { deadlineMs, consistency }) : client.invoke(bytes, { deadlineMs }));
        console.log(options.hex ? result.toString("hex") : result.toString());
      } finally {
        await client.close();
      }
    });
};

function fromHex(text: string): Buffer {
  if (/^([0-9a-fA-F]{2})*$/.test(text)) return Buffer.from(text, "hex");
  throw new SquallError("INVALID_OPTION", `With --hex the operation is an even number of hex digits; it is "${text.slice(0, 40)}".`);
}
