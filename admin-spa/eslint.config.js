import vueI18n from '@intlify/eslint-plugin-vue-i18n'
import vue from 'eslint-plugin-vue'
import a11y from 'eslint-plugin-vuejs-accessibility'
import { defineConfig, globalIgnores } from 'eslint/config'
import ts from 'typescript-eslint'

export default defineConfig([
  globalIgnores(['dist/', 'embedded/', 'site/', 'shots/', 'src/api/generated/']),
  ...ts.configs.recommended,
  ...vue.configs['flat/recommended'],
  ...a11y.configs['flat/recommended'],
  {
    files: ['**/*.vue'],
    languageOptions: { parserOptions: { parser: ts.parser } },
  },
  {
    files: ['src/**/*.{ts,vue}'],
    rules: {
      // TypeScript knows them.
      'no-undef': 'off',
      'max-lines': ['error', 300],
      'vue/no-v-html': 'error',
      'vue/no-static-inline-styles': 'error',
      'vue/multi-word-component-names': 'off',
      'vue/no-template-target-blank': 'error',
      // How long a line is and where it breaks is the author's.
      'vue/max-attributes-per-line': 'off',
      'vue/singleline-html-element-content-newline': 'off',
      'vue/multiline-html-element-content-newline': 'off',
      'vue/html-self-closing': ['error', { html: { void: 'always' } }],
      'vue/html-indent': 'off',
      'vue/attributes-order': 'off',
      'vue/require-default-prop': 'off',
      // A label by `for` is enough.
      'vuejs-accessibility/label-has-for': ['error', { required: { some: ['nesting', 'id'] } }],
      'vuejs-accessibility/form-control-has-label': 'off',
      // A region that scrolls needs the focus for the keyboard.
      'vuejs-accessibility/no-static-element-interactions': 'error',
      // DataTable is no table for CSS on a phone, and browsers then drop the roles unless they are said.
      'vuejs-accessibility/no-redundant-roles': 'off',
      'no-restricted-properties': ['error', { object: 'window', property: 'open', message: 'Use a link with rel="noopener noreferrer".' }],
    },
  },
  {
    files: ['src/**/*.vue'],
    plugins: { '@intlify/vue-i18n': vueI18n },
    rules: {
      '@intlify/vue-i18n/no-raw-text': ['error', { ignorePattern: '^[\\s\\-–·/:%…•,.$]*$', ignoreText: ['Ctrl K', 'UTC', 'crs admin login-link'], attributes: { '/.+/': ['title', 'aria-label', 'placeholder', 'alt'] } }],
      '@intlify/vue-i18n/no-v-html': 'error',
    },
  },
  {
    // Pages import no other page.
    files: ['src/pages/**/*.{ts,vue}'],
    rules: { 'no-restricted-imports': ['error', { patterns: [{ group: ['@/pages/*', '../*'], message: 'Pages import no other page; what two need goes to ui/ or lib/.' }] }] },
  },
  { files: ['scripts/**', '*.config.*', 'e2e/**'], rules: { 'no-undef': 'off' } },
])
