// Ends waiting for what never comes, and says what it was: a run that stands still tells nobody why.

/** It did not come in time. */
export class Overdue extends Error {}

export async function inTime<T>(what: string, longestMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const overdue = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Overdue(`${what} did not end in ${longestMs / 1_000} s`)), longestMs);
  });
  try {
    return await Promise.race([work, overdue]);
  } finally {
    clearTimeout(timer);
  }
}
