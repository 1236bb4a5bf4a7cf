// Tokens of users, as an application would give them out.
import { createHmac } from "node:crypto";

export const JWT_SECRET = "a secret of users in chaos, of more than 32";
const LIFETIME_S = 24 * 60 * 60;

export function tokenOf(user: string): string {
  const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { sub: user, exp: Math.floor(Date.now() / 1_000) + LIFETIME_S };
  const signed = `${encoded({ alg: "HS256" })}.${encoded(claims)}`;
  return `${signed}.${createHmac("sha256", JWT_SECRET).update(signed).digest("base64url")}`;
}
