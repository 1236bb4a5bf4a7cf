// Requests that came in and responses that go out, one call each.

/**
 * Method, URL, `body` or nothing, then the headers' names and values, a line each; none of them can hold a line break.
 * @param {Request} request
 */
export function describe(request) {
  let lines = `${request.method}\n${request.url}\n${request.body === null ? "" : "body"}`;
  request.headers.forEach((value, name) => {
    lines += `\n${name}\n${value}`;
  });
  return lines;
}

/**
 * Headers that many answers share, made once: the product's own constants, so that there are few of them.
 * @type {Map<string, Headers>}
 */
const common = new Map();

/**
 * Headers are names and values, a line each; no name twice.
 * @param {number} status
 * @param {string} commonHeaders the same in many answers
 * @param {string} ownHeaders
 * @param {Uint8Array | ReadableStream | null} body
 */
export function respond(status, commonHeaders, ownHeaders, body) {
  let headers = common.get(commonHeaders);
  if (headers === undefined) {
    headers = new Headers();
    addTo(headers, commonHeaders);
    common.set(commonHeaders, headers);
  }
  const response = new Response(body, { status, headers });
  addTo(response.headers, ownHeaders);
  return response;
}

/**
 * @param {Headers} headers
 * @param {string} added
 */
function addTo(headers, added) {
  const lines = added === "" ? [] : added.split("\n");
  for (let line = 0; line < lines.length; line += 2) headers.set(lines[line] ?? "", lines[line + 1] ?? "");
}
