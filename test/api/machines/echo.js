/** Answers with the operation; remembers all of them, so that a digest shows order and content. Some operations misbehave, by name. */
export function echoMachine() {
  const log = [];
  return {
    log,
    committed: 0,
    speculativelyExecute(seqno, operation, context) {
      const text = operation.toString("latin1");
      if (text === "throw null") throw null;
      if (text === "throw error") throw new RangeError("not today");
      if (text === "promise") return Promise.resolve(operation);
      if (text === "invalid") return { length: 1 };
      if (text === "huge") return new Uint8Array(2 * 1024 * 1024);
      if (text === "nothing") return undefined;
      if (text === "context") return Buffer.from(`${context.timeMs} ${context.random()} ${context.random()}`);
      log.push(`${seqno} ${text.length > 64 ? text.length : text}`);
      return operation;
    },
    rollback(_fromSeqno, _toSeqno, operations) {
      for (const _ of operations) log.pop();
    },
    commit(seqno) {
      this.committed = seqno;
    },
    snapshot() {
      return Buffer.from(log.join("\n"));
    },
  };
}

export default echoMachine;
