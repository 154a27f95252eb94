import { type Awaitable, type Env, follow, type Random } from '#base'
import { serviceAccounts, type Container, type Pod, type ServiceAccount, type Volume } from '#api'
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts'
import {
  isAbout,
  isMirrorPod,
  objectOf,
  refuse,
  type AdmissionLookups,
  type Mutable,
} from './words.ts'

const DEFAULT_ACCOUNT = 'default'
const MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount'
const VOLUME_PREFIX = 'kube-api-access-'
/** A kubelet's token that lasts a year; the number is how the server knows it (see token requests). */
const TOKEN_SECONDS = 3607
const ENFORCE_SECRETS = 'kubernetes.io/enforce-mountable-secrets'
/** The account of every namespace comes a moment after its namespace: who makes both and a pod at once is not refused. */
const LATE = { name: 'default', attempts: 10, ms: 100 }
/** No vowels and no look-alikes, as in all generated names. */
const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789'

/** Every pod runs as a service account, and finds its token, the cluster's authority and its namespace in a volume. */
export function serviceAccountAdmission(
  read: AdmissionLookups,
  { clock, random }: Pick<Env, 'clock' | 'random'>,
): AdmissionPlugin {
  /** Waits for the one that comes by itself; throws when it does not, and at once for others. */
  const accountFor = (request: AdmissionRequest, name: string): Awaitable<ServiceAccount> => {
    const account = read.get(serviceAccounts, request.namespace, name)
    if (account !== undefined) return account
    return name === LATE.name ? lateAccount(request) : accountOf(read, request, name)
  }
  const lateAccount = async (request: AdmissionRequest): Promise<ServiceAccount> => {
    for (let attempt = 1; attempt < LATE.attempts; attempt++) {
      await clock.sleep(LATE.ms * (1 + random.next()), request.signal)
      const account = read.get(serviceAccounts, request.namespace, LATE.name)
      if (account !== undefined) return account
    }
    return accountOf(read, request, LATE.name)
  }
  // One for all pods, so that those of one template have the same spec: a volume's name is its pod's own affair.
  const volume = `${VOLUME_PREFIX}${suffix(random)}`
  return {
    name: 'ServiceAccount',
    handles: (request) => isAbout(request, 'pods', ['CREATE']),
    mutate(request) {
      const pod = objectOf<Pod>(request)
      const { spec } = pod
      if (spec === undefined || isMirrorPod(pod)) return
      if (!spec.serviceAccountName) spec.serviceAccountName = DEFAULT_ACCOUNT
      spec.serviceAccount = spec.serviceAccountName
      return follow(accountFor(request, spec.serviceAccountName), (account) => {
        if (!spec.imagePullSecrets?.length && account.imagePullSecrets?.length)
          spec.imagePullSecrets = account.imagePullSecrets.map((secret) => ({ ...secret }))
        if (spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true)
          mountToken(spec, volume)
      })
    },
    sources(request) {
      const pod = objectOf<Pod>(request)
      if (pod.spec === undefined || isMirrorPod(pod)) return undefined
      const name = pod.spec.serviceAccountName || DEFAULT_ACCOUNT
      const account = read.get(serviceAccounts, request.namespace, name)
      return account && [account]
    },
    validate(request) {
      const pod = objectOf<Pod>(request)
      if (pod.spec === undefined) return
      if (isMirrorPod(pod)) {
        refuseForMirror(request, pod as unknown as Pod)
        return
      }
      const account = accountOf(read, request, pod.spec.serviceAccountName ?? '')
      if (account.metadata.annotations?.[ENFORCE_SECRETS] === 'true')
        refuseOtherSecrets(request, pod as unknown as Pod, account)
    },
  }
}

function accountOf(
  read: AdmissionLookups,
  request: AdmissionRequest,
  name: string,
): ServiceAccount {
  const account = read.get(serviceAccounts, request.namespace, name)
  if (account !== undefined) return account
  throw refuse(
    request,
    `error looking up service account ${request.namespace}/${name}: serviceaccount "${name}" not found`,
  )
}

function mountToken(spec: Mutable<NonNullable<Pod['spec']>>, volume: string): void {
  const known = spec.volumes?.find(({ name }) => name.startsWith(VOLUME_PREFIX))
  const name = known?.name ?? volume
  let mounted = false
  const mount = (container: Mutable<Container>): void => {
    if (container.volumeMounts?.some(({ mountPath }) => mountPath === MOUNT_PATH)) return
    container.volumeMounts = [
      ...(container.volumeMounts ?? []),
      { name, readOnly: true, mountPath: MOUNT_PATH },
    ]
    mounted = true
  }
  spec.initContainers?.forEach(mount)
  spec.containers?.forEach(mount)
  if (mounted && known === undefined)
    spec.volumes = [...(spec.volumes ?? []), tokenVolume(name) as Mutable<Volume>]
}

function suffix({ bytes }: Pick<Random, 'bytes'>): string {
  return [...bytes(5)].map((byte) => ALPHABET[byte % ALPHABET.length]).join('')
}

const tokenVolume = (name: string): Volume => ({
  name,
  projected: {
    sources: [
      { serviceAccountToken: { expirationSeconds: TOKEN_SECONDS, path: 'token' } },
      { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
      {
        downwardAPI: {
          items: [
            { path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } },
          ],
        },
      },
    ],
    defaultMode: 0o644,
  },
})

function refuseForMirror(request: AdmissionRequest, { spec }: Pod): void {
  if (spec?.serviceAccountName)
    throw refuse(request, 'a mirror pod may not reference service accounts')
  for (const volume of spec?.volumes ?? []) {
    if (volume.secret) throw refuse(request, 'a mirror pod may not reference secrets')
    if (volume.projected?.sources?.some(({ serviceAccountToken }) => serviceAccountToken))
      throw refuse(request, 'a mirror pod may not use ServiceAccountToken volume projections')
  }
}

function refuseOtherSecrets(request: AdmissionRequest, pod: Pod, account: ServiceAccount): void {
  const allowed = new Set(account.secrets?.map(({ name }) => name))
  const why = `is not allowed because service account ${account.metadata.name} does not reference that secret`
  for (const volume of pod.spec?.volumes ?? []) {
    const name = volume.secret?.secretName
    if (name && !allowed.has(name))
      throw refuse(request, `volume with secret.secretName="${name}" ${why}`)
  }
  for (const [kind, containers] of [
    ['init container', pod.spec?.initContainers ?? []],
    ['container', pod.spec?.containers ?? []],
  ] as const)
    for (const container of containers)
      for (const { name: variable, valueFrom } of container.env ?? []) {
        const name = valueFrom?.secretKeyRef?.name
        if (name && !allowed.has(name))
          throw refuse(
            request,
            `${kind} ${container.name} with envVar ${variable} referencing secret.secretName="${name}" ${why}`,
          )
      }
  const pull = new Set(account.imagePullSecrets?.map(({ name }) => name))
  for (const [i, { name }] of (pod.spec?.imagePullSecrets ?? []).entries())
    if (!pull.has(name))
      throw refuse(
        request,
        `imagePullSecrets[${i}].name="${name ?? ''}" is not allowed because service account ${account.metadata.name} does not reference that imagePullSecret`,
      )
}
