/**
 * Memory for large messages on their way out: they are sent at once, and each in memory of its own would be garbage of tens of MB a second
 * while a replica fetches log and state. One of each for all replicas of a thread, which are never in the middle of a message together.
 */
const RoomBytes = 72 * 1024;

export const messageRoom = Buffer.alloc(RoomBytes);
/** What committedRun writes, before it is part of a message. */
export const runRoom = Buffer.alloc(RoomBytes);
