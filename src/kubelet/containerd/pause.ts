/**
 * The program of the pause container: it holds a pod's namespaces, reaps orphans when pods share processes, and ends at
 * once on SIGTERM or SIGINT. A static ELF executable of some 200 bytes, assembled here, since no compiler can be expected.
 */

/** SIGINT, SIGTERM and SIGCHLD as bits of a signal set. */
const AWAITED_SIGNALS = (1 << 1) | (1 << 14) | (1 << 16)
const SIGINT = 2
const SIGTERM = 15
const SIGCHLD = 17
const WNOHANG = 1
const SIGSET_BYTES = 8

const LOAD_ADDRESS = 0x40_0000
const ELF_HEADER_BYTES = 64
const PROGRAM_HEADER_BYTES = 56
const MACHINE = { amd64: 62, arm64: 183 } as const

export function pauseProgram(architecture: 'amd64' | 'arm64'): Uint8Array {
  const code = architecture === 'amd64' ? amd64() : arm64()
  const headers = ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES
  const size = headers + code.length
  const view = new DataView(new ArrayBuffer(size))
  const u16 = (at: number, value: number): void => view.setUint16(at, value, true)
  const u32 = (at: number, value: number): void => view.setUint32(at, value, true)
  const u64 = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true)
  // ELF header: 64 bits, little endian, executable.
  view.setUint32(0, 0x7f45_4c46)
  view.setUint8(4, 2)
  view.setUint8(5, 1)
  view.setUint8(6, 1)
  u16(16, 2)
  u16(18, MACHINE[architecture])
  u32(20, 1)
  u64(24, LOAD_ADDRESS + headers)
  u64(32, ELF_HEADER_BYTES)
  u16(52, ELF_HEADER_BYTES)
  u16(54, PROGRAM_HEADER_BYTES)
  u16(56, 1)
  // One segment: the whole file, readable and executable.
  const segment = ELF_HEADER_BYTES
  u32(segment, 1)
  u32(segment + 4, 5)
  u64(segment + 16, LOAD_ADDRESS)
  u64(segment + 24, LOAD_ADDRESS)
  u64(segment + 32, size)
  u64(segment + 40, size)
  u64(segment + 48, 0x1_0000)
  const file = new Uint8Array(view.buffer)
  file.set(code, headers)
  return file
}

const le32 = (value: number): number[] => [
  value & 0xff,
  (value >>> 8) & 0xff,
  (value >>> 16) & 0xff,
  (value >>> 24) & 0xff,
]

/** Instructions with names for places: the second round knows where the places are. */
function assemble(
  write: (at: {
    /** Where the next instruction goes. */
    here: () => number
    emit: (...bytes: readonly number[]) => void
    mark: (name: string) => void
    place: (name: string) => number
  }) => void,
): Uint8Array {
  const places = new Map<string, number>()
  let bytes: number[] = []
  for (let round = 0; round < 2; round++) {
    bytes = []
    write({
      here: () => bytes.length,
      emit: (...more) => void bytes.push(...more),
      mark: (name) => void places.set(name, bytes.length),
      place: (name) => places.get(name) ?? 0,
    })
  }
  return Uint8Array.from(bytes)
}

function amd64(): Uint8Array {
  return assemble(({ here, emit, mark, place }) => {
    const syscall = (number: number): void => emit(0xb8, ...le32(number), 0x0f, 0x05)
    const jump = (opcode: number, name: string): void =>
      emit(opcode, (place(name) - (here() + 2)) & 0xff)
    const leaSet = (modrm: number): void =>
      emit(0x48, 0x8d, modrm, ...le32(place('set') - (here() + 7)))
    const [RSI, RDI] = [0x35, 0x3d]
    const r10 = (value: number): void => emit(0x41, 0xba, ...le32(value))
    const zero = { edi: [0x31, 0xff], esi: [0x31, 0xf6], edx: [0x31, 0xd2] }

    // rt_sigprocmask(SIG_BLOCK, set, 0, 8): a blocked signal waits for us, even for process 1.
    emit(...zero.edi)
    leaSet(RSI)
    emit(...zero.edx)
    r10(SIGSET_BYTES)
    syscall(14)
    mark('wait') // rt_sigtimedwait(set, 0, 0, 8)
    leaSet(RDI)
    emit(...zero.esi, ...zero.edx)
    r10(SIGSET_BYTES)
    syscall(128)
    emit(0x83, 0xf8, SIGCHLD)
    jump(0x74, 'reap')
    emit(0x83, 0xf8, SIGTERM)
    jump(0x74, 'exit')
    emit(0x83, 0xf8, SIGINT)
    jump(0x75, 'wait')
    mark('exit') // exit(0)
    emit(...zero.edi)
    syscall(60)
    mark('reap') // wait4(-1, 0, WNOHANG, 0) while there is someone
    emit(0x48, 0xc7, 0xc7, 0xff, 0xff, 0xff, 0xff, ...zero.esi, 0xba, ...le32(WNOHANG))
    r10(0)
    syscall(61)
    emit(0x85, 0xc0)
    jump(0x7f, 'reap')
    jump(0xeb, 'wait')
    mark('set')
    emit(...le32(AWAITED_SIGNALS), 0, 0, 0, 0)
  })
}

function arm64(): Uint8Array {
  return assemble(({ here, emit, mark, place }) => {
    const word = (instruction: number): void => emit(...le32(instruction))
    const move = (register: number, value: number): void =>
      word(0xd280_0000 | (value << 5) | register)
    const syscall = (number: number): void => {
      move(8, number)
      word(0xd400_0001)
    }
    const compare = (value: number): void => word(0x7100_001f | (value << 10))
    const branch = (name: string): void =>
      word(0x1400_0000 | (((place(name) - here()) >> 2) & 0x03ff_ffff))
    const branchIf = (condition: number, name: string): void =>
      word(0x5400_0000 | ((((place(name) - here()) >> 2) & 0x7_ffff) << 5) | condition)
    const address = (register: number, name: string): void => {
      const distance = place(name) - here()
      word(0x1000_0000 | ((distance & 3) << 29) | (((distance >> 2) & 0x7_ffff) << 5) | register)
    }
    const [EQUAL, NOT_EQUAL, GREATER] = [0, 1, 12]

    move(0, 0)
    address(1, 'set')
    move(2, 0)
    move(3, SIGSET_BYTES)
    syscall(135)
    mark('wait')
    address(0, 'set')
    move(1, 0)
    move(2, 0)
    move(3, SIGSET_BYTES)
    syscall(137)
    compare(SIGCHLD)
    branchIf(EQUAL, 'reap')
    compare(SIGTERM)
    branchIf(EQUAL, 'exit')
    compare(SIGINT)
    branchIf(NOT_EQUAL, 'wait')
    mark('exit')
    move(0, 0)
    syscall(93)
    mark('reap')
    word(0x9280_0000) // movn x0, #0: minus one
    move(1, 0)
    move(2, WNOHANG)
    move(3, 0)
    syscall(260)
    compare(0)
    branchIf(GREATER, 'reap')
    branch('wait')
    if (here() % 8 !== 0) word(0xd503_201f) // nop: the set is aligned
    mark('set')
    word(AWAITED_SIGNALS)
    word(0)
  })
}
