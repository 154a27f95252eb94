/** What a cluster has in the kernel's control groups. */
import type { Env } from '#base'

/** Removes a group of ours with all below it, in every hierarchy; nothing runs in it any more. */
export async function removeControlGroup(
  env: Pick<Env, 'fs' | 'process'>,
  name: string,
): Promise<void> {
  const mountinfo = await env.fs.readText('/proc/self/mountinfo').catch(() => '')
  const folders: string[] = []
  for (const line of mountinfo.split('\n')) {
    const point = / - cgroup2? /.test(line) ? line.split(' ')[4] : undefined
    if (point !== undefined && (await env.fs.stat(`${point}${name}`)) !== undefined)
      folders.push(`${point}${name}`)
  }
  // Files of a control group cannot be removed: only its folders, the deepest first.
  if (folders.length > 0)
    await env.process.run(['find', ...folders, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', ';'])
}
