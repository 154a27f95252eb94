/** What we use of the package, which comes without types. */
declare module 'dns-packet' {
  export interface Question {
    readonly name: string
    readonly type: string
    readonly class?: string
  }
  export interface OptRecord {
    readonly type: 'OPT'
    readonly name: '.'
    readonly udpPayloadSize?: number
    readonly extendedRcode?: number
    readonly ednsVersion?: number
    readonly flags?: number
  }
  export interface SrvData {
    readonly priority: number
    readonly weight: number
    readonly port: number
    readonly target: string
  }
  export interface SoaData {
    readonly mname: string
    readonly rname: string
    readonly serial: number
    readonly refresh: number
    readonly retry: number
    readonly expire: number
    readonly minimum: number
  }
  export type Record = { readonly name: string; readonly ttl: number; readonly class: 'IN' } & (
    | { readonly type: 'A' | 'AAAA' | 'CNAME' | 'PTR' | 'NS' | 'TXT'; readonly data: string }
    | { readonly type: 'SRV'; readonly data: SrvData }
    | { readonly type: 'SOA'; readonly data: SoaData }
  )
  export interface Packet {
    readonly id?: number
    readonly type?: 'query' | 'response'
    readonly flags?: number
    readonly opcode?: string
    readonly rcode?: string
    readonly questions?: readonly Question[]
    readonly answers?: readonly Record[]
    readonly authorities?: readonly Record[]
    readonly additionals?: readonly (Record | OptRecord)[]
  }
  export const AUTHORITATIVE_ANSWER: number
  export const TRUNCATED_RESPONSE: number
  export const RECURSION_DESIRED: number
  export const RECURSION_AVAILABLE: number
  export const CHECKING_DISABLED: number
  export function encode(packet: Packet): Buffer
  export function decode(message: Buffer): Required<Packet>
}
