/** Every length that a user or a peer can choose, and its bound. Bytes unless the name says otherwise. */

export const PROTOCOL_VERSION = 1;

export const KEY_BYTES_MAX = 4 * 1024;
/** The exclusive end of a range; that of the longest key alone is the key and a zero byte. */
export const RANGE_END_BYTES_MAX = KEY_BYTES_MAX + 1;
export const VALUE_BYTES_MAX = 1024 * 1024;
/** One command, encoded. */
export const REQUEST_BYTES_MAX = 1536 * 1024;
/** A batch of commands: a request always fits. */
export const BATCH_BYTES_MAX = 2 * 1024 * 1024;
export const BATCH_COMMANDS_MAX = 8192;
/**
 * A ws message between a client and a replica, either way; many requests may share one. An event of a watch with the
 * largest key, value and previous value always fits.
 */
export const CLIENT_FRAME_BYTES_MAX = 2560 * 1024;
/** A ws message between replicas. A batch always fits. */
export const PEER_FRAME_BYTES_MAX = 4 * 1024 * 1024;
/** Pages (promise, catch-up, scan, snapshot) are cut at this size; one entry always fits. */
export const PAGE_BYTES_MAX = 1024 * 1024;
export const PAGE_ENTRIES_MAX = 4096;
export const ALPHA_MAX = 4096;
export const MEMBERS_MAX = 64;
/** Of a request about members, and of its answer. */
export const MEMBERS_JSON_BYTES_MAX = 128 * 1024;
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
/** `ID=HOST:PORT/witness,…` of the founding members. */
export const FOUNDING_BYTES_MAX = MEMBERS_MAX * (ADDRESS_BYTES_MAX + 20);
/** Records of one snapshot chunk: a page and the one record that was too large for it. */
export const SNAPSHOT_RECORDS_BYTES_MAX = PAGE_BYTES_MAX + REQUEST_BYTES_MAX;
/** Compares, and operations of a branch, of one transaction. */
export const TXN_COMPARES_MAX = 1024;
export const TXN_OPERATIONS_MAX = 1024;
/** Range deletions in a branch of a transaction. */
export const TXN_RANGES_MAX = 4;
/** What the gets of a transaction may return; and of one that changes something, whose result is kept for its retry. */
export const TXN_RESULT_BYTES_MAX = 1024 * 1024;
export const TXN_KEPT_RESULT_BYTES_MAX = 64 * 1024;
export const LEASES_MAX = 100_000;
/** Keys of one lease. */
export const LEASE_KEYS_MAX = 10_000;
export const LEASE_TTL_MS_MIN = 100;
export const LEASE_TTL_MS_MAX = 366 * 24 * 3_600_000;
/** Leases that one command of the leader ends. */
export const EXPIRE_LEASES_MAX = 256;
/** Leases in one page of a list. */
export const LEASE_PAGE_MAX = 1024;
/** Who did something, and why. */
export const PRINCIPAL_BYTES_MAX = 256;
export const REASON_BYTES_MAX = 1024;
/** History that a new cluster keeps until it is told otherwise: what either wants; the time for scans under load. */
export const DEFAULT_KEEP_REVISIONS = 100_000;
export const DEFAULT_KEEP_MS = 300_000;
/** Watches of one connection, and of a replica. */
export const WATCHES_PER_CONNECTION_MAX = 20_000;
export const WATCHES_MAX = 100_000;
