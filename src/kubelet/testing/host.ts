/** A real container runtime for end-to-end tests: private containerd, a bridge of its own, the busybox image. */
import type { Env } from '#base'
import {
  BUSYBOX_IMAGE,
  type Containerd,
  busyboxImage,
  checkHost,
  destroyContainerd,
  findTool,
  readBusybox,
  startContainerd,
} from '../containerd/index.ts'
import { type CriRuntime, criRuntime } from '../cri/index.ts'

export { BUSYBOX_IMAGE }

export interface TestHost {
  readonly folder: string
  readonly containerd: Containerd
  readonly runtime: CriRuntime
  close(): Promise<void>
}

/** Why such tests cannot run here; false when they can. */
export async function whyNot(env: Env): Promise<string | false> {
  const problems = (await checkHost(env)).filter(({ severity }) => severity === 'error')
  return problems.length === 0 ? false : problems.map(({ message }) => message).join('; ')
}

/** `number` keeps two hosts on one machine apart. */
export async function startTestHost(env: Env, number: number): Promise<TestHost> {
  const folder = `/tmp/nvt-kubelet-${env.process.pid}-${number}`
  const bridge = `nvk${env.process.pid % 1000}-${number}`
  const options = {
    env,
    dataDir: `${folder}/data`,
    runDir: `${folder}/run`,
    cniConfDir: `${folder}/cni`,
  }
  await env.fs.makeFolder(options.cniConfDir)
  await env.fs.write(
    `${options.cniConfDir}/10-test.conflist`,
    JSON.stringify({
      cniVersion: '0.4.0',
      name: `nvt-${number}`,
      plugins: [
        {
          type: 'bridge',
          bridge,
          isGateway: true,
          ipMasq: false,
          ipam: {
            type: 'host-local',
            dataDir: `${folder}/ipam`,
            ranges: [[{ subnet: `10.19${number}.${env.process.pid % 250}.0/24` }]],
            routes: [{ dst: '0.0.0.0/0' }],
          },
        },
        { type: 'loopback' },
      ],
    }),
  )
  const containerd = await startContainerd(options)
  const busybox = await readBusybox(env, (await findTool(env, 'busybox')) ?? '')
  if (busybox === undefined) throw new Error('There is no static busybox on this machine')
  await containerd.images.put(busyboxImage(busybox, containerd.architecture))
  const runtime = criRuntime({ socketPath: containerd.socket }, env)
  return {
    folder,
    containerd,
    runtime,
    async close() {
      try {
        for (const { id } of await runtime.listPodSandboxes()) await removeSandbox(runtime, id)
      } finally {
        runtime.close()
        await containerd.stop()
        await destroyContainerd(options)
      }
      await env.process.run(['ip', 'link', 'delete', bridge])
      await env.fs.remove(folder)
    },
  }
}

/** What a kubelet was stopping when it was stopped itself may still be on its way: then it is tried again. */
async function removeSandbox(runtime: CriRuntime, id: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await runtime.stopPodSandbox(id)
      await runtime.removePodSandbox(id)
      return
    } catch (error) {
      if (attempt === 5) throw error
    }
  }
}
