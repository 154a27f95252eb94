/** What an image's name says of how to pull it. */

/** Without a tag or digest, or tagged `latest`, an image may change under its name. */
export function pullsAlways(image: string | undefined): boolean {
  if (image === undefined || image === '') return false
  const at = image.indexOf('@')
  const name = at < 0 ? image : image.slice(0, at)
  const slash = name.lastIndexOf('/')
  const colon = name.indexOf(':', slash + 1)
  if (colon < 0) return at < 0 && /^[\w./:-]+$/.test(image)
  return name.slice(colon + 1) === 'latest'
}
