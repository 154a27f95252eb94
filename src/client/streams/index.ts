/** Conversations of several streams over one connection, as Kubernetes' clients, kubelets and runtimes have them. */
export type { UpgradeRequest } from './request.ts'
export {
  exitStatus,
  failureOf,
  openSession,
  wantsSpdy,
  type Session,
  type StreamOptions,
} from './session.ts'
export { serveForward } from './port-forward.ts'
export { acceptWebSocket, chooseProtocol, wantsWebSocket } from './websocket.ts'
export {
  exitCodeOf,
  forwardPort,
  PORT_PROTOCOL,
  RemoteFailure,
  runSession,
  SESSION_PROTOCOL,
} from './run-session.ts'
