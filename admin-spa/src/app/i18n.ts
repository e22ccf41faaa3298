import { computed, markRaw, shallowReactive } from 'vue'
import { createI18n } from 'vue-i18n'
import type common from '@/locales/en/common.json'

export const languages = ['en', 'zh'] as const
export type Language = (typeof languages)[number]

const files = import.meta.glob<Record<string, unknown>>('@/locales/*/*.json', { import: 'default' })
const loaded = new Set<string>()
const inUse = shallowReactive(new Set<string>(['common']))
const initial: Language = /^zh/i.test(localStorage.getItem('crs-language') || navigator.language) ? 'zh' : 'en'

export const i18n = createI18n({
  legacy: false,
  locale: initial as string,
  fallbackLocale: [],
  // Texts are loaded before what shows them: as proxies they would be followed field by field, for each text on screen.
  messages: Object.fromEntries(languages.map((one) => [one, markRaw({})])),
  missingWarn: import.meta.env.DEV,
  warnHtmlMessage: false,
})

/** Texts without values by language and path: each row of a list asks for the same. `null`: there is none. */
const plain = new Map<string, string | null>()
function plainText(path: string): string | null {
  const key = `${i18n.global.locale.value} ${path}`
  let text = plain.get(key)
  if (text === undefined) plain.set(key, (text = i18n.global.te(path) ? i18n.global.t(path) : null))
  return text
}

async function loadOne(language: Language, name: string) {
  const path = `/src/locales/${language}/${name}.json`
  const file = files[path]
  if (!file) throw new Error(`there are no texts at ${path}`)
  if (loaded.has(path)) return
  const messages = await file()
  i18n.global.mergeLocaleMessage(language, { [name]: messages })
  plain.clear()
  loaded.add(path)
}

/** Loads the texts of pages in the chosen language. */
export async function loadText(...names: string[]) {
  for (const name of names) inUse.add(name)
  await Promise.all(names.map((name) => loadOne(i18n.global.locale.value as Language, name)))
}

/** Loads texts in a language that need not be the one on screen: for what is handed to another person. */
export const loadTextIn = (language: Language, name: string) => loadOne(language, name)

/** A text in a language that `loadTextIn` loaded. */
export const textIn = (language: Language, path: string, values: Record<string, unknown> = {}) => i18n.global.t(path, values, { locale: language })

export const language = computed(() => i18n.global.locale.value as Language)
/** For `Intl` and `lang`. */
export const languageTag = computed(() => (language.value === 'zh' ? 'zh-CN' : 'en'))

export async function setLanguage(value: Language) {
  await Promise.all([...inUse].map((name) => loadOne(value, name)))
  i18n.global.locale.value = value
  localStorage.setItem('crs-language', value)
  document.documentElement.lang = languageTag.value
}

/** Dotted paths of a locale file. */
export type TextKey<T> = { [K in keyof T & string]: T[K] extends string ? K : `${K}.${TextKey<T[K]>}` }[keyof T & string]
export type Text<T> = (key: TextKey<T>, values?: Record<string, unknown>, plural?: number) => string

const rightToLeft = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/

/** Isolates what a person typed, so that a name written from right to left does not reorder the sentence around it. */
export const isolate = (text: string): string => (rightToLeft.test(text) ? `\u2068${text}\u2069` : text)

export const isolated = (values: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, typeof value === 'string' ? isolate(value) : value]))

/** Texts of `locales/<language>/<name>.json`; `T` is the type of the English file. */
export function useText<T>(name: string): Text<T> {
  return (key, values, plural) =>
    plural === undefined
      ? values === undefined
        ? (plainText(`${name}.${key}`) ?? i18n.global.t(`${name}.${key}`))
        : i18n.global.t(`${name}.${key}`, isolated(values))
      : i18n.global.t(`${name}.${key}`, { n: plural, ...isolated(values ?? {}) }, plural)
}

/** Texts of the ui kit and those that all pages share. */
export const useCommon = () => useText<typeof common>('common')

/** A text for a value that the API may add to: `fallback` if there is none. */
export function textOr(path: string, fallback: string): string {
  return plainText(path) ?? fallback
}
