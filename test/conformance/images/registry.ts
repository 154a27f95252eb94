/**
 * `node test/conformance/images/registry.ts --data-dir DIR [--port 5055]`: serves the images of a cluster of this machine
 * as a registry, for tests that pull an image which is there (policy Always) where no registry can be reached. The cluster
 * is started with `--registry-mirror registry.k8s.io=http://ADDRESS:5055`.
 */
import { spawnSync } from 'node:child_process'
import { createReadStream, readFileSync, readdirSync, statSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    'data-dir': { type: 'string', default: '/var/lib/navarch' },
    port: { type: 'string', default: '5055' },
  },
})
const main = fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url))
const blobs = join(values['data-dir'], 'containerd/io.containerd.content.v1.content/blobs/sha256')

/** The blob of a manifest: by its digest, or by the name and tag of an image. */
function manifestOf(name: string, reference: string): string | undefined {
  if (reference.startsWith('sha256:')) return reference.slice('sha256:'.length)
  const args = [main, 'image', 'list', '--data-dir', values['data-dir']]
  const listed = spawnSync(process.execPath, args, { encoding: 'utf8' }).stdout
  const line = listed.split('\n').find((each) => each.includes(`/${name}:${reference} `))
  const start = /sha256:(\w+)/.exec(line ?? '')?.[1]
  return start === undefined ? undefined : readdirSync(blobs).find((blob) => blob.startsWith(start))
}

function give(response: ServerResponse, blob: string, type: string, withBody: boolean): void {
  const path = join(blobs, blob)
  response.writeHead(200, {
    'content-type': type,
    'content-length': statSync(path).size,
    'docker-content-digest': `sha256:${blob}`,
  })
  if (withBody) createReadStream(path).pipe(response)
  else response.end()
}

createServer((request, response) => {
  const path = new URL(request.url ?? '/', 'http://registry').pathname
  const [, name = '', kind, reference = ''] =
    /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(path) ?? []
  const withBody = request.method === 'GET'
  try {
    if (path === '/v2/') {
      response.end('{}')
      return
    }
    const blob =
      kind === 'manifests' ? manifestOf(name, reference) : reference.slice('sha256:'.length)
    if (kind === undefined || blob === undefined) throw new Error(`no such image: ${path}`)
    if (kind === 'blobs') {
      give(response, blob, 'application/octet-stream', withBody)
      return
    }
    const { mediaType } = JSON.parse(readFileSync(join(blobs, blob), 'utf8')) as {
      mediaType: string
    }
    give(response, blob, mediaType, withBody)
  } catch (error) {
    response.writeHead(404, { 'content-type': 'application/json' })
    const message = error instanceof Error ? error.message : String(error)
    response.end(JSON.stringify({ errors: [{ code: 'NOT_FOUND', message }] }))
  }
}).listen(Number(values.port), () => console.log(`Serving images on port ${values.port}`))
