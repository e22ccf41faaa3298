import type { Key } from '@/api/generated/types.gen'
import { textIn, type Language, type TextKey } from '@/app/i18n'
import { client, type ClientId } from '@/connect/clients'
import { systemBlocks, type System } from '@/connect/systems'
import type messages from '@/locales/en/handover.json'
import { MONEY, type MoneyField } from './limits'
import { showUsd } from './money'

const tag = (language: Language) => (language === 'zh' ? 'zh-CN' : 'en')
type Limits = Pick<Key, MoneyField | 'weeklyResetDay' | 'weeklyResetHour' | 'rateLimitWindow' | 'rateLimitRequests' | 'tokenLimit' | 'rateLimitCost' | 'concurrencyLimit'> &
  Partial<Pick<Key, 'expirationMode' | 'expiresAt' | 'activationDays' | 'activationUnit'>>

/** Each limit as a sentence with its reset moment. The texts `handover` of the language must be loaded. */
export function limitSentences(key: Limits, language: Language): string[] {
  const say = (name: TextKey<typeof messages>, values: Record<string, unknown>) => textIn(language, `handover.${name}`, values)
  const money = (amount: Key['dailyCostLimit']) => showUsd(amount, tag(language))
  const count = (number: number) => new Intl.NumberFormat(tag(language)).format(number)
  const day = new Intl.DateTimeFormat(tag(language), { weekday: 'long', timeZone: 'UTC' }).format(Date.UTC(2024, 0, key.weeklyResetDay))
  const week = { day, hour: `${String(key.weeklyResetHour).padStart(2, '0')}:00` }
  const minutes = count(key.rateLimitWindow)
  const windowed = key.rateLimitWindow > 0
  return [
    ...MONEY.map(({ field, sum }) => key[field] > 0 && say(sum, { amount: money(key[field]), ...week })),
    windowed && key.rateLimitRequests > 0 && say('windowRequests', { count: count(key.rateLimitRequests), minutes }),
    windowed && key.tokenLimit > 0 && say('windowTokens', { count: count(key.tokenLimit), minutes }),
    windowed && key.rateLimitCost > 0 && say('windowCost', { amount: money(key.rateLimitCost), minutes }),
    key.concurrencyLimit > 0 && say('concurrency', { count: count(key.concurrencyLimit) }),
    key.expirationMode === 'activation' && (key.activationDays ?? 0) > 0 && !key.expiresAt && say(key.activationUnit === 'hours' ? 'endsHours' : 'endsDays', { count: count(key.activationDays ?? 0) }),
    key.expiresAt && say('ends', { at: `${new Date(key.expiresAt).toISOString().slice(0, 16).replace('T', ' ')} UTC` }),
  ].filter((one): one is string => !!one)
}

/** What is handed over with a key: the key, the address, the limits, and the set-up for the receiver. */
export function handoverMessage(key: Limits & Pick<Key, 'name'>, secret: string, address: string, language: Language, to: { client: ClientId; system: System }): string {
  const say = (name: TextKey<typeof messages>, values: Record<string, unknown> = {}) => textIn(language, `handover.${name}`, values)
  const limits = limitSentences(key, language)
  const one = client(to.client)
  const blocks = systemBlocks(one, to.system, { address, key: secret }, true)
  return [
    say('hello', { name: key.name }), '',
    say('key', { key: secret }), say('address', { address }), '',
    ...(limits.length ? [say('limits'), ...limits.map((limit) => `- ${limit}`), ''] : []),
    say('setUp', { client: one.name }),
    ...blocks.flatMap((block) => ['', block.path ? say('file', { path: block.path }) : say(block.language === 'text' ? 'form' : block.language === 'python' ? 'program' : 'terminal'), block.text]),
    '', say('private'),
  ].join('\n')
}
