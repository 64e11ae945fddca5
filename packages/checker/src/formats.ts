/** How a history may be written down. A file of its own, for who wants the names and not the checker. */

/** kvd: docs/CHECKER.md. jepsen: a log of Jepsen's etcd test. edn: one map a line. auto: by the first line. */
export const FORMATS = ['auto', 'kvd', 'jepsen', 'edn'] as const;
export type Format = (typeof FORMATS)[number];
