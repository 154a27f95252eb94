/** Makes the declarations that the compiler wrote fit for a package: only what its door reaches, and every import by a path. */
import { globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

/** `from '#base'`, `from './a.ts'`, `import("#base")`, `import './a.ts'`. */
const IMPORTS = /((?:from|import)\s*\(?\s*)(['"])(#[\w]+|\.[^'"]*\.ts)\2/g

/**
 * `folder` has the tree of the sources. `#name` is our own shorthand, which the reader of a package cannot resolve,
 * and a path ends as the file of JavaScript would.
 */
export function fitDeclarations(folder: string, door: string): void {
  const reached = new Set([join(folder, door)])
  for (const file of reached) {
    const text = readFileSync(file, 'utf8').replaceAll(
      IMPORTS,
      (_, before: string, quote: string, target: string) => {
        const source = target.startsWith('#')
          ? join(folder, 'src', target.slice(1), 'index.ts')
          : join(dirname(file), target)
        reached.add(source.replace(/\.ts$/, '.d.ts'))
        const path = relative(dirname(file), source).replace(/\.ts$/, '.js')
        return `${before}${quote}${path.startsWith('.') ? path : `./${path}`}${quote}`
      },
    )
    writeFileSync(file, text)
  }
  for (const file of globSync('**/*.ts', { cwd: folder }))
    if (!reached.has(join(folder, file))) rmSync(join(folder, file))
}
