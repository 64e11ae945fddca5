/** Counts the bytes on sockets, those that are closed included, from what node counts anyway. */
import type { Socket } from 'node:net';

export class SocketBytes {
  readonly #open = new Set<Socket>();
  #closedIn = 0;
  #closedOut = 0;

  add(socket: Socket): void {
    this.#open.add(socket);
    socket.once('close', () => {
      this.#open.delete(socket);
      this.#closedIn += socket.bytesRead;
      this.#closedOut += socket.bytesWritten;
    });
  }

  totals(): { readonly bytesIn: number; readonly bytesOut: number } {
    let bytesIn = this.#closedIn;
    let bytesOut = this.#closedOut;
    for (const socket of this.#open) {
      bytesIn += socket.bytesRead;
      bytesOut += socket.bytesWritten;
    }
    return { bytesIn, bytesOut };
  }
}
