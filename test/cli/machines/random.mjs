export default {
  speculativelyExecute: () => Buffer.from([Math.random() * 256]),
  rollback() {},
};
