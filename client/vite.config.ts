// The client's build. What the browser is served compressed is compressed here, once.
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'
import react from '@vitejs/plugin-react'
import { defineConfig, type Plugin } from 'vite'

/** Writes a `.br` and a `.gz` beside every text file of the build. */
function precompress(): Plugin {
  let directory = ''
  return {
    name: 'precompress',
    apply: 'build',
    configResolved: ({ build, root }) => {
      directory = join(root, build.outDir)
    },
    closeBundle: async () => {
      const files = await readdir(directory, { recursive: true })
      const texts = files.filter((file) => /\.(js|css|html|svg|txt|json)$/.test(file))
      await Promise.all(
        texts.map(async (file) => {
          const path = join(directory, file)
          const content = await readFile(path)
          const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY }
          await writeFile(`${path}.br`, await promisify(brotliCompress)(content, { params }))
          await writeFile(`${path}.gz`, await promisify(gzip)(content, { level: 9 }))
        }),
      )
    },
  }
}

export default defineConfig({
  plugins: [react(), precompress()],
  build: {
    // The CSP allows no data: scripts, and small files cost nothing over one connection.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
})
