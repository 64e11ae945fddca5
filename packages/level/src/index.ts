/**
 * @kvd/level: an abstract-level database on a kvd cluster, so that what runs on Level runs replicated.
 *
 *     import { KvdLevel } from '@kvd/level';
 *     const db = new KvdLevel({ endpoints: ['127.0.0.1:15000', '127.0.0.1:15001'], prefix: 'app/' });
 *     await db.put('a', '1');
 *     await db.close();
 */
export { KvdLevel, type KvdLevelOptions } from './database.js';
export { LevelError, type LevelErrorCode } from './errors.js';
