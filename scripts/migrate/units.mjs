// Numbers as people read them.

const BYTE_UNITS = ["KB", "MB", "GB", "TB"];
const BYTES_A_UNIT = 1_000;

/** @param {number} value */
export function count(value) {
  return Math.round(value).toLocaleString("en-US");
}

/**
 * @param {number} value
 * @param {string} noun
 */
export function counted(value, noun) {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** @param {number} value */
export function bytes(value) {
  let scaled = value;
  let unit = "bytes";
  for (const larger of BYTE_UNITS) {
    if (scaled < BYTES_A_UNIT) break;
    scaled /= BYTES_A_UNIT;
    unit = larger;
  }
  return unit === "bytes" ? counted(scaled, "byte") : `${scaled.toFixed(1)} ${unit}`;
}

/** @param {number} seconds */
export function duration(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const [hours, minutes] = [Math.floor(whole / 3_600), Math.floor((whole % 3_600) / 60)];
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${whole % 60} s`;
}

/** Small sums keep their first digits. @param {number} usd */
export function dollars(usd) {
  if (usd === 0) return "$0";
  return usd < 0.01 ? `$${Number(usd.toPrecision(2)).toFixed(7).replace(/0+$/, "")}` : `$${usd.toFixed(2)}`;
}
