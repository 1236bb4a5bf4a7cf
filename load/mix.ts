// What is asked at once: each kind of request by an oha of its own, and everything once more by a client that compares the bytes.
import { randomImage } from "../bench/jobs/images.ts";
import { AUTHORIZATION } from "../tests/workerd/invariants.ts";
import type { Stocked } from "./stock.ts";

/** What one oha asks, over and over. */
export type Ask = {
  name: AskName;
  title: string;
  method: "GET" | "POST";
  /** One of them at random each time. */
  urls: string[];
  headers: Record<string, string>;
  body?: Uint8Array | string;
  /** At most so many a second; as many as are answered when absent. */
  perSecond?: number;
  /** What each answer must have, and how long it must be where all are equal. */
  status: number;
  answerBytes?: number;
  /** By which the catalogue finds what was stored. */
  personaId?: string;
};

/** Connections of each, when they are 64. */
const SHARES = {
  whole: 26,
  range: 8,
  notModified: 8,
  records: 4,
  uploadSmall: 5,
  uploadLarge: 2,
  generate: 3,
  checker: 8,
};

export type ClientName = keyof typeof SHARES;
export type AskName = Exclude<ClientName, "checker">;

export const MIN_CONNECTIONS = Object.keys(SHARES).length;

/** Of images over twice as long. */
const RANGE = { from: 65_536, bytes: 65_536 };

/**
 * Writes are held back, so that the disk does not decide: 0.8, 1 and about 0.03 MB a second, 1.1 GB in ten minutes. Each connection is
 * asked within the 5 seconds after which workerd closes an idle one.
 */
const UPLOADS = { small: { bytes: 100_000, perSecond: 8 }, large: { bytes: 1_000_000, perSecond: 1 } };
const GENERATIONS_PER_SECOND = 2;

/** So that they are `total` together, each at least one, as nearly as the shares say. */
export function connectionsOf(total: number): Record<ClientName, number> {
  const names = Object.keys(SHARES) as ClientName[];
  const sum = Object.values(SHARES).reduce((one, other) => one + other, 0);
  const counts = Object.fromEntries(names.map((name) => [name, 1])) as Record<ClientName, number>;
  for (let given = names.length; given < total; given += 1) {
    const missing = (name: ClientName) => (SHARES[name] / sum) * total - counts[name];
    const neediest = names.reduce((one, other) => (missing(other) > missing(one) ? other : one));
    counts[neediest] += 1;
  }
  return counts;
}

/** @param url of the Worker, with a slash at its end */
export function asksOf(url: string, stocked: Stocked[]): Ask[] {
  const images = stocked.map(({ id }) => `${url}images/${id}`);
  const forRanges = stocked.filter(({ bytes }) => bytes.length >= RANGE.from + RANGE.bytes).map(({ id }) => `${url}images/${id}`);
  const records = stocked.map(({ id }) => `${url}api/images/${id}`);
  const listings = ["", "?limit=100", "?storage=d1", "?personaId=load-uploadSmall"].map((query) => `${url}api/images${query}`);
  const upload = (name: "uploadSmall" | "uploadLarge", { bytes, perSecond }: { bytes: number; perSecond: number }): Ask => ({
    name,
    title: `Upload ${bytes / 1_000} KB`,
    method: "POST",
    urls: [`${url}api/images?personaId=load-${name}`],
    headers: AUTHORIZATION,
    body: randomImage(bytes),
    perSecond,
    status: 201,
    personaId: `load-${name}`,
  });
  return [
    { name: "whole", title: "Read images whole", method: "GET", urls: images, headers: {}, status: 200 },
    {
      name: "range",
      title: "Read a range of 64 KiB",
      method: "GET",
      urls: forRanges,
      headers: { range: `bytes=${RANGE.from}-${RANGE.from + RANGE.bytes - 1}` },
      status: 206,
      answerBytes: RANGE.bytes,
    },
    {
      name: "notModified",
      title: "Read what is known already",
      method: "GET",
      urls: images,
      // oha sends the same headers whatever the URL.
      headers: { "if-none-match": stocked.map(({ sha256 }) => `"${sha256}"`).join(", ") },
      status: 304,
      answerBytes: 0,
    },
    {
      name: "records",
      title: "Listings and records",
      method: "GET",
      // Half of each.
      urls: [...records, ...Array.from({ length: records.length / listings.length }, () => listings).flat()],
      headers: AUTHORIZATION,
      status: 200,
    },
    upload("uploadSmall", UPLOADS.small),
    upload("uploadLarge", UPLOADS.large),
    {
      name: "generate",
      title: "Generate with the placeholder",
      method: "POST",
      urls: [`${url}api/generate-image`],
      headers: { ...AUTHORIZATION, "content-type": "application/json" },
      body: JSON.stringify({ prompt: "a lighthouse", personaId: "load-generate", size: "512x512" }),
      perSecond: GENERATIONS_PER_SECOND,
      status: 200,
      personaId: "load-generate",
    },
  ];
}
