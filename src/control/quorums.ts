/** Sizes for n = 2f+1 replicas. */

/** Failures that n replicas withstand. */
export function tolerated(n: number): number {
  return Math.floor((n - 1) / 2);
}

/** f + ceil(f/2) + 1: 3 of 3, 4 of 5, 6 of 7, 7 of 9 (section 4.2.2 of the paper). */
export function superquorum(n: number): number {
  const f = tolerated(n);
  return f + Math.ceil(f / 2) + 1;
}
