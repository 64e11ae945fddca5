/**
 * The founding list as text, `ID=HOST:PORT,…`, where the entry of a witness ends in `/witness`: who the members are.
 * Addresses may change later, the members and what they are may not.
 */

/** Ends the entry of a witness. No address has a slash in it. */
export const WITNESS_SUFFIX = '/witness';

/** A founding list without its addresses, by id: `1,2,3/witness`. Two lists with the same are the same founding. */
export function foundingMembers(founding: string): string {
  return founding
    .split(',')
    .map((member) => ({ id: Number(member.split('=')[0]), witness: member.endsWith(WITNESS_SUFFIX) }))
    .sort((a, b) => a.id - b.id)
    .map(({ id, witness }) => `${id}${witness ? WITNESS_SUFFIX : ''}`)
    .join(',');
}
