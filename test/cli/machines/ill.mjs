/** The counter, which throws at its thirtieth operation where the environment says that it is ill. */
import counter from "../../../dist/machines/counter.js";

let left = process.env.SQUALL_TEST_ILL === undefined ? Number.POSITIVE_INFINITY : 30;

export default () => {
  const machine = typeof counter === "function" ? counter() : counter;
  return {
    ...machine,
    speculativelyExecute(...parameters) {
      if (--left === 0) throw new Error("only here");
      return machine.speculativelyExecute(...parameters);
    },
  };
};
