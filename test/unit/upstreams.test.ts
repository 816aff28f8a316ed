// Which upstream a target belongs to: examples for people, properties for all the others.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { BadRequest } from '../../server/errors.ts'
import { createUpstreamTable } from '../../server/proxy/upstreams.ts'
import type { Upstream } from '../../server/upstream-table.ts'

function row(path: string, changes: Partial<Upstream> = {}): Upstream {
  return {
    path,
    target: new URL('http://api.test'),
    rewrite: undefined,
    websocket: true,
    auth: 'required',
    bearer: false,
    timeoutMs: 25_000,
    methods: undefined,
    ...changes,
  }
}

const table = createUpstreamTable([
  row('/api'),
  row('/api/ai/ws', { rewrite: '/ws', target: new URL('http://ai.test/base/') }),
  row('/files', { rewrite: '' }),
])
const targetOf = (target: string) => table.match(target)?.target
const pathOf = (target: string) => table.match(target)?.upstream.path

test('the longest prefix wins, on whole segments and in its own case (contract 5)', () => {
  assert.equal(pathOf('/api'), '/api')
  assert.equal(pathOf('/api?x'), '/api')
  assert.equal(pathOf('/api/ai'), '/api')
  assert.equal(pathOf('/api/ai/ws'), '/api/ai/ws')
  assert.equal(pathOf('/api/ai/ws/x'), '/api/ai/ws')
  assert.equal(pathOf('/api/ai/wsx'), '/api')
  for (const target of ['/', '/apix', '/API', '/Api/x', '/x/api', '/ap', '/api;x']) {
    assert.equal(table.match(target), undefined, target)
    assert.equal(table.serves(target), false, target)
  }
})

test('a prefix is kept, renamed or stripped, and the target may have a base path (contract 5)', () => {
  assert.equal(targetOf('/api/x?y=/api/../z'), '/api/x?y=/api/../z')
  assert.equal(targetOf('/api/ai/ws/x?y'), '/base/ws/x?y')
  assert.equal(targetOf('/files/a/b'), '/a/b')
  assert.equal(targetOf('/files'), '/')
  assert.equal(targetOf('/files/'), '/')
  assert.equal(targetOf('/files?x'), '/?x')
})

test('what belongs to a segment passes byte for byte (contract 5)', () => {
  for (const path of [
    '/api/a%2Fb',
    '/api/a%252fb',
    '/api/a%20b',
    '/api/.well-known/x',
    '/api/...',
  ]) {
    assert.equal(targetOf(path), path)
  }
  for (const path of [
    '/api/a..b',
    '/api/x/..b',
    '/api/b..',
    '/api/ü%zz%',
    '/api/a;b=c',
    '/api//x',
  ]) {
    assert.equal(targetOf(path), path)
  }
})

const evil = [
  // dot segments, as they are, and decoded once or twice
  '/api/.. /api/../x /api/./x /api/x/. /api/%2e%2e/x /api/%2E./x /api/.%2e',
  '/api/%252e%252e/x /api/%25%32%65%25%32%65/x /api/a%2f..%2fb /api/a%252f..%252fb',
  '/api/..;/x /api/..;a=b/x /api/%2e%2e%3bx/y /api/..%2f /api/..%5c',
  '/api/..%3fx /api/..%253fx /api/..%23x /api/%2e%2e%2523x',
  // backslashes, control characters
  '/api/a\\b /api/a%5cb /api/a%255Cb /api\\..\\x',
  '/api/a\u0001b /api/a%00 /api/a%0d%0ab /api/a%2500 /api/\u007f /api%00',
  // ours in disguise
  '/x/../api /x/../api/y /./api /x/%2e%2e/api /x/..%2fapi /x\\..\\api /%61pi/x /x//../api',
  // not origin-form, or a host in it
  '//api //host/api //host/x http://host/api https://host/ http:/api * api \\api @host/api',
  '/api#x /api/x#y /files//host/x',
].flatMap((line) => line.split(' '))

test('every evil form of a proxied path is ours to refuse (RFC 10017 §6.1.3.6)', () => {
  for (const target of evil) {
    assert.equal(table.serves(target), true, `serves ${JSON.stringify(target)}`)
    assert.throws(() => table.match(target), BadRequest, `refuses ${JSON.stringify(target)}`)
  }
})

test('a more special row is not gone round by spelling its path freely (oauth2-proxy GHSA-pxq7-h93f-9jrg) [R3]', () => {
  const nested = createUpstreamTable([row('/api'), row('/api/admin')])
  for (const target of [
    '/api/%61dmin /api/%2561dmin/x /api//admin /api//admin/x /api/admin;x /api/admin;x/y /api/admin%2fx',
    '/api/%2fadmin /api/admin%3bx/y',
  ].flatMap((line) => line.split(' '))) {
    assert.throws(() => nested.match(target), BadRequest, target)
  }
  for (const target of ['/api/a%2fadmin', '/api/x//y', '/api/administrators', '/api/a;b/admin'])
    assert.equal(nested.match(target)?.upstream.path, '/api', target)
  for (const target of ['/api/admin', '/api/admin/%41', '/api/admin//x', '/api/admin/a;b'])
    assert.equal(nested.match(target)?.upstream.path, '/api/admin', target)
})

test('a path of many segments is read as fast as a long one (CWE-407)', () => {
  const msFor = (target: string) => {
    const times = Array.from({ length: 5 }, () => {
      const startedAt = performance.now()
      table.serves(target)
      return performance.now() - startedAt
    })
    return Math.min(...times)
  }
  // Each 16 KB, what a request may have. With every reading written out it was 5,000 times as slow.
  const [long, segments] = [`/%2f${'ab'.repeat(8000)}`, `/%2f${'/a'.repeat(8000)}`]
  assert.ok(msFor(segments) < 300 * msFor(long))
})

test('a query is nobody’s path', () => {
  for (const query of ['?../..', '?a=%2e%2e/', '?\\', '?//host', '?%00', '?http://host/']) {
    assert.equal(targetOf(`/api/x${query}`), `/api/x${query}`)
  }
})

const pieces =
  'api files ai ws x . .. %2e %2E%2e %252e %2f %5c %255c / // \\ ; %3b ? # % %61 API : @ %00 \u0001 http:'
const piece = fc.constantFrom(...pieces.split(' '))
const anyTarget = fc.oneof(
  fc.array(piece, { maxLength: 8 }).map((pieces) => `/${pieces.join('')}`),
  fc.array(piece, { maxLength: 8 }).map((pieces) => `/api/${pieces.join('/')}`),
  fc.string({ maxLength: 20 }),
)

/** What a program that decodes `times` times and then resolves would make of it, judged by the URL Standard. */
function readBy(path: string, times: number): string {
  let text = path
  for (let time = 0; time < times; time += 1) {
    text = text.replace(/%([0-9a-f]{2})/gi, (_, digits: string) =>
      String.fromCharCode(Number.parseInt(digits, 16)),
    )
  }
  return new URL(`http://base.test${text.replace(/[?#]/g, '_')}`).pathname
}

test('whatever passes stays below its prefix, however often it is decoded (RFC 10017 §6.1.3.6)', () => {
  fc.assert(
    fc.property(anyTarget, (target) => {
      let route
      try {
        route = table.match(target)
      } catch (error) {
        assert.ok(error instanceof BadRequest)
        assert.equal(table.serves(target), true)
        return
      }
      assert.equal(table.serves(target), route !== undefined)
      if (!route) return
      const { path } = route.upstream
      const [raw = ''] = target.split('?')
      for (const times of [0, 1, 2]) {
        const read = readBy(raw, times)
        assert.ok(read === path || read.startsWith(`${path}/`), `${target} is read as ${read}`)
      }
      assert.match(route.target, /^\/(?!\/)/)
      assert.equal(new URL(route.target, 'http://api.test').host, 'api.test')
    }),
    { numRuns: 5000 },
  )
})

test('what is not ours leads to no upstream for anyone who resolves it (CVE-2025-32996)', () => {
  fc.assert(
    fc.property(anyTarget, (target) => {
      if (table.serves(target)) return
      const [raw = ''] = target.split('?')
      for (const times of [0, 1, 2]) {
        const read = readBy(raw, times)
        assert.doesNotMatch(read, /^\/(api|files)(\/|$)/, `${target} is read as ${read}`)
      }
    }),
    { numRuns: 5000 },
  )
})
