// A map of small keys, with the old values kept for rollback.
const map = new Map();
const undo = [];

export function sampleOperation(random) {
  return Buffer.from([random() * 8, random() * 256]);
}

export default {
  speculativelyExecute(_seqno, operation) {
    const [key, value] = operation;
    if (value === undefined) throw new TypeError("an operation is 2 bytes");
    undo.push([key, map.get(key)]);
    map.set(key, value);
    return Buffer.from([map.size]);
  },
  rollback(_from, _to, operations) {
    for (let i = 0; i < operations.length; i++) {
      const [key, value] = undo.pop();
      if (value === undefined) map.delete(key);
      else map.set(key, value);
    }
  },
  snapshot() {
    return Buffer.from(JSON.stringify([...map].sort(([a], [b]) => a - b)));
  },
  restore(snapshot) {
    map.clear();
    for (const [key, value] of JSON.parse(snapshot)) map.set(key, value);
  },
};
