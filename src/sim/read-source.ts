/** Which reads a client of a run issues between its operations: queries of the registers and counters that all share. */
import { Consistency } from "../data/binding.js";
import { Kind } from "./history.js";
import { encodeOperation, OPERATION_BYTES, SHARED_OBJECTS } from "./operation.js";
import type { Prng } from "./prng.js";

export class ReadSource {
  /** The read drawn last. An addition of nothing answers the counter's value. */
  kind: Kind = Kind.Read;
  object = 0;
  consistency: Consistency = Consistency.Linearizable;
  readonly bytes = Buffer.alloc(OPERATION_BYTES);

  /** `share`: of what the client issues. */
  constructor(
    private readonly prng: Prng,
    private readonly client: number,
    private readonly share: number,
  ) {}

  /** Whether the client's next operation is a read; if so, it is drawn. */
  drawn(): boolean {
    if (this.share === 0 || !this.prng.chance(this.share)) return false;
    this.kind = this.prng.pick([Kind.Read, Kind.Add]);
    this.object = this.prng.below(SHARED_OBJECTS);
    this.consistency = this.prng.pick([Consistency.Linearizable, Consistency.Linearizable, Consistency.Session, Consistency.Stale]);
    return true;
  }

  encode(id: number): void {
    encodeOperation(this.bytes, { kind: this.kind, object: this.object, client: this.client, id, argument: 0, expected: 0 });
  }
}
