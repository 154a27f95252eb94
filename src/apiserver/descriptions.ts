/**
 * What fields mean, for `kubectl explain`. The texts are Kubernetes' and are not ours to carry: they are read
 * when first asked for from the packages kubernetes-models and @kubernetes-models/apimachinery, if these are installed.
 */
import { fileURLToPath } from 'node:url'
import type { Describe, TypeTable } from '#machinery'

/** Texts of one definition: its own, and those of its fields. */
export interface Texts {
  readonly text?: string
  readonly fields: ReadonlyMap<string, string>
}

export interface Descriptions {
  /** Reads what is not yet read, and gives a look-up for these definitions. */
  load(definitions: Iterable<string>): Promise<Describe>
}

export interface DescriptionSource {
  readonly types: TypeTable
  /** Rejects when there is no such file. */
  readonly readText: (path: string) => Promise<string>
  /** Where the packages are. Default: where this program's dependencies are. */
  readonly folders?: PackageFolders
}

export interface PackageFolders {
  /** Of kubernetes-models. */
  readonly models: string | undefined
  /** Of @kubernetes-models/apimachinery. */
  readonly machinery: string | undefined
}

/** How many files are open at once. */
const PARALLEL = 16

/** Short texts of ours, for what stands on every object and is in no package. */
const FIELDS_OF_ALL: Readonly<Record<string, string>> = {
  apiVersion: 'The group and version of the API that this object is written in, such as apps/v1.',
  kind: 'What this object is, such as Deployment. It cannot be changed.',
}
const OF_SCALARS: Readonly<Record<string, string>> = {
  'io.k8s.apimachinery.pkg.api.resource.Quantity':
    'An amount with an optional unit: 0.5, 500m, 1.5Gi, 2e3. Units are n u m k M G T P E, and Ki Mi Gi Ti Pi Ei for powers of 1024.',
  'io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime': 'A time to the microsecond, as in RFC 3339.',
  'io.k8s.apimachinery.pkg.apis.meta.v1.Patch':
    'A change to an object, in the form that its media type says.',
}

const NONE: Texts = { fields: new Map() }

/** Finds the descriptions of types and fields, read when they are first asked for. */
export function createDescriptions({
  types,
  readText,
  folders = installedPackages(),
}: DescriptionSource): Descriptions {
  const found = new Map<string, Promise<Texts>>()
  const place = placesOf(types)

  async function read(definition: string): Promise<Texts> {
    const path = place(definition, folders)
    if (path === undefined) return NONE
    try {
      return parseDescriptions(await readText(path))
    } catch {
      // A definition without a text is served without one.
      return NONE
    }
  }
  const get = (definition: string): Promise<Texts> => {
    let texts = found.get(definition)
    if (texts === undefined) found.set(definition, (texts = read(definition)))
    return texts
  }

  return {
    async load(definitions) {
      const loaded = new Map<string, Texts>()
      const names = [...definitions]
      for (let i = 0; i < names.length; i += PARALLEL)
        await Promise.all(
          names.slice(i, i + PARALLEL).map(async (name) => loaded.set(name, await get(name))),
        )
      return (definition, field) => {
        const texts = loaded.get(definition)
        if (field === undefined) return texts?.text ?? OF_SCALARS[definition]
        return texts?.fields.get(field) ?? FIELDS_OF_ALL[field]
      }
    },
  }
}

/** Where the packages are installed; undefined for one that is not. */
export function installedPackages(): PackageFolders {
  return {
    models: folderOf('kubernetes-models'),
    machinery: folderOf('@kubernetes-models/apimachinery'),
  }
}
function folderOf(name: string): string | undefined {
  try {
    return fileURLToPath(new URL('.', import.meta.resolve(name)))
  } catch {
    return undefined
  }
}

const MACHINERY = 'io.k8s.apimachinery.pkg.'

/** From a definition to the file that has its texts: the folder is the full name of the group. */
function placesOf(
  types: TypeTable,
): (definition: string, folders: PackageFolders) => string | undefined {
  const groups = new Map<string, string>()
  for (const [name, { gvk }] of Object.entries(types)) {
    const [first, ...others] = gvk ?? []
    if (first === undefined || others.length > 0) continue
    const [group, version] = first
    groups.set(parentOf(name), group === '' ? version : `${group}/${version}`)
  }
  return (definition, { models, machinery }) => {
    if (definition.startsWith(MACHINERY))
      return (
        machinery && `${machinery}${definition.slice(MACHINERY.length).replaceAll('.', '/')}.d.ts`
      )
    const group = groups.get(parentOf(definition))
    if (group === undefined || models === undefined) return undefined
    return `${models}${group}/${definition.slice(definition.lastIndexOf('.') + 1)}.d.ts`
  }
}
const parentOf = (definition: string): string => definition.slice(0, definition.lastIndexOf('.'))

/** A comment, and what it stands above: `export interface I…`, `export type I…`, or a field four columns in. */
const COMMENTED =
  /^( {4})?\/\*\*\n((?: *\*(?!\/).*\n)+) *\*\/\n(?: {4}"([^"]+)"|export (?:interface|type) I)/gm

/** The texts of a file that declares one type. */
export function parseDescriptions(declaration: string): Texts {
  // The class of the same name, further down, repeats what the interface says.
  const end = declaration.indexOf('\nexport declare class')
  const fields = new Map<string, string>()
  let text: string | undefined
  for (const [, indent, comment = '', field] of (end < 0
    ? declaration
    : declaration.slice(0, end)
  ).matchAll(COMMENTED)) {
    const words = commentText(comment)
    if (field === undefined) text ??= words
    else if (indent !== undefined) fields.set(field, words)
  }
  return { ...(text === undefined ? {} : { text }), fields }
}

const commentText = (comment: string): string =>
  comment
    .split('\n')
    .map((line) => line.replace(/^ *\* ?/, ''))
    .join('\n')
    .replaceAll(String.raw`*\/`, '*/')
    .trim()
