/** The lowest bytes above everything that starts with `prefix`; empty (no upper bound) when there is none. */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length -= 1;
  const end = Uint8Array.from(prefix.subarray(0, length));
  const last = end.length - 1;
  if (last >= 0) end[last] = (end[last] ?? 0) + 1;
  return end;
}
