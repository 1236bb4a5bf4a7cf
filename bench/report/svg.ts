// The picture: for each job, Stillstore's and the developer's rate as a share of the limit's.
import type { Row } from "../job.ts";
import { ratioOf } from "../measure.ts";

const WIDTH = 960;
const LABEL_WIDTH = 300;
const VALUE_WIDTH = 60;
const ROW_HEIGHT = 34;
const BAR_HEIGHT = 11;
const TOP = 56;
const FOOT = 40;

const COLORS = { stillstore: "#2f6fed", typescript: "#9aa5b1", target: "#d9480f", text: "#6b7280", grid: "#6b728040" };

export function picture(rows: Row[], caption: string): string {
  const shares = rows.map((row) => ({
    row,
    stillstore: ratioOf(row.samples.stillstore, row.samples.limit),
    typescript: ratioOf(row.samples.typescript, row.samples.limit),
  }));
  const largest = Math.max(1.1, ...shares.flatMap(({ stillstore, typescript }) => [stillstore.rate, typescript.rate]));
  const scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / largest;
  const x = (share: number) => LABEL_WIDTH + share * scale;
  const height = TOP + rows.length * ROW_HEIGHT + FOOT;
  const bottom = height - FOOT;

  const grid = [0, 0.25, 0.5, 0.75, 1].flatMap((share) => [
    `<line x1="${x(share)}" x2="${x(share)}" y1="${TOP - 8}" y2="${bottom}" stroke="${COLORS.grid}"/>`,
    text(x(share), TOP - 14, String(share), "middle"),
  ]);
  const bars = shares.flatMap(({ row, stillstore, typescript }, index) => {
    const y = TOP + index * ROW_HEIGHT;
    return [
      text(LABEL_WIDTH - 10, y + BAR_HEIGHT + 4, row.title, "end"),
      bar(x(0), y, stillstore.rate * scale, COLORS.stillstore),
      bar(x(0), y + BAR_HEIGHT + 2, typescript.rate * scale, COLORS.typescript),
      `<line x1="${x(stillstore.low)}" x2="${x(stillstore.high)}" y1="${y + 5.5}" y2="${y + 5.5}" stroke="#1b3f8b" stroke-width="2"/>`,
      ...row.targets.map(({ against, atLeast }) => {
        const share = against === "limit" ? atLeast : atLeast * typescript.rate;
        const at = `x1="${x(share)}" x2="${x(share)}" y1="${y - 3}" y2="${y + BAR_HEIGHT + 3}"`;
        return share > largest ? "" : `<line ${at} stroke="${COLORS.target}" stroke-width="2"/>`;
      }),
      text(x(Math.max(stillstore.rate, stillstore.high)) + 8, y + 10, stillstore.rate.toFixed(2), "start"),
    ];
  });
  const legend = [
    bar(LABEL_WIDTH, 10, 14, COLORS.stillstore) + text(LABEL_WIDTH + 20, 20, "Stillstore (line: 95 % interval)", "start"),
    bar(LABEL_WIDTH + 220, 10, 14, COLORS.typescript) + text(LABEL_WIDTH + 240, 20, "typescript", "start"),
    bar(LABEL_WIDTH + 340, 10, 3, COLORS.target) + text(LABEL_WIDTH + 350, 20, "target", "start"),
    text(LABEL_WIDTH - 10, 20, "share of the limit's throughput", "end"),
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="12">`,
    ...grid,
    ...legend,
    ...bars,
    text(10, height - 12, caption, "start", 9),
    "</svg>\n",
  ].join("\n");
}

function bar(x: number, y: number, width: number, color: string): string {
  return `<rect x="${x}" y="${y}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}" fill="${color}"/>`;
}

/** A line of words whose end, start or middle is at `x`. */
export function text(x: number, y: number, words: string, anchor: string, size = 12): string {
  const escaped = words.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x.toFixed(1)}" y="${y}" text-anchor="${anchor}" font-size="${size}" fill="${COLORS.text}">${escaped}</text>`;
}
