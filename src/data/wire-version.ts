/** Versions of the wire: which frames this build understands (docs/upgrading.md). */

/** Kept in step with native/wire/frame.h. */
export const OldestWireVersion = 1;
const Newest = 1;

/**
 * The newest version that this process understands. Tests of rolling upgrades make it pretend to be the next release, which changes nothing
 * but the number, by SQUALL_WIRE_VERSION.
 */
export function newestWireVersion(): number {
  return process.env.SQUALL_WIRE_VERSION === String(Newest + 1) ? Newest + 1 : Newest;
}
