// The picture: memory over the minutes of a run.
import { text } from "../bench/report/svg.ts";
import { MIN_JUDGED_SECONDS, WARM_UP_SHARE } from "./flat.ts";
import type { MemorySample } from "./memory.ts";

const WIDTH = 960;
const HEIGHT = 420;
const PLOT = { left: 60, right: 940, top: 40, bottom: 360 };
const COLORS = { text: "#6b7280", grid: "#6b728040", judged: "#2f6fed12" };
const GRID_LINES = 5;
/** About that of 12 pixels' letters. */
const CHARACTER_WIDTH = 6;
const MB = 1e6;

type Curve = { title: string; color: string; bytesOf(sample: MemorySample): number | undefined };

const CURVES: Curve[] = [
  { title: "resident set of workerd", color: "#1b3f8b", bytesOf: ({ residentBytes }) => residentBytes },
  { title: "heaps of the D1 and R2 simulators", color: "#9aa5b1", bytesOf: ({ simulatorHeapBytes }) => simulatorHeapBytes },
  { title: "heap of the Worker", color: "#2f6fed", bytesOf: ({ workerHeapBytes }) => workerHeapBytes },
  { title: "wasm memory of the Worker", color: "#d9480f", bytesOf: ({ wasmBytes }) => wasmBytes },
];

export function memoryPicture(samples: MemorySample[], seconds: number, caption: string): string {
  const lastSeconds = Math.max(seconds, samples.at(-1)?.seconds ?? 0);
  const most = Math.max(1, ...samples.flatMap((sample) => CURVES.map(({ bytesOf }) => (bytesOf(sample) ?? 0) / MB)));
  const step = roundUp(most / GRID_LINES);
  const x = (at: number) => PLOT.left + (at / lastSeconds) * (PLOT.right - PLOT.left);
  const y = (bytes: number) => PLOT.bottom - (bytes / MB / (step * GRID_LINES)) * (PLOT.bottom - PLOT.top);

  const horizontal = Array.from({ length: GRID_LINES + 1 }, (_, index) => index * step).flatMap((megabytes) => [
    line(PLOT.left, y(megabytes * MB), PLOT.right, y(megabytes * MB)),
    text(PLOT.left - 8, y(megabytes * MB) + 4, String(megabytes), "end"),
  ]);
  const minutes = Array.from({ length: Math.floor(seconds / 60) + 1 }, (_, minute) => minute);
  const vertical = minutes.map((minute) => text(x(minute * 60), PLOT.bottom + 18, String(minute), "middle"));
  const from = x(seconds * WARM_UP_SHARE);
  const [width, height] = [(x(seconds) - from).toFixed(1), PLOT.bottom - PLOT.top];
  const judged = `<rect x="${from.toFixed(1)}" y="${PLOT.top}" width="${width}" height="${height}" fill="${COLORS.judged}"/>`;
  const curves = CURVES.map(({ color, bytesOf }) => {
    const points = samples.flatMap((sample) => {
      const bytes = bytesOf(sample);
      return bytes === undefined ? [] : [`${x(sample.seconds).toFixed(1)},${y(bytes).toFixed(1)}`];
    });
    return `<polyline points="${points.join(" ")}" fill="none" stroke="${color}" stroke-width="1.5"/>`;
  });
  let nextAt = PLOT.left;
  const legend = CURVES.flatMap(({ title, color }) => {
    const at = nextAt;
    nextAt += 50 + title.length * CHARACTER_WIDTH;
    return [`<rect x="${at}" y="12" width="14" height="4" fill="${color}"/>`, text(at + 20, 18, title, "start")];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="system-ui, sans-serif" font-size="12">`,
    ...(seconds < MIN_JUDGED_SECONDS ? [] : [judged]),
    ...horizontal,
    ...vertical,
    text(PLOT.left - 8, PLOT.top - 8, "MB", "end"),
    text((PLOT.left + PLOT.right) / 2, PLOT.bottom + 34, "minutes under load; shaded: where memory must be flat", "middle"),
    ...curves,
    ...legend,
    text(10, HEIGHT - 8, caption, "start", 9),
    "</svg>\n",
  ].join("\n");
}

function line(x1: number, y1: number, x2: number, y2: number): string {
  return `<line x1="${x1}" x2="${x2}" y1="${y1.toFixed(1)}" y2="${y2.toFixed(1)}" stroke="${COLORS.grid}"/>`;
}

/** To 1, 2 or 5 with zeros. */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return (([1, 2, 5].find((digit) => digit * power >= value) ?? 10) * power);
}
