// Texts that stand for bytes, decoded and encoded without either passing through wasm memory.

/**
 * The bytes that `text` encodes from `from` on.
 * @param {string} text
 * @param {number} from
 * @param {"base64" | "hex" | "percent" | "percent-base64"} encoding
 * @returns {Uint8Array}
 * @throws when the text is not in that encoding
 */
export function decode(text, from, encoding) {
  const encoded = text.slice(from);
  switch (encoding) {
    case "base64":
      return fromBase64(encoded);
    case "hex":
      return Uint8Array.fromHex(encoded);
    case "percent":
      return percentDecoded(encoded);
    case "percent-base64":
      return fromBase64(new TextDecoder("utf-8", { fatal: false, ignoreBOM: true }).decode(percentDecoded(encoded)));
  }
}

/** @param {string} text in either alphabet, not both */
function fromBase64(text) {
  const alphabet = text.includes("-") || text.includes("_") ? "base64url" : "base64";
  return Uint8Array.fromBase64(text, { alphabet, lastChunkHandling: "loose" });
}

/**
 * WHATWG URL, percent-decode: a `%` without two hexadecimal digits is itself.
 * @param {string} text
 */
function percentDecoded(text) {
  const bytes = new TextEncoder().encode(text);
  let written = 0;
  for (let read = 0; read < bytes.length; read += 1) {
    let byte = bytes[read] ?? 0;
    if (byte === 0x25) {
      const high = digit(bytes[read + 1]);
      const low = digit(bytes[read + 2]);
      if (high >= 0 && low >= 0) {
        byte = high * 16 + low;
        read += 2;
      }
    }
    bytes[written] = byte;
    written += 1;
  }
  return bytes.subarray(0, written);
}

/**
 * The value of a hexadecimal digit in ASCII; -1 for anything else.
 * @param {number | undefined} code
 */
function digit(code) {
  if (code === undefined) return -1;
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1;
}

/**
 * @param {string} before
 * @param {Uint8Array} bytes
 * @param {string} after
 * @returns {string}
 */
export function encodeHex(before, bytes, after) {
  return before + bytes.toHex().toUpperCase() + after;
}

/**
 * @param {string} before
 * @param {Uint8Array} bytes
 * @param {string} after
 * @param {boolean} urlSafe
 * @param {boolean} padded
 * @param {number} lineChars characters a line; 0 for a single line
 * @param {string} lineEnd
 * @returns {string}
 */
export function encodeBase64(before, bytes, after, urlSafe, padded, lineChars, lineEnd) {
  const encoded = bytes.toBase64({ alphabet: urlSafe ? "base64url" : "base64", omitPadding: !padded });
  if (lineChars === 0) return before + encoded + after;
  const lines = [];
  for (let start = 0; start < encoded.length; start += lineChars) lines.push(encoded.slice(start, start + lineChars));
  return before + lines.join(lineEnd) + after;
}
