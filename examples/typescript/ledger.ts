// Accounts: an operation is JSON { account, amount }; a withdrawal beyond the balance is refused, deterministically.
import { defineMachine, type Machine } from "squall";

export interface Transfer {
  account: string;
  amount: number;
}

export interface Receipt {
  accepted: boolean;
  balance: number;
}

/** For `squall check`: an operation from random numbers in [0, 1). */
export function sampleOperation(random: () => number): Uint8Array {
  const transfer: Transfer = { account: "abc"[Math.floor(random() * 3)]!, amount: Math.floor(random() * 200) - 100 };
  return Buffer.from(JSON.stringify(transfer));
}

export default defineMachine((): Machine => {
  const balances = new Map<string, number>();
  const undo = new Map<number, { account: string; before: number | undefined }>();

  return {
    speculativelyExecute(seqno, operation) {
      const { account, amount } = JSON.parse(operation.toString()) as Transfer;
      const before = balances.get(account);
      const balance = before ?? 0;
      undo.set(seqno, { account, before });
      const accepted = balance + amount >= 0;
      if (accepted) balances.set(account, balance + amount);
      const receipt: Receipt = { accepted, balance: accepted ? balance + amount : balance };
      return Buffer.from(JSON.stringify(receipt));
    },
    rollback(_fromSeqno, _toSeqno, _operations, seqnos) {
      for (const seqno of seqnos) {
        const { account, before } = undo.get(seqno)!;
        if (before === undefined) balances.delete(account);
        else balances.set(account, before);
        undo.delete(seqno);
      }
    },
    commit(seqno) {
      for (const done of undo.keys()) {
        if (done > seqno) break;
        undo.delete(done);
      }
    },
    snapshot: () => Buffer.from(JSON.stringify([...balances].sort(([a], [b]) => (a < b ? -1 : 1)))),
    restore(snapshot) {
      balances.clear();
      for (const [account, balance] of JSON.parse(Buffer.from(snapshot).toString()) as [string, number][]) balances.set(account, balance);
    },
  };
});
