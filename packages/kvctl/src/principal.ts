/** Who is said to have made a change, where nobody is named: as with git, whoever runs kvctl, and where. */
import { PRINCIPAL_BYTES_MAX } from '@kvd/protocol';
import { hostname, userInfo } from 'node:os';

/** USER@HOST, without what does not fit. */
export function defaultPrincipal(): string {
  const bytes = Buffer.from(`${userName()}@${hostname()}`).subarray(0, PRINCIPAL_BYTES_MAX);
  // A character that was cut in two is left out.
  return bytes.toString('utf8').replace(/\uFFFD+$/, '');
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // In a container there may be nobody with this number.
    return String(process.getuid?.() ?? 'unknown');
  }
}
