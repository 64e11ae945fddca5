/** The socket that clients use: the transport's, as link.ts asks for one. */
import { ClientSocket } from '@kvd/transport/client';
import type { OpenSocket } from './link.js';

export const openSocket: OpenSocket = (address, options, events) =>
  new ClientSocket(address, options, events);
