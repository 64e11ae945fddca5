/** The founding list as text, `ID=HOST:PORT,…`: who the members are. Addresses may change later, the members may not. */

/** The ids of a founding list, ascending: `1,2,3`. Two lists with the same are the same founding. */
export function foundingMembers(founding: string): string {
  return founding
    .split(',')
    .map((member) => Number(member.split('=')[0]))
    .sort((a, b) => a - b)
    .join(',');
}
