// Variants as our codecs make them, beside sharp: processor time on one thread, how far the two are apart, and the memory of the codecs.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import sharp from "sharp";

import { projectDir } from "../../tests/workerd/harness/project.ts";
import { interleaved, median, quantile } from "../measure.ts";

/** What is made: a JPEG of this quality, as wide as that. */
type Wanted = { title: string; width: number; picture(): Promise<Uint8Array>; /** Times sharp's processor time, at most. */ target: number };

export type CodecsRow = {
  title: string;
  /** Milliseconds of processor time, medians. */
  ours: number;
  sharp: number;
  /** Of the medians, and the middle half of the ratios of rounds. */
  ratio: number;
  low: number;
  high: number;
  target: number;
  /** Between our picture and sharp's, in decibels. */
  psnr: number;
  wasmBytes: number;
};

type Codecs = {
  memory: { buffer: ArrayBuffer };
  room(sizeBytes: number): number;
  transform(...numbers: number[]): number;
  answer(fact: number): number;
};

/** What Node.js has of WebAssembly and its types do not. */
type Wasm = { Module: new (bytes: Uint8Array) => object; Instance: new (module: object, imports: object) => { exports: unknown } };
const { Module, Instance } = Reflect.get(globalThis, "WebAssembly") as Wasm;

const QUALITY = 75;
/** Of photographs, as a standard deviation: their JPEG has 0.24 bytes a pixel. */
const GRAIN = 20;
/** Of one that is out of focus: its WebP has 0.1 bytes a pixel. */
const LITTLE_GRAIN = 5;
/** Rounds that are not counted: V8 optimises the codecs meanwhile. */
const WARM_UP_ROUNDS = 5;
const MAX_PIXELS = 24_000_000;

const WANTED: Wanted[] = [
  { title: "12 MP JPEG to 640", width: 640, target: 2, picture: async () => (await photograph(4_000, 3_000)).jpeg({ quality: 80 }).toBuffer() },
  {
    title: "12 MP progressive JPEG to 640",
    width: 640,
    target: 2,
    picture: async () => (await photograph(4_000, 3_000)).jpeg({ quality: 80, progressive: true }).toBuffer(),
  },
  { title: "2 MP PNG to 640", width: 640, target: 1.5, picture: async () => (await photograph(1_632, 1_224)).png().toBuffer() },
  { title: "1 MP WebP to 320", width: 320, target: 2, picture: async () => (await photograph(1_152, 864)).webp({ quality: 80 }).toBuffer() },
  {
    title: "1 MP WebP of little detail to 320",
    width: 320,
    target: 2,
    picture: async () => (await photograph(1_152, 864, LITTLE_GRAIN)).webp({ quality: 80 }).toBuffer(),
  },
];

export async function measureCodecs(rounds: number, say: (text: string) => void): Promise<CodecsRow[]> {
  sharp.concurrency(1);
  sharp.cache(false);
  const module = new Module(readFileSync(join(projectDir, "build/codecs.wasm")));
  const rows: CodecsRow[] = [];
  for (const { title, width, target, picture } of WANTED) {
    say(`${title}: making the picture`);
    const bytes = await picture();
    const codecs = instanceOf(module);
    const makers = {
      ours: async () => transform(codecs, bytes, width),
      sharp: async () => sharp(bytes).resize({ width, kernel: "lanczos3" }).jpeg({ quality: QUALITY }).toBuffer(),
    };
    const psnr = await psnrOf(await makers.ours(), await makers.sharp());
    const taken = await interleaved(["ours", "sharp"] as const, WARM_UP_ROUNDS + rounds, async (name, round) => {
      say(`${title}: ${name}, ${round + 1} of ${WARM_UP_ROUNDS + rounds} rounds`);
      const before = process.cpuUsage();
      await makers[name]();
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1_000;
    });
    const [ours, others] = [taken.ours.slice(WARM_UP_ROUNDS), taken.sharp.slice(WARM_UP_ROUNDS)];
    const ratios = ours.map((own, round) => own / (others[round] ?? Number.NaN));
    rows.push({
      title,
      target,
      ours: median(ours),
      sharp: median(others),
      ratio: median(ours) / median(others),
      low: quantile(ratios, 0.25),
      high: quantile(ratios, 0.75),
      psnr,
      wasmBytes: peakOf(module, bytes, width),
    });
  }
  return rows;
}

/** A photograph of this size: a small one, enlarged, with grain. */
async function photograph(width: number, height: number, sigma = GRAIN) {
  const source = join(projectDir, "docs/images/cat-before.jpg");
  const grain = await sharp({ create: { width, height, channels: 3, background: "#808080", noise: { type: "gaussian", mean: 128, sigma } } })
    .png({ compressionLevel: 0 })
    .toBuffer();
  const pixels = await sharp(source)
    .resize(width, height, { fit: "fill" })
    .composite([{ input: grain, blend: "overlay" }])
    .removeAlpha()
    .raw()
    .toBuffer();
  return sharp(pixels, { raw: { width, height, channels: 3 } });
}

function instanceOf(module: object): Codecs {
  return new Instance(module, {}).exports as Codecs;
}

/** As `src/platform/js/codecs.js` has the codecs do it. */
function transform(codecs: Codecs, bytes: Uint8Array, width: number): Buffer {
  const room = codecs.room(bytes.length) >>> 0;
  new Uint8Array(codecs.memory.buffer, room, bytes.length).set(bytes);
  const [height, fit, orientation, jpeg, coarseness, enhances, withPlaceholder] = [0, 1, 1, 0, 1, 0, 0];
  const refusal = codecs.transform(width, height, fit, orientation, jpeg, QUALITY, MAX_PIXELS, coarseness, enhances, withPlaceholder);
  assert.equal(refusal, 0, "the codecs refuse it");
  const [place, sizeBytes] = [codecs.answer(0) >>> 0, codecs.answer(1) >>> 0];
  return Buffer.from(codecs.memory.buffer.slice(place, place + sizeBytes));
}

/** The memory of an instance that has made one variant. */
function peakOf(module: object, bytes: Uint8Array, width: number): number {
  const codecs = instanceOf(module);
  transform(codecs, bytes, width);
  return codecs.memory.buffer.byteLength;
}

async function psnrOf(one: Uint8Array, other: Uint8Array): Promise<number> {
  const [first, second] = await Promise.all(
    [one, other].map((bytes) => sharp(bytes).toColourspace("srgb").removeAlpha().raw().toBuffer({ resolveWithObject: true })),
  );
  assert.ok(first && second && first.info.width === second.info.width && first.info.height === second.info.height, "both are of one size");
  let squares = 0;
  first.data.forEach((value, index) => (squares += (value - (second.data[index] ?? 0)) ** 2));
  return 10 * Math.log10((255 * 255) / (squares / first.data.length));
}
