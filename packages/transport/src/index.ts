export * from './client.js';
export {
  ClientListener,
  type ClientListenerLimits,
  type ClientListenerOptions,
  type ClientListenerStats,
  type ClientRequestHandler,
  DEFAULT_CLIENT_LISTENER_LIMITS,
} from './client-listener.js';
export { DEFAULT_PEER_LIMITS, type PeerLimits } from './peer-limits.js';
export { PeerMesh, type PeerMeshOptions, type PeerStats } from './peer-mesh.js';
