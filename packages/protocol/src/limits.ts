/** Every length that a user or a peer can choose, and its bound. Bytes unless the name says otherwise. */

export const PROTOCOL_VERSION = 1;

export const KEY_BYTES_MAX = 4 * 1024;
export const VALUE_BYTES_MAX = 1024 * 1024;
/** One command, encoded. */
export const REQUEST_BYTES_MAX = 1536 * 1024;
/** A batch of commands: a request always fits. */
export const BATCH_BYTES_MAX = 2 * 1024 * 1024;
export const BATCH_COMMANDS_MAX = 8192;
/** A ws message between a client and a replica, either way; many requests may share one. */
export const CLIENT_FRAME_BYTES_MAX = 2 * 1024 * 1024;
/** A ws message between replicas. A batch always fits. */
export const PEER_FRAME_BYTES_MAX = 4 * 1024 * 1024;
/** Pages (promise, catch-up, scan, snapshot) are cut at this size; one entry always fits. */
export const PAGE_BYTES_MAX = 1024 * 1024;
export const PAGE_ENTRIES_MAX = 4096;
export const ALPHA_MAX = 4096;
export const MEMBERS_MAX = 64;
export const ADDRESS_BYTES_MAX = 256;
export const IDEMPOTENCY_KEY_BYTES_MAX = 256;
export const MESSAGE_TEXT_BYTES_MAX = 1024;
/** Sessions that a cluster keeps at once; opening one more is refused as overloaded. */
export const SESSIONS_MAX = 20_000;
/** Unanswered commands of one session. */
export const SESSION_IN_FLIGHT_MAX = 16_384;
/** A session that did nothing for so long, on cluster time, is expired. */
export const SESSION_TTL_MS = 600_000;
/** How long, on cluster time, the result under an Idempotency-Key is kept. */
export const IDEMPOTENCY_TTL_MS = 3_600_000;
/** Idempotency-Keys that a cluster keeps at once; one more is refused as overloaded. */
export const IDEMPOTENCY_KEYS_MAX = 100_000;
export const TIMEOUT_MS_MAX = 3_600_000;
/** A client's name in its hello. */
export const CLIENT_NAME_BYTES_MAX = 256;
/** More of them in one ws message, and the connection is closed. */
export const INVALID_REQUESTS_PER_FRAME_MAX = 256;
/** `ID=HOST:PORT,…` of the founding members. */
export const FOUNDING_BYTES_MAX = MEMBERS_MAX * (ADDRESS_BYTES_MAX + 12);
/** Records of one snapshot chunk: a page and the one record that was too large for it. */
export const SNAPSHOT_RECORDS_BYTES_MAX = PAGE_BYTES_MAX + REQUEST_BYTES_MAX;
