/** How a change goes on: on a terminal one line that is written anew, elsewhere a line for each stage. On stderr. */
import type { Output } from '../output.js';
import type { Progress } from './members-goal.js';

export class MembersProgress {
  private stage = '';
  private isLineOpen = false;

  constructor(
    private readonly out: Output,
    private readonly terminal: NodeJS.WriteStream = process.stderr,
  ) {}

  show({ stage, detail }: Progress): void {
    if (this.terminal.isTTY) {
      const line = (detail === '' ? stage : `${stage}: ${detail}`).slice(
        0,
        (this.terminal.columns || 80) - 1,
      );
      this.terminal.write(`\r\u001b[2K${line}`);
      this.isLineOpen = true;
    } else if (stage !== this.stage) {
      this.out.note(detail === '' ? stage : `${stage}: ${detail}`);
    }
    this.stage = stage;
  }

  /** Results and errors begin on a line of their own. */
  end(): void {
    if (this.isLineOpen) this.terminal.write('\r\u001b[2K');
    this.isLineOpen = false;
  }
}
