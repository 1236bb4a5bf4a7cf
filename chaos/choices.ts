// Choices that a seed repeats.
import { randomNumbers, weighted } from "../tests/workerd/random.ts";

export class Choices {
  #next: () => number;

  constructor(seed: number) {
    this.#next = randomNumbers(seed);
  }

  chance(probability: number): boolean {
    return this.#next() < probability;
  }

  /** A whole number from `from` to `to`, both included. */
  whole(from: number, to: number): number {
    return from + Math.floor(this.#next() * (to - from + 1));
  }

  /** Undefined of nothing. */
  one<T>(of: readonly T[]): T | undefined {
    return of[this.whole(0, of.length - 1)];
  }

  /** One of the names, each as often as its weight says. */
  weighted<Name extends string>(weights: Record<Name, number>): Name {
    return weighted(this.#next, weights);
  }
}
