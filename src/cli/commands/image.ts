import { resolve } from 'node:path'
import { unknown, UsageError } from '../arguments.ts'
import { CommandError, type Command, type CommandContext } from '../command.ts'
import { ask, dataDirOption, first, mustRun } from './common.ts'

const ACTIONS = ['load', 'build', 'list', 'remove'] as const

export const image: Command = {
  name: 'image',
  summary: 'Load, build, list or remove images, without a registry',
  usage: 'load FILE… | build DIR --tag NAME | list | remove NAME…',
  options: [
    dataDirOption,
    {
      name: 'tag',
      short: 't',
      value: 'NAME',
      summary: 'build: name of the image, registry.example/web:1',
    },
    {
      name: 'base',
      value: 'BASE',
      summary: "build: busybox (the machine's, the default) or scratch",
    },
    {
      name: 'entrypoint',
      value: 'WORD',
      repeat: true,
      summary: 'build: the program and its arguments, one flag each',
    },
    { name: 'env', value: 'NAME=VALUE', repeat: true, summary: 'build: an environment variable' },
    { name: 'demo', summary: 'build: the demo web server instead of a folder' },
  ],
  examples: [
    [
      'docker save web:1 -o web.tar && navarch image load web.tar',
      'an image from Docker or Podman',
    ],
    [
      'navarch image build ./site --tag local/site:1 --entrypoint httpd --entrypoint -f --entrypoint -h --entrypoint /',
      'files of a folder on busybox',
    ],
    ['navarch image list', 'what is there'],
  ],
  async run(context) {
    const { terminal, arguments: parsed } = context
    const [action, ...operands] = parsed.operands
    if (!isAction(action)) {
      throw new UsageError(
        action === undefined
          ? 'Say what to do: navarch image load, build, list or remove'
          : unknown('action', action, ACTIONS),
      )
    }
    const status = await mustRun(context)
    if (status.runtime === 'simulated')
      throw new CommandError('This cluster has a simulated runtime: it has no images')
    switch (action) {
      case 'load':
        if (operands.length === 0)
          throw new UsageError('image load needs a file: navarch image load web.tar')
        for (const file of operands) {
          await mustExist(context, file)
          for (const name of (await ask<string[]>(context, {
            command: 'image',
            action: 'load',
            path: resolve(file),
          })) ?? []) {
            terminal.print(`Loaded ${name}`)
          }
        }
        return 0
      case 'build': {
        const [folder] = operands
        const demo = parsed.flags.has('demo')
        const name = first(parsed, 'tag')
        const base = first(parsed, 'base') ?? 'busybox'
        if (name === undefined)
          throw new UsageError('image build needs a name: --tag registry.example/web:1')
        if (!demo && folder === undefined)
          throw new UsageError('image build needs a folder: navarch image build DIR --tag NAME')
        if (base !== 'busybox' && base !== 'scratch')
          throw new UsageError(`--base must be busybox or scratch, not ${JSON.stringify(base)}`)
        if (folder !== undefined) await mustExist(context, folder)
        await ask(context, {
          command: 'image',
          action: 'build',
          name,
          base,
          ...(folder === undefined ? {} : { path: resolve(folder) }),
          entrypoint: parsed.values.get('entrypoint') ?? [],
          env: parsed.values.get('env') ?? [],
        })
        terminal.print(`Built ${name}`)
        return 0
      }
      case 'list': {
        const images =
          (await ask<{ name: string; digest: string; sizeBytes: number }[]>(context, {
            command: 'image',
            action: 'list',
          })) ?? []
        const width = Math.max(4, ...images.map(({ name }) => name.length))
        terminal.print(`${'NAME'.padEnd(width)}  ${'SIZE'.padStart(9)}  DIGEST`)
        for (const { name, digest, sizeBytes } of images) {
          terminal.print(
            `${name.padEnd(width)}  ${`${(sizeBytes / 1e6).toFixed(1)} MB`.padStart(9)}  ${digest.slice(0, 19)}`,
          )
        }
        return 0
      }
      case 'remove':
        if (operands.length === 0)
          throw new UsageError('image remove needs a name: navarch image remove NAME')
        for (const name of operands) {
          await ask(context, { command: 'image', action: 'remove', name })
          terminal.print(`Removed ${name}`)
        }
        return 0
    }
  },
}

const isAction = (word: string | undefined): word is (typeof ACTIONS)[number] =>
  ACTIONS.some((action) => action === word)

async function mustExist({ env }: CommandContext, path: string): Promise<void> {
  if (!(await env.fs.stat(resolve(path)))) throw new CommandError(`There is no ${path}`)
}
