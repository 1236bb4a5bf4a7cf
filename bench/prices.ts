// What operations cost, from the one table of prices.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const TABLE = join(import.meta.dirname, "../src/prices.rs");

export type Prices = { date: string; r2ClassA: number; r2ClassB: number; d1RowsRead: number; d1RowsWritten: number };

/** Dollars for a million of each, as src/prices.rs says. */
export function readPrices(source = readFileSync(TABLE, "utf8")): Prices {
  const date = /list prices on (\d{4}-\d\d-\d\d)/.exec(source)?.[1];
  const price = (name: string) => Number(new RegExp(`${name}: PerMillion = PerMillion\\(([\\d.]+)\\)`).exec(source)?.[1]);
  const prices = {
    date: date ?? "",
    r2ClassA: price("R2_CLASS_A"),
    r2ClassB: price("R2_CLASS_B"),
    d1RowsRead: price("D1_ROWS_READ"),
    d1RowsWritten: price("D1_ROWS_WRITTEN"),
  };
  if (Object.values(prices).some((value) => value === "" || Number.isNaN(value))) {
    throw new Error("src/prices.rs does not have the prices in the form that the bench reads.");
  }
  return prices;
}

/** What one operation uses. */
export type Usage = { r2ClassA: number; r2ClassB: number; d1RowsRead: number; d1RowsWritten: number };

/** Dollars for a million operations. */
export function dollarsPerMillion(usage: Usage, prices: Prices): number {
  return (
    usage.r2ClassA * prices.r2ClassA +
    usage.r2ClassB * prices.r2ClassB +
    usage.d1RowsRead * prices.d1RowsRead +
    usage.d1RowsWritten * prices.d1RowsWritten
  );
}
