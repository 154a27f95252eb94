/** Bytes as the API writes them in JSON. */

export const encodeBase64 = (text: string): string => Buffer.from(text).toString('base64')
export const decodeBase64 = (text: string | undefined): string =>
  Buffer.from(text ?? '', 'base64').toString()
