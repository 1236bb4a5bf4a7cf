// Uploads that may have become an image without anybody having been told.

type Attempt = {
  bytes: Uint8Array;
  /** How many uploads of these bytes are unaccounted for. */
  open: number;
};

/** One client's, by the digest of what was sent. Each of them became one image at most. */
export class Attempts {
  #bySha256 = new Map<string, Attempt>();

  /** To be said before the Worker is asked. */
  begin(sha256: string, bytes: Uint8Array): void {
    const attempt = this.#bySha256.get(sha256) ?? { bytes, open: 0 };
    attempt.open += 1;
    this.#bySha256.set(sha256, attempt);
  }

  /** What became of one of them is known. Answers with its bytes, or with nothing when none is unaccounted for. */
  end(sha256: string): Uint8Array | undefined {
    const attempt = this.#bySha256.get(sha256);
    if (attempt === undefined) return undefined;
    attempt.open -= 1;
    if (attempt.open === 0) this.#bySha256.delete(sha256);
    return attempt.bytes;
  }

  /** None of them becomes an image any more. */
  endAll(): void {
    this.#bySha256.clear();
  }
}
