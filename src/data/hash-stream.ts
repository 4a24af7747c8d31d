/** SHA-256 on another thread of bytes that are handed over piece by piece: neither a large copy nor the hashing holds the loop up. */
import { MessageChannel, type MessagePort } from "node:worker_threads";
import type { StreamEnd, StreamJob } from "./hash-jobs.js";

export class HashStream {
  private readonly port: MessagePort;
  private readonly ended: Promise<StreamEnd>;

  /** `run` gives the job to a thread. `keep`: the pieces come back in one. */
  constructor(run: (job: StreamJob, transfer: MessagePort[]) => Promise<unknown>, keep: boolean) {
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    const job = run({ port: port2, keep }, [port2]);
    this.ended = new Promise((resolve, reject) => {
      port1.once("message", resolve);
      job.then(() => reject(new Error("the hashing thread ended early")), reject);
    });
    // Told to whoever awaits the end.
    this.ended.catch(() => {});
  }

  /** `piece` must own all of its buffer, which is gone afterwards. */
  add(piece: Uint8Array<ArrayBuffer>): void {
    this.port.postMessage(piece, [piece.buffer]);
  }

  /** Rejects where the threads were ended meanwhile. */
  async end(): Promise<StreamEnd> {
    this.port.postMessage(null);
    try {
      return await this.ended;
    } finally {
      this.port.close();
    }
  }

  /** Nobody wants to know any more. */
  abandon(): void {
    this.port.close();
  }
}
