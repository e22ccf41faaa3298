import { readFileSync } from 'node:fs'
import { fileURLToPath, URL } from 'node:url'
import vueI18n from '@intlify/unplugin-vue-i18n/vite'
import tailwindcss from '@tailwindcss/vite'
import vue from '@vitejs/plugin-vue'
import { defineConfig, type Plugin } from 'vite'

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))
const base = '/admin-next/'

/**
 * Puts `src/app/before-paint.js` into the head as a classic script with a hashed name. It runs before the first
 * paint, which a module does not; inline it would break the CSP.
 */
function beforePaint(): Plugin {
  const source = path('./src/app/before-paint.js')
  let file = `${base}src/app/before-paint.js`
  let reference = ''
  return {
    name: 'crs-before-paint',
    buildStart() {
      if (this.environment.mode !== 'dev') {
        reference = this.emitFile({ type: 'asset', name: 'before-paint.js', source: readFileSync(source, 'utf8') })
      }
    },
    generateBundle() {
      file = base + this.getFileName(reference)
    },
    transformIndexHtml: {
      order: 'post',
      handler: (_, context) => [
        {
          tag: 'script',
          attrs: {
            src: context.bundle
              ? base + (Object.keys(context.bundle).find((name) => name.includes('before-paint')) ?? '')
              : file,
          },
          injectTo: 'head-prepend',
        },
      ],
    },
  }
}

/** The generated client brings a reader of event streams that nothing calls; ours is `src/api/events.ts`. */
function withoutStreams(): Plugin {
  return {
    name: 'crs-without-streams',
    apply: 'build',
    load: (id) => (id.endsWith('/core/serverSentEvents.gen.ts') ? "export const createSseClient = () => { throw new Error('not built in') }" : undefined),
  }
}

/** Characters of a chunk's modules. */
const lengthOf = (modules: Record<string, { renderedLength: number }>) => Object.values(modules).reduce((sum, { renderedLength }) => sum + renderedLength, 0)

const relay = process.env.CRS_URL ?? 'http://127.0.0.1:3000'

export default defineConfig({
  base,
  resolve: { alias: { '@': path('./src') } },
  define: { __VUE_I18N_LEGACY_API__: 'false', __INTLIFY_PROD_DEVTOOLS__: 'false', __VUE_OPTIONS_API__: 'false' },
  plugins: [
    vue(),
    tailwindcss(),
    // Messages are compiled to functions here: the browser needs no compiler, which would need `eval`. The texts are read
    // by `t` alone: the library's components and its directive stay out.
    vueI18n({ fullInstall: false, include: [path('./src/locales/*/*.json')], runtimeOnly: true, dropMessageCompiler: true, strictMessage: true, defaultSFCLang: 'json' }),
    beforePaint(),
    withoutStreams(),
  ],
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    manifest: true,
    // V8's explicit compile hint: functions are compiled off the main thread when a page is loaded ahead, and not at
    // their first call, for which somebody waits. Pages open up to a tenth sooner the first time. Small chunks and texts
    // would gain nothing.
    rolldownOptions: { output: { postBanner: (chunk) => (lengthOf(chunk.modules) > 4_000 && !chunk.moduleIds.every((id) => id.endsWith('.json')) ? '//# allFunctionsCalledOnLoad' : '') } },
  },
  server: {
    // A relay to develop against: CRS_URL=http://127.0.0.1:3000 npm run dev
    proxy: Object.fromEntries(
      ['/admin/', '/web/', '/apiStats/', '/health', '/openapi.json'].map((prefix) => [prefix, { target: relay }]),
    ),
  },
  test: { environment: 'happy-dom', include: ['src/**/*.test.ts'] },
} as Parameters<typeof defineConfig>[0])
