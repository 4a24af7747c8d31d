/**
 * Upcalls that can be cut off. A native engine holds its upcalls for as long as it lives; cut off from their host at
 * close, they no longer keep host and engine alive, so that both can be collected.
 */
import type { ClientUpcalls, ReplicaUpcalls } from "./binding.js";

export interface Detachable<Upcalls> {
  upcalls: Upcalls;
  detach(): void;
}

export function detachableReplicaUpcalls(target: ReplicaUpcalls): Detachable<ReplicaUpcalls> {
  let current: ReplicaUpcalls | undefined = target;
  return {
    upcalls: {
      onExecute: (count) => current?.onExecute(count) ?? 0,
      onQuery: (count) => current?.onQuery(count) ?? 0,
      onControl: (type, from, stream, body) => current?.onControl(type, from, stream, body),
      onComplaint: (session, seqno) => current?.onComplaint(session, seqno),
      onTick: (nowUs) => current?.onTick(nowUs),
      onAppended: () => current?.onAppended(),
    },
    detach() {
      current = undefined;
    },
  };
}

export function detachableClientUpcalls(target: ClientUpcalls): Detachable<ClientUpcalls> {
  let current: ClientUpcalls | undefined = target;
  return {
    upcalls: {
      onComplete: (count) => current?.onComplete(count),
      onState: (state) => current?.onState(state),
    },
    detach() {
      current = undefined;
    },
  };
}
