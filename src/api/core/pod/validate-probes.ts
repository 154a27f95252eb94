/** Rules about what is asked of a running container: probes, and hooks after its start and before its end. */
import { type FieldError, type FieldPath, forbiddenField, invalidValue, required } from '#machinery'
import type { Container, HTTPGetAction, LifecycleHandler, PodSpec, Probe } from '../../types.gen.ts'
import { check, httpHeaderName, nonNegative, portName, portNumber } from '../../rules.ts'
import { validateStopSignal } from './validate-os.ts'

export function validateLifecycle(
  { lifecycle }: Container,
  spec: PodSpec,
  path: FieldPath,
): readonly FieldError[] {
  if (lifecycle === undefined) return []
  const { terminationGracePeriodSeconds = 30 } = spec
  const at = path.child('lifecycle')
  const errors: FieldError[] = [
    ...validateStopSignal(lifecycle.stopSignal, spec, at.child('stopSignal')),
  ]
  for (const name of ['postStart', 'preStop'] as const) {
    const handler = lifecycle[name]
    if (handler) {
      errors.push(...validateHandler(handler, at.child(name), terminationGracePeriodSeconds))
    }
  }
  return errors
}

export function validateProbes(
  container: Container,
  spec: PodSpec,
  path: FieldPath,
): readonly FieldError[] {
  const { livenessProbe, readinessProbe, startupProbe } = container
  const grace = spec.terminationGracePeriodSeconds ?? 30
  const errors: FieldError[] = []
  if (livenessProbe) {
    const at = path.child('livenessProbe')
    errors.push(...validateProbe(livenessProbe, at, grace), ...succeedsOnce(livenessProbe, at))
  }
  if (readinessProbe) {
    const at = path.child('readinessProbe')
    errors.push(...validateProbe(readinessProbe, at, grace))
    if (readinessProbe.terminationGracePeriodSeconds !== undefined) {
      errors.push(
        invalidValue(
          at.child('terminationGracePeriodSeconds'),
          readinessProbe.terminationGracePeriodSeconds,
          'must not be set for readinessProbes',
        ),
      )
    }
  }
  if (startupProbe) {
    const at = path.child('startupProbe')
    errors.push(...validateProbe(startupProbe, at, grace), ...succeedsOnce(startupProbe, at))
  }
  return errors
}

const succeedsOnce = ({ successThreshold = 1 }: Probe, path: FieldPath): readonly FieldError[] =>
  successThreshold === 1
    ? []
    : [invalidValue(path.child('successThreshold'), successThreshold, 'must be 1')]

const PROBE_NUMBERS = [
  'initialDelaySeconds',
  'timeoutSeconds',
  'periodSeconds',
  'successThreshold',
  'failureThreshold',
] as const

function validateProbe(probe: Probe, path: FieldPath, grace: number): readonly FieldError[] {
  const errors = [...validateHandler(probe, path, grace)]
  for (const name of PROBE_NUMBERS) errors.push(...nonNegative(probe[name], path.child(name)))
  const own = probe.terminationGracePeriodSeconds
  if (own !== undefined && own <= 0) {
    errors.push(
      invalidValue(path.child('terminationGracePeriodSeconds'), own, 'must be greater than 0'),
    )
  }
  return errors
}

type Handler = LifecycleHandler & Pick<Probe, 'grpc'>

function validateHandler(handler: Handler, path: FieldPath, grace: number): readonly FieldError[] {
  const { exec, httpGet, tcpSocket, grpc, sleep } = handler
  const errors: FieldError[] = []
  let handlers = 0
  const one = (name: string, rules: (path: FieldPath) => readonly FieldError[]): void => {
    if (handlers > 0) {
      errors.push(forbiddenField(path.child(name), 'may not specify more than 1 handler type'))
    } else errors.push(...rules(path.child(name)))
    handlers++
  }
  if (exec) {
    one('exec', (at) => ((exec.command ?? []).length === 0 ? [required(at.child('command'))] : []))
  }
  if (httpGet) one('httpGet', (at) => validateHttp(httpGet, at))
  if (tcpSocket) one('tcpSocket', (at) => validatePort(tcpSocket.port, at.child('port')))
  if (grpc) one('grpc', (at) => check(at.child('port'), grpc.port, portNumber))
  if (sleep) {
    one('sleep', (at) =>
      sleep.seconds < 0 || sleep.seconds > grace
        ? [
            invalidValue(
              at,
              sleep.seconds,
              `must be non-negative and less than terminationGracePeriodSeconds (${grace})`,
            ),
          ]
        : [],
    )
  }
  if (handlers === 0) errors.push(required(path, 'must specify a handler type'))
  return errors
}

function validateHttp(action: HTTPGetAction, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  if ((action.path ?? '') === '') errors.push(required(path.child('path')))
  errors.push(...validatePort(action.port, path.child('port')))
  for (const { name } of action.httpHeaders ?? []) {
    errors.push(...check(path.child('httpHeaders'), name, httpHeaderName))
  }
  return errors
}

function validatePort(port: number | string | undefined, path: FieldPath): readonly FieldError[] {
  if (typeof port === 'string') return check(path, port, portName)
  return check(path, port ?? 0, portNumber)
}
