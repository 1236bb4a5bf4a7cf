// Decodes evanw's ThumbHash, whose layout https://github.com/evanw/thumbhash describes.

export type Pixels = { width: number; height: number; rgba: Uint8ClampedArray<ArrayBuffer> };

/** The longer side of what is decoded. */
const SIDE_PX = 32;
/** What makes up for colours that were rounded. */
const COLOUR_BOOST = 1.25;

type Channel = { constant: number; columns: number; rows: number; factors: number[] };

/** The blurred picture in a hash, in base64; `undefined` when it is none. */
export function decodeThumbHash(text: string): Pixels | undefined {
  const hash = bytesOf(text);
  if (hash === undefined || hash.length < 5) return undefined;
  const byte = (index: number) => hash[index] ?? 0;
  const first = byte(0) | (byte(1) << 8) | (byte(2) << 16);
  const second = byte(3) | (byte(4) << 8);
  const hasAlpha = first >> 23 !== 0;
  const longer = hasAlpha ? 5 : 7;
  const [across, down] = second >> 15 !== 0 ? [longer, second & 7] : [second & 7, longer];
  let next = (hasAlpha ? 6 : 5) * 2;
  const channel = (constant: number, columns: number, rows: number, scale: number): Channel => {
    const factors = termsOf(columns, rows).map(() => {
      const half = (byte(next >> 1) >> ((next & 1) << 2)) & 15;
      next += 1;
      return (half / 7.5 - 1) * scale;
    });
    return { constant, columns, rows, factors };
  };
  const light = channel((first & 63) / 63, Math.max(3, across), Math.max(3, down), ((first >> 18) & 31) / 31);
  const yellow = channel(((first >> 6) & 63) / 31.5 - 1, 3, 3, (((second >> 3) & 63) / 63) * COLOUR_BOOST);
  const red = channel(((first >> 12) & 63) / 31.5 - 1, 3, 3, (((second >> 9) & 63) / 63) * COLOUR_BOOST);
  const alpha = hasAlpha ? channel((byte(5) & 15) / 15, 5, 5, (byte(5) >> 4) / 15) : undefined;

  const ratio = across / down;
  const width = Math.max(1, Math.round(ratio > 1 ? SIDE_PX : SIDE_PX * ratio));
  const height = Math.max(1, Math.round(ratio > 1 ? SIDE_PX / ratio : SIDE_PX));
  const planes = [light, yellow, red, ...(alpha ? [alpha] : [])].map((one) => plane(one, width, height));
  const rgba = new Uint8ClampedArray(width * height * 4);
  for (let pixel = 0; pixel < width * height; pixel += 1) {
    const [l = 0, p = 0, q = 0, a = 1] = planes.map((values) => values[pixel] ?? 0);
    const blue = l - (2 / 3) * p;
    const reddish = (3 * l - blue + q) / 2;
    rgba.set([reddish, reddish - q, blue, a].map((part) => part * 255), pixel * 4);
  }
  return { width, height, rgba };
}

/** Column and row of each cosine that a channel has, in the order of the hash. */
function termsOf(columns: number, rows: number): [number, number][] {
  const terms: [number, number][] = [];
  for (let row = 0; row < rows; row += 1) {
    for (let column = row === 0 ? 1 : 0; column * rows < columns * (rows - row); column += 1) terms.push([column, row]);
  }
  return terms;
}

/** A channel's value at each pixel. */
function plane({ constant, columns, rows, factors }: Channel, width: number, height: number): Float64Array {
  const cosines = (count: number, length: number) =>
    Array.from({ length: count }, (_, term) => Float64Array.from({ length }, (_, place) => Math.cos((Math.PI / length) * (place + 0.5) * term)));
  const [across, down] = [cosines(columns, width), cosines(rows, height)];
  const values = new Float64Array(width * height).fill(constant);
  termsOf(columns, rows).forEach(([column, row], index) => {
    const [horizontal, vertical] = [across[column], down[row]];
    if (horizontal === undefined || vertical === undefined) return;
    for (let pixel = 0; pixel < values.length; pixel += 1) {
      values[pixel]! += (factors[index] ?? 0) * (horizontal[pixel % width] ?? 0) * 2 * (vertical[Math.floor(pixel / width)] ?? 0);
    }
  });
  return values;
}

function bytesOf(base64: string): Uint8Array | undefined {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}
