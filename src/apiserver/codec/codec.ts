/** Where the server meets the machinery that knows types: decoding, ownership of fields, encodings, tables. */
import type { TypeTable } from '#machinery'
import { KnownTypes } from './known-types.ts'
import { Owners } from './owners.ts'
import { Decoder } from './decoder.ts'
import { Encoder } from './encoder.ts'

/** All that a server does with objects by their types; one for each server. */
export class Codec {
  readonly types: KnownTypes
  readonly decoder: Decoder
  readonly encoder: Encoder
  readonly owners: Owners

  constructor(builtIn: TypeTable) {
    this.types = new KnownTypes(builtIn)
    this.decoder = new Decoder(this.types)
    this.encoder = new Encoder(this.types)
    this.owners = new Owners(this.types)
  }
}
