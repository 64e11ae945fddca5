/** What all reads share: their answers of another type are a bug, their errors exceptions. */
import { ERRORS, KvdError, type Response } from '@kvd/protocol';

type Success = Exclude<Response, { type: 'error' }>;

/** @throws KvdError what the read failed with. Reads are never unknown: nothing was done. */
export function mustBe<Type extends Success['type']>(
  response: Response,
  type: Type,
): Extract<Success, { type: Type }> {
  if (response.type === 'error') {
    const { code, message } = response;
    throw new KvdError(ERRORS[code].httpStatus === 504 ? 'KVD_TIMEOUT' : code, message, 'not-done');
  }
  if (response.type !== type) throw new Error(`a read was answered with "${response.type}", not "${type}"`);
  return response as Extract<Success, { type: Type }>;
}
