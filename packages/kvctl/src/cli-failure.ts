/** What yargs has to say of bad usage, in kvctl's words. Pure. */

/** Commands that have commands of their own: the second word of these is a command, too. */
const GROUPS = ['lease', 'member', 'snapshot', 'chaos', 'cluster', 'drill', 'recover'];

/** `words`: the command, and the words behind it that it does not take. */
export function usageMessage(message: string, words: readonly string[]): string {
  const [, missing] = /^Missing required arguments?: (.+)$/m.exec(message) ?? [];
  if (missing !== undefined) {
    // Words that are missing yargs counts; only options it names.
    const options = missing.split(', ').map((name) => `--${name}`);
    return `${options.join(' and ')} must be given`;
  }
  const [, unknown] = /^Unknown commands?: (.+)$/.exec(message) ?? [];
  if (unknown === undefined) return message;
  const length = GROUPS.includes(words[0] ?? '') ? 2 : 1;
  const command = words.slice(0, length).join(' ');
  if (unknown !== words.slice(length).join(', ')) return message;
  return `'${unknown.replaceAll(', ', ' ')}' is too much: kvctl ${command} --help shows what ${command} takes`;
}
