/** Figures that are worth a line of `npm test` also when nothing failed: tap keeps comments to itself. */
export function say(line: string): void {
  process.stderr.write(`      ${line}\n`);
}
