// The measure of all: http-proxy-middleware under Express, without login, session or token. Its figure
// is 1.
import http from 'node:http'
import type { Socket } from 'node:net'
import express from 'express'
import { createProxyMiddleware } from 'http-proxy-middleware'
import { listenAndTell } from './listen.ts'

const relay = createProxyMiddleware({
  target: process.env['UPSTREAM'] ?? '',
  changeOrigin: true,
  agent: new http.Agent({ keepAlive: true }),
})
const app = express()
app.use((request, response, next) => {
  if (request.url.startsWith('/api/')) void relay(request, response, next)
  else next()
})
const server = http.createServer(app)
server.on('upgrade', (request, socket, head) => {
  socket.on('error', () => undefined) // a reset before the proxy listens would end the process
  relay.upgrade(request, socket as Socket, head) // Node gives the request's own socket
})
listenAndTell(server)
