// Which hosts are this machine.
import { isIPv4 } from "node:net";

/**
 * Whether `host` names this machine, by an exact address or by `localhost`: `127.example.com` is somebody's.
 * @param {string} host without a port; an IPv6 address with or without brackets
 */
export function isLoopback(host) {
  return host === "localhost" || host === "::1" || host === "[::1]" || (isIPv4(host) && host.startsWith("127."));
}
