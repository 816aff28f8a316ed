// The tracker of frames, judged by another implementation: what `ws` writes it must divide as `ws` reads.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import type { Writable } from 'node:stream'
import fc from 'fast-check'
import * as ws from 'ws'
import { closeFrame, createFrameTracker, pingFrame } from '../../server/proxy/frames.ts'

interface Frame {
  opcode: number
  final: boolean
  payload: Buffer
}

/** A frame as a server sends it (RFC 6455 §5.2). */
function encode({ opcode, final, payload }: Frame): Buffer {
  const { length } = payload
  const header = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10)
  header[0] = (final ? 0x80 : 0) | opcode
  header[1] = length < 126 ? length : length < 65_536 ? 126 : 127
  if (header.length === 4) header.writeUInt16BE(length, 2)
  if (header.length === 10) header.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([header, payload])
}

/** Messages, some in fragments, with pings between and within them. */
const frames = fc
  .array(
    fc.record({
      lengths: fc.array(
        fc.oneof(
          fc.integer({ min: 0, max: 130 }),
          fc.constantFrom(125, 126, 127, 65_535, 65_536, 70_000),
        ),
        { minLength: 1, maxLength: 4 },
      ),
      pinged: fc.boolean(),
    }),
    { maxLength: 5 },
  )
  .map((messages) =>
    messages.flatMap(({ lengths, pinged }) =>
      lengths.flatMap((length, index): Frame[] => [
        {
          opcode: index === 0 ? 2 : 0,
          final: index === lengths.length - 1,
          payload: Buffer.alloc(length, index),
        },
        ...(pinged ? [{ opcode: 9, final: true, payload: Buffer.from('p') }] : []),
      ]),
    ),
  )

/** The bytes in pieces of these sizes, over and over. */
function* inPieces(bytes: Buffer, sizes: readonly number[]) {
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1
    yield bytes.subarray(at, at + size)
    at += size
  }
}

const pieceSizes = fc.array(
  fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 90_000 })),
  {
    minLength: 1,
    maxLength: 5,
  },
)

test('boundaries are where frames end, whatever the pieces (RFC 6455 §5.2)', () => {
  fc.assert(
    fc.property(frames, pieceSizes, (all, sizes) => {
      const encoded = all.map(encode)
      const expected = new Set<number>()
      let end = 0
      for (const { length } of encoded) expected.add((end += length))

      const tracker = createFrameTracker()
      const found = new Set<number>()
      let before = 0
      for (const piece of inPieces(Buffer.concat(encoded), sizes)) {
        for (let at = 0; at < piece.length;) {
          const next = tracker.advance(piece, at)
          assert.ok(next > at, 'it goes on')
          at = next
          if (tracker.atBoundary()) found.add(before + at)
        }
        before += piece.length
      }
      assert.deepEqual(found, expected)
      assert.equal(tracker.isClosing(), false)
    }),
    { numRuns: 300 },
  )
})

// `ws` exports its reader of frames, and its types leave it out.
const { Receiver } = ws as unknown as {
  Receiver: new (options: { isServer: boolean }) => Writable
}

test('a frame of ours fits in at every boundary, and `ws` reads on (RFC 6455 §5.4)', async () => {
  await fc.assert(
    fc.asyncProperty(frames, pieceSizes, fc.nat(), async (all, sizes, choice) => {
      const tracker = createFrameTracker()
      const encoded = all.map(encode)
      const when = encoded.length === 0 ? 0 : choice % (encoded.length + 1)
      const judge = new Receiver({ isServer: false })
      const heard: string[] = []
      let pings = 0
      judge.on('message', (data: Buffer) => heard.push(`message ${data.length}`))
      judge.on('ping', () => (pings += 1))
      judge.on('conclude', (code: number, reason: Buffer) =>
        heard.push(`${code} ${reason.toString()}`),
      )
      let boundaries = 0
      const speak = () => {
        judge.write(pingFrame)
        if (boundaries === when) {
          judge.end(closeFrame(4401, 'logout'))
          return true
        }
        return false
      }
      let isOver = speak()
      for (const piece of inPieces(Buffer.concat(encoded), sizes)) {
        if (isOver) break
        for (let at = 0; at < piece.length && !isOver;) {
          const next = tracker.advance(piece, at)
          judge.write(piece.subarray(at, next))
          at = next
          if (!tracker.atBoundary()) continue
          boundaries += 1
          isOver = speak()
        }
      }
      await once(judge, 'finish')
      assert.equal(heard.at(-1), '4401 logout')
      assert.ok(pings >= when)
    }),
    { numRuns: 100 },
  )
})

test('after an upstream’s close frame nothing may be said (RFC 6455 §5.5.1)', () => {
  const tracker = createFrameTracker()
  const close = closeFrame(1000, 'bye')
  tracker.advance(close, 0)
  assert.equal(tracker.isClosing(), true)
  assert.equal(tracker.atBoundary(), true)

  const half = createFrameTracker()
  half.advance(close.subarray(0, 1), 0)
  assert.equal(half.isClosing(), true, 'already when it begins')
  assert.equal(half.atBoundary(), false)
})

test('a masked frame is measured as well, though a server must not send one (RFC 6455 §5.1)', () => {
  const tracker = createFrameTracker()
  const frame = Buffer.concat([Buffer.of(0x82, 0x83, 1, 2, 3, 4), Buffer.from('abc')])
  assert.equal(tracker.advance(Buffer.concat([frame, frame]), 0), frame.length)
  assert.equal(tracker.atBoundary(), true)
})
