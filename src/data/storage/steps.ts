/**
 * Sequences of asynchronous steps written as generators: `const bytes = yield* step((done) => file.read(0, 64, done))`. Unlike async
 * functions they go on in the very callback that completes a step, with no microtask between, so that the simulator decides the order.
 */
import type { Done } from "./disk.js";

type Start = (done: Done<unknown>) => void;
export type Steps<T> = Generator<Start, T, unknown>;

/** One asynchronous operation; throws its error. */
export function* step<T>(start: (done: Done<T>) => void): Steps<T> {
  return (yield start as Start) as T;
}

/** Runs the steps; `done` gets what they return or throw. */
export function runSteps<T>(steps: Steps<T>, done: (error: Error | undefined, value: T) => void): void {
  const advance = (resume: () => IteratorResult<Start, T>): void => {
    let next: IteratorResult<Start, T>;
    try {
      next = resume();
    } catch (error) {
      done(error as Error, undefined as T);
      return;
    }
    if (next.done === true) done(undefined, next.value);
    else next.value((error, value) => advance(() => (error === undefined || error === null ? steps.next(value) : steps.throw(error))));
  };
  advance(() => steps.next());
}
