/** From a request that may happen to the one function that does it. */
import { deprecationWarning } from '#api'
import type { Exchange, Handler, RequestInfo } from '../exchange.ts'
import { nothingAt, PageNotFound, pathNotFound } from '../not-found.ts'
import { methodNotAllowed, type Call, type Dispatcher } from './call.ts'
import { mainResource } from './main-resource.ts'
import { subresource } from './subresources.ts'
import { virtual } from './virtual.ts'

/** Serves everything below /api and /apis that names a resource. */
export const resourceHandler =
  (dispatcher: Dispatcher): Handler =>
  (exchange) => {
    const { info } = exchange
    if (info === undefined) throw pathNotFound()
    const served = dispatcher.registry.get(info.group, info.version, info.resource)
    if (served === undefined) throw nothingAt(dispatcher.registry, info.path)
    const { definition, collection } = served
    const deprecated = definition.deprecation ?? deprecationWarning(definition.facts)
    if (deprecated !== undefined) {
      exchange.warnings.push(deprecated)
      dispatcher.metrics.deprecated(info)
    }
    const { facts } = definition
    if (
      facts.namespaced
        ? info.namespace === '' && info.name !== '' && !isSelected(exchange)
        : isMisplaced(info)
    )
      throw definition.isCustom === true ? new PageNotFound() : pathNotFound()
    const call: Call = {
      ...dispatcher,
      exchange,
      info,
      definition,
      namespace: facts.namespaced ? info.namespace : '',
    }
    // Nobody routes it but proxies, and what definitions have brought.
    const isHead = exchange.method === 'HEAD' && info.subresource !== 'proxy'
    if (isHead && definition.isCustom !== true) throw methodNotAllowed()
    if (info.subresource !== '') return subresource(call, served)
    if (collection === undefined) return virtual(call)
    return collection.isReady
      ? mainResource(call, collection)
      : collection.ready.then(() => mainResource(call, collection))
  }

/** A name that a field selector gave, not the path. */
const isSelected = ({ info }: Exchange): boolean =>
  info?.verb === 'list' || info?.verb === 'watch' || info?.verb === 'deletecollection'

/** A namespace in the path of something that is in none; a namespace's own path names itself. */
const isMisplaced = ({ namespace, resource, group }: RequestInfo): boolean =>
  namespace !== '' && !(resource === 'namespaces' && group === '')
