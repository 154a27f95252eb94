export {
  getEntry,
  listEntries,
  openWatch,
  type OpenWatch,
  type Page,
  type ReadContext,
} from './reads.ts'
