/** What a client says in the query of exec, attach, port-forward and proxy, as the object that admission is shown. */
import { apiVersionOf, type JsonObject, type SubresourceFact } from '#machinery'
import { isTrue } from '../requests.ts'

const BOOLEANS: ReadonlySet<string> = new Set(['stdin', 'stdout', 'stderr', 'tty'])

export function connectOptions(
  { kind, group = '', version = 'v1', hasPath }: SubresourceFact,
  query: URLSearchParams,
  rest: string,
): JsonObject {
  const options: JsonObject = { kind, apiVersion: apiVersionOf({ group, version }) }
  for (const name of new Set(query.keys())) {
    const values = query.getAll(name)
    if (hasPath === true) break
    if (BOOLEANS.has(name)) options[name] = isTrue(values[0])
    else if (name === 'command') options[name] = values
    else if (name === 'ports') options[name] = values.flatMap((each) => each.split(',')).map(Number)
    else if (name === 'container') options[name] = values[0]
  }
  if (hasPath === true && rest !== '') options['path'] = rest
  return options
}
