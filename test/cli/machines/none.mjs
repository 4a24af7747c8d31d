export default { speculativelyExecute() {} };
