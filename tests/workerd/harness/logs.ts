import type { WorkerdStructuredLog } from "miniflare";

/** One line the Worker logged. */
export type LogLine = {
  level: string;
  message: string;
  /** The message parsed, when it is a JSON object. */
  event?: Record<string, unknown>;
};

/** Collects what a Worker logs. A line arrives a little after the answer of the request that logged it. */
export class LogCollector {
  readonly lines: LogLine[] = [];
  #onLine: ((line: LogLine) => void) | undefined;
  #waiting: (() => void)[] = [];

  /** @param onLine gets the lines in place of `lines` */
  constructor(onLine?: (line: LogLine) => void) {
    this.#onLine = onLine;
  }

  readonly add = ({ level, message }: WorkerdStructuredLog): void => {
    const event = parseObject(message);
    const line = event === undefined ? { level, message } : { level, message, event };
    if (this.#onLine !== undefined) return this.#onLine(line);
    this.lines.push(line);
    for (const wake of this.#waiting.splice(0)) wake();
  };

  /** The first line that fits, past or to come. */
  async waitFor(fits: (line: LogLine) => boolean): Promise<LogLine> {
    for (;;) {
      const line = this.lines.find(fits);
      if (line !== undefined) return line;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

function parseObject(text: string): Record<string, unknown> | undefined {
  if (!text.startsWith("{")) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
