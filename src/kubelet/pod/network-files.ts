/** What a pod's processes see of names: host name, /etc/hosts, resolv.conf. */
import type { Pod } from '#api'
import type { DnsConfig } from '../runtime.ts'
import { namespaceOf } from './containers.ts'

const MAX_HOSTNAME = 63
const MAX_FQDN_HOSTNAME = 64

/** Throws when the fully qualified name does not fit the kernel's field. */
export function hostnameOf(
  pod: Pod,
  clusterDomain: string,
): { readonly hostname: string; readonly domain: string } {
  const { spec, metadata } = pod
  if (spec.hostnameOverride) return { hostname: spec.hostnameOverride, domain: '' }
  const hostname = spec.hostname || truncate(metadata.name)
  const domain = spec.subdomain ? `${spec.subdomain}.${namespaceOf(pod)}.svc.${clusterDomain}` : ''
  if (spec.setHostnameAsFQDN === true && domain !== '') {
    const full = `${hostname}.${domain}`
    if (full.length > MAX_FQDN_HOSTNAME) {
      throw new Error(
        `failed to construct FQDN from pod hostname and cluster domain, FQDN ${full} is too long (64 characters is the max, ${full.length} characters requested)`,
      )
    }
    return { hostname: full, domain }
  }
  return { hostname, domain }
}

const truncate = (name: string): string => name.slice(0, MAX_HOSTNAME).replace(/[-.]+$/, '')

/** The lines that upstream writes, in its order; `hostFile` is the node's own, for pods on its network. */
export function hostsFile(
  pod: Pod,
  options: {
    readonly podIps: readonly string[]
    readonly hostname: string
    readonly domain: string
    readonly hostFile?: string
  },
): string {
  const aliases = (pod.spec.hostAliases ?? []).filter(({ hostnames = [] }) => hostnames.length > 0)
  const added =
    aliases.length === 0
      ? ''
      : `\n# Entries added by HostAliases.\n${aliases
          .map(({ ip, hostnames = [] }) => `${ip}\t${hostnames.join('\t')}\n`)
          .join('')}`
  if (options.hostFile !== undefined) {
    return `# Kubernetes-managed hosts file (host network).\n${options.hostFile}${added}`
  }
  const short = options.hostname.split('.')[0] ?? options.hostname
  const names = options.domain === '' ? options.hostname : `${short}.${options.domain}\t${short}`
  return [
    '# Kubernetes-managed hosts file.\n',
    '127.0.0.1\tlocalhost\n',
    '::1\tlocalhost ip6-localhost ip6-loopback\n',
    'fe00::0\tip6-localnet\n',
    'fe00::0\tip6-mcastprefix\n',
    'fe00::1\tip6-allnodes\n',
    'fe00::2\tip6-allrouters\n',
    ...options.podIps.map((ip) => `${ip}\t${names}\n`),
    added,
  ].join('')
}

export interface DnsFacts {
  readonly clusterDns: readonly string[]
  readonly clusterDomain: string
  /** The node's own resolv.conf. */
  readonly host: DnsConfig
}

/** More than glibc reads is left out: the rest would be dead weight that looks alive. */
const MAX_NAMESERVERS = 3
const MAX_SEARCHES = 32
const MAX_SEARCH_LENGTH = 2048

export function dnsConfigOf(pod: Pod, { clusterDns, clusterDomain, host }: DnsFacts): DnsConfig {
  const base = baseDns(pod, clusterDns, clusterDomain, host)
  const { nameservers = [], searches = [], options = [] } = pod.spec.dnsConfig ?? {}
  const named = new Map(base.options.map((option) => [option.split(':')[0] ?? option, option]))
  for (const { name = '', value } of options) {
    named.set(name, value === undefined || value === '' ? name : `${name}:${value}`)
  }
  return {
    servers: [...new Set([...base.servers, ...nameservers])].slice(0, MAX_NAMESERVERS),
    searches: limited([...new Set([...base.searches, ...searches])]),
    options: [...named.values()],
  }
}

function baseDns(
  pod: Pod,
  clusterDns: readonly string[],
  clusterDomain: string,
  host: DnsConfig,
): DnsConfig {
  const { dnsPolicy = 'ClusterFirst', hostNetwork = false } = pod.spec
  const cluster =
    dnsPolicy === 'ClusterFirstWithHostNet' || (dnsPolicy === 'ClusterFirst' && !hostNetwork)
  if (dnsPolicy === 'None') return { servers: [], searches: [], options: [] }
  // Without a cluster DNS the node's has to do.
  if (!cluster || clusterDns.length === 0) return host
  const namespace = namespaceOf(pod)
  const own =
    clusterDomain === ''
      ? []
      : [`${namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain]
  return {
    servers: clusterDns,
    searches: [...own, ...host.searches],
    options: ['ndots:5'],
  }
}

function limited(searches: readonly string[]): readonly string[] {
  const kept: string[] = []
  let length = 0
  for (const search of searches.slice(0, MAX_SEARCHES)) {
    length += search.length + 1
    if (length > MAX_SEARCH_LENGTH) break
    kept.push(search)
  }
  return kept
}

/** Reads a resolv.conf; the last of several `search` lines counts. */
export function parseResolvConf(text: string): DnsConfig {
  const servers: string[] = []
  let searches: string[] = []
  let options: string[] = []
  for (const line of text.split('\n')) {
    const [word, ...rest] = line.trim().split(/\s+/)
    if (word === 'nameserver' && rest[0] !== undefined) servers.push(rest[0])
    else if (word === 'search' || word === 'domain') {
      searches = rest.map((name) => (name === '.' ? name : name.replace(/\.$/, '')))
    } else if (word === 'options') options = rest
  }
  return { servers, searches, options }
}
