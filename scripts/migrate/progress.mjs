// How far a run is: a bar on a terminal, else a line every few seconds.
import { bytes, count, duration } from "./units.mjs";

const LINE_EVERY_MS = 5_000;
/** The rate is that of the last half minute, so that it follows what happens. */
const RATE_WINDOW_MS = 30_000;
const BAR_CHARACTERS = 30;

/** @typedef {import("./client.mjs").Progress} Progress */

/**
 * Where the output goes.
 * @typedef {NodeJS.WritableStream & { isTTY?: boolean }} Output
 */

/** Items a second, and what is left of them. */
export class Rate {
  /** @type {{ atMs: number, done: number }[]} */
  #samples = [];

  /**
   * @param {number} done
   * @param {number} nowMs
   */
  add(done, nowMs) {
    this.#samples.push({ atMs: nowMs, done });
    while (this.#samples.length > 2 && nowMs - (this.#samples[0]?.atMs ?? nowMs) > RATE_WINDOW_MS) this.#samples.shift();
  }

  /** Undefined until something was seen to be done. */
  perSecond() {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (first === undefined || last === undefined || last.atMs === first.atMs) return undefined;
    const rate = ((last.done - first.done) * 1_000) / (last.atMs - first.atMs);
    return rate > 0 ? rate : undefined;
  }
}

/**
 * `1,200 of 4,000 (30 %), 18.2 MB, 2 failed, 310 a second, 9 s left`
 * @param {Progress} progress
 * @param {number | undefined} perSecond
 */
export function describe({ total, done, failed, bytes: moved }, perSecond) {
  const parts = [total === null ? `${count(done)} done` : `${count(done)} of ${count(total)} (${percent(done, total)} %)`];
  if (moved > 0) parts.push(bytes(moved));
  if (failed > 0) parts.push(`${count(failed)} failed`);
  if (perSecond !== undefined) {
    parts.push(`${perSecond < 10 ? perSecond.toFixed(1) : count(perSecond)} a second`);
    if (total !== null && total > done) parts.push(`${duration((total - done) / perSecond)} left`);
  }
  return parts.join(", ");
}

/**
 * @param {number} done
 * @param {number} total
 */
function percent(done, total) {
  return total === 0 ? 100 : Math.floor((done / total) * 100);
}

/**
 * @typedef {{ show(progress: Progress): void, interject(line: string): void, stop(): void }} Display
 */

/**
 * @param {Output} output
 * @returns {Promise<Display>}
 */
export async function startDisplay(output) {
  if (!output.isTTY) return lines(output);
  try {
    const library = await import("cli-progress");
    return bar(output, library.default);
  } catch {
    // Nothing is installed in this clone: lines do without.
    return lines(output);
  }
}

/**
 * @param {Output} output
 * @param {() => number} [now] milliseconds
 * @returns {Display}
 */
export function lines(output, now = Date.now) {
  const rate = new Rate();
  /** @type {number | undefined} */
  let shownAtMs;
  return {
    show(progress) {
      const nowMs = now();
      rate.add(progress.done, nowMs);
      if (shownAtMs !== undefined && nowMs - shownAtMs < LINE_EVERY_MS) return;
      shownAtMs = nowMs;
      output.write(`${describe(progress, rate.perSecond())}\n`);
    },
    interject: (line) => output.write(`${line}\n`),
    stop() {},
  };
}

/**
 * @param {Output} output
 * @param {typeof import("cli-progress")} library
 * @returns {Display}
 */
function bar(output, { SingleBar, Format }) {
  const rate = new Rate();
  const single = new SingleBar({
    stream: output,
    barsize: BAR_CHARACTERS,
    barCompleteChar: "=",
    barIncompleteChar: "-",
    // Hidden, it would stay so when this is killed.
    hideCursor: false,
    linewrap: false,
    format(options, params, payload) {
      const { progress } = /** @type {{ progress?: Progress }} */ (payload);
      if (progress === undefined) return "";
      const text = describe(progress, rate.perSecond());
      return progress.total === null ? text : `[${Format.BarFormat(params.progress, options)}] ${text}`;
    },
  });
  let started = false;
  /** @type {Progress | undefined} */
  let latest;
  const stop = () => {
    if (started) single.stop();
    started = false;
  };
  /** @param {Progress} progress */
  const draw = (progress) => {
    const total = Math.max(progress.total ?? 0, progress.done, 1);
    if (!started) single.start(total, progress.done, { progress });
    started = true;
    single.setTotal(total);
    single.update(progress.total === 0 ? 1 : progress.done, { progress });
  };
  return {
    show(progress) {
      latest = progress;
      rate.add(progress.done, Date.now());
      draw(progress);
    },
    interject(line) {
      stop();
      output.write(`${line}\n`);
      if (latest !== undefined) draw(latest);
    },
    stop,
  };
}
