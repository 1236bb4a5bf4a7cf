// Cloudflare's Images binding: it decodes, scales and encodes outside of the isolate.

/**
 * @typedef {object} ImagesResult
 * @property {() => ReadableStream} image
 * @property {() => string} contentType
 *
 * @typedef {object} Transformer
 * @property {(transform: object) => Transformer} transform
 * @property {(output: object) => Promise<ImagesResult>} output
 *
 * @typedef {object} Images
 * @property {(stream: ReadableStream) => Transformer} input
 */

/**
 * `[stream, type]` of a variant; or why there is none: a code, 0 where there is none, and a message after a space.
 * @param {Images} images
 * @param {Uint8Array} bytes
 * @param {string} requestJson what `transform` and `output` get
 * @returns {Promise<[ReadableStream, string] | string>}
 */
export async function make(images, bytes, requestJson) {
  const { transform, output } = JSON.parse(requestJson);
  try {
    const stream = /** @type {ReadableStream} */ (new Response(bytes).body);
    const sized = transform.width === undefined && transform.height === undefined ? images.input(stream) : images.input(stream).transform(transform);
    const result = await sized.output(output);
    return [result.image(), result.contentType()];
  } catch (error) {
    const code = error instanceof Error && "code" in error ? Number(error.code) : 0;
    return `${Number.isInteger(code) && code > 0 ? code : 0} ${error instanceof Error ? error.message : String(error)}`;
  }
}
