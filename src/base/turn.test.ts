import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turn, pause } from './turn.ts'

/** Time that only work moves. */
const clock = (() => {
  let now = 0
  return { monotonic: () => now, work: (ms: number) => (now += ms) }
})()

const nextRound = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('a turn is over after a few milliseconds of work, and begins anew after the rest', async () => {
  const turn = new Turn(clock)
  assert.equal(turn.isOver(), false)
  clock.work(5)
  assert.equal(turn.isOver(), true)
  await turn.next()
  assert.equal(turn.isOver(), false)
})

test('of much long work one has its turn between two rounds of the event loop, each in its order', async () => {
  const rounds: string[][] = []
  let round: string[] = []
  let left = 3
  for (const name of ['a', 'b', 'c'])
    void (async () => {
      const turn = new Turn(clock)
      for (let i = 0; i < 6; i++) {
        clock.work(2)
        round.push(name)
        if (turn.isOver()) await turn.next()
      }
      left--
    })()
  // Each began at once; from here on they stand in line.
  round = []
  while (left > 0) {
    await nextRound()
    if (round.length > 0) rounds.push(round)
    round = []
  }
  assert.deepEqual(
    rounds.map((each) => each.join('')),
    ['aa', 'bb', 'cc', 'aa', 'bb', 'cc'],
  )
})

test('short work shares a round', async () => {
  const done: string[] = []
  for (const name of ['a', 'b', 'c']) void pause(clock).then(() => done.push(name))
  await nextRound()
  assert.equal(done.join(''), 'abc')
})

test('without a clock everyone has a round', async () => {
  const done: string[] = []
  for (const name of ['a', 'b']) void pause().then(() => done.push(name))
  await nextRound()
  assert.equal(done.join(''), 'a')
  await nextRound()
  assert.equal(done.join(''), 'ab')
})
