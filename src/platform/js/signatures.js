// Signatures by public keys.

/** @type {Record<string, {name: string, hash: string, namedCurve?: string}>} */
const ALGORITHMS = {
  RS256: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  ES256: { name: "ECDSA", hash: "SHA-256", namedCurve: "P-256" },
};

/**
 * @param {string} algorithm
 * @param {string} jwkJson
 * @param {Uint8Array} message
 * @param {Uint8Array} signature
 * @returns {Promise<boolean>}
 */
export async function verify(algorithm, jwkJson, message, signature) {
  const parameters = ALGORITHMS[algorithm];
  if (parameters === undefined) return false;
  const key = await crypto.subtle.importKey("jwk", JSON.parse(jwkJson), parameters, false, ["verify"]);
  return crypto.subtle.verify(parameters, key, signature, message);
}
