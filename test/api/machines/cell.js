/** Holds the last operation's text; a query answers it, or misbehaves by name. */
export function cellMachine() {
  const texts = [""];
  return {
    queries: 0,
    speculativelyExecute(_seqno, operation) {
      texts.push(operation.toString());
    },
    rollback(_fromSeqno, _toSeqno, operations) {
      texts.length -= operations.length;
    },
    query(operation, context) {
      this.queries++;
      const text = operation.toString("latin1", 0, 16);
      if (text === "throw") throw new RangeError("not today");
      if (text === "promise") return Promise.resolve(operation);
      if (text === "invalid") return { length: 1 };
      if (text === "huge") return new Uint8Array(2 * 1024 * 1024);
      if (text === "nothing") return undefined;
      if (text === "change") texts.push("changed");
      if (text === "echo" || text.startsWith("blob")) return operation;
      if (text === "context") return Buffer.from(`${context.timeMs} ${context.random()}`);
      return Buffer.from(texts.at(-1));
    },
    snapshot: () => Buffer.from(texts.join("\n")),
  };
}

export default cellMachine;
