import { createRelay } from "../../dist/relay.js";
import { answerCalls } from "../children.js";
import { usage } from "../usage.js";
import type { RelayStart } from "./calls.js";

answerCalls({
  async start({ cluster }: RelayStart) {
    await createRelay({ cluster });
  },
  usage,
});
