/** Is it alive, is it ready: pages that say so in a word, and with `?verbose` check by check. */
import type { Exchange, Reply } from '../exchange.ts'
import { textReply } from '../replies.ts'
import { PageNotFound } from '../not-found.ts'

/** Throws when it fails. */
export type Check = () => void | Promise<void>

export async function healthReply(
  page: 'healthz' | 'livez' | 'readyz',
  checks: Readonly<Record<string, Check>>,
  exchange: Exchange,
): Promise<Reply> {
  const below = exchange.path
    .split('/')
    .filter((part) => part !== '')
    .slice(1)
    .join('/')
  if (below !== '') {
    const check = checks[below]
    if (check === undefined) throw new PageNotFound()
    const why = await failure(check)
    return why === undefined
      ? textReply(200, 'ok')
      : textReply(500, `internal server error: ${why}`)
  }
  const excluded = new Set(exchange.query.getAll('exclude').flatMap((names) => names.split(',')))
  const unknown = [...excluded].filter((name) => name !== '' && checks[name] === undefined)
  const lines: string[] = []
  let failed = false
  for (const [name, check] of Object.entries(checks)) {
    if (excluded.has(name)) {
      lines.push(`[+]${name} excluded: ok`)
      continue
    }
    const why = await failure(check)
    // Everybody may see this page: what went wrong, those who may see the check's own.
    lines.push(why === undefined ? `[+]${name} ok` : `[-]${name} failed: reason withheld`)
    failed ||= why !== undefined
  }
  if (unknown.length > 0) {
    const names = unknown.map((name) => JSON.stringify(name)).join(',')
    lines.push(`warn: some health checks cannot be excluded: no matches for ${names}`)
  }
  if (failed) return textReply(500, `${lines.join('\n')}\n${page} check failed\n`)
  if (!exchange.query.has('verbose')) return textReply(200, 'ok')
  return textReply(200, `${lines.join('\n')}\n${page} check passed\n`)
}

/** `/metrics/slis`: every check as a number, for those who watch how often they fail. */
export async function healthMetrics(
  pages: Readonly<Record<'healthz' | 'livez' | 'readyz', Readonly<Record<string, Check>>>>,
): Promise<string> {
  const lines = [
    '# HELP kubernetes_healthcheck [STABLE] This metric records the result of a single healthcheck.',
    '# TYPE kubernetes_healthcheck gauge',
  ]
  for (const [type, checks] of Object.entries(pages))
    for (const [name, check] of Object.entries(checks)) {
      const value = (await failure(check)) === undefined ? 1 : 0
      lines.push(`kubernetes_healthcheck{name=${JSON.stringify(name)},type="${type}"} ${value}`)
    }
  return `${lines.join('\n')}\n`
}

async function failure(check: Check): Promise<string | undefined> {
  try {
    await check()
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
