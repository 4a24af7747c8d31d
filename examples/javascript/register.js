// A register: an operation is its new value, the result is the old one.
import { defineMachine } from "squall";

export default defineMachine(() => {
  let value = Buffer.alloc(0);
  const before = new Map(); // by seqno, for rollback, until committed

  return {
    speculativelyExecute(seqno, operation) {
      const old = value;
      before.set(seqno, old);
      value = Buffer.from(operation); // a copy: the operation's bytes are valid only during the upcall
      return old;
    },
    rollback(_fromSeqno, _toSeqno, _operations, seqnos) {
      for (const seqno of seqnos) {
        value = before.get(seqno);
        before.delete(seqno);
      }
    },
    commit(seqno) {
      for (const done of before.keys()) {
        if (done > seqno) break;
        before.delete(done);
      }
    },
    snapshot: () => value,
    restore(snapshot) {
      value = Buffer.from(snapshot);
    },
  };
});
