/** The release: one bundle for the program, one for the library, and their types. Run by `npm pack`. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { fitDeclarations } from './declarations.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const dist = join(root, 'dist')
/** What `import … from 'navarch'` gives. */
const LIBRARY = 'src/cluster/library/index.ts'
rmSync(dist, { recursive: true, force: true })
mkdirSync(dist)

const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  dependencies: Record<string, string>
}
/** Libraries of CommonJS ask for `require`. */
const banner = {
  js: "import { createRequire as navarchCreateRequire } from 'node:module'; const require = navarchCreateRequire(import.meta.url);",
}
/** The commit that is built, and its time: the same sources give the same files. Without git, nothing is known. */
function origin(): { readonly commit: string; readonly date: string } | undefined {
  const { status, stdout } = spawnSync('git', ['log', '-1', '--format=%H %cI'], {
    cwd: root,
    encoding: 'utf8',
  })
  const [commit, date] = stdout?.trim().split(' ') ?? []
  return status === 0 && commit !== undefined && date !== undefined
    ? { commit, date: `${new Date(date).toISOString().slice(0, 19)}Z` }
    : undefined
}

await build({
  entryPoints: {
    navarch: join(root, 'src/cli/main.ts'),
    index: join(root, LIBRARY),
  },
  outdir: dist,
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  // A package that has both forms gives its modules: the other one has no names to import.
  mainFields: ['module', 'main'],
  // Read at run time as files, not as code.
  external: Object.keys(dependencies).filter((name) => name.includes('kubernetes-models')),
  banner,
  define: { NAVARCH_BUILD: JSON.stringify(origin() ?? {}) },
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  logLevel: 'warning',
})
chmodSync(join(dist, 'navarch.js'), 0o755)

// Types: the compiler writes a tree of declarations, of which the library's door reaches a part.
const tsc = spawnSync(
  join(root, 'node_modules/.bin/tsc'),
  [
    '--noEmit',
    'false',
    '--declaration',
    '--emitDeclarationOnly',
    '--outDir',
    join(dist, 'types'),
    '--rootDir',
    root,
  ],
  { cwd: root, stdio: 'inherit' },
)
if (tsc.status !== 0) process.exit(tsc.status ?? 1)
fitDeclarations(join(dist, 'types'), `${LIBRARY.slice(0, -'.ts'.length)}.d.ts`)
writeFileSync(
  join(dist, 'index.d.ts'),
  `export * from './types/${LIBRARY.slice(0, -'.ts'.length)}.js'\n`,
)
