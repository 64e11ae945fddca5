/** What a client needs of this package, without any of the server's code: '@kvd/transport/client'. */
export { ClientSocket, type ClientSocketEvents, type ClientSocketOptions } from './client-socket.js';
