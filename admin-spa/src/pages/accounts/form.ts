import type { KeyHeader, NewAccountInputWritable as NewAccountInput, Platform, ProxyInputWritable as ProxyInput, SignInInputWritable as SignInInput } from '@/api'

/** How an account gets its credentials. */
export const WAYS = ['apiKey', 'signIn', 'file', 'tokens', 'accessKeys', 'serviceAccount', 'entraApp'] as const
export type Way = (typeof WAYS)[number]

export const PLATFORMS = ['claude', 'openai', 'gemini', 'antigravity'] as const satisfies readonly Platform[]

/** The platforms of ways that are not for all. Antigravity has no API keys and no client's file. */
const ONLY_FOR: { [way in Way]?: readonly Platform[] } = { accessKeys: ['claude'], serviceAccount: ['claude', 'gemini'], entraApp: ['openai'] }
/** The ways of a platform, the recommended one first. */
export const waysOf = (platform: Platform): readonly Way[] => (platform === 'antigravity' ? ['signIn', 'tokens'] : WAYS.filter((way) => ONLY_FOR[way]?.includes(platform) ?? true))

/** Whether the credentials are those of a person's subscription, which providers' terms speak about. */
export const isSubscription = (way: Way) => way === 'signIn' || way === 'file' || way === 'tokens'

export interface SecretsForm {
  apiKey: string
  baseUrl: string
  /** Empty: it is guessed. */
  keyHeader: string
  /** Of Azure's dated API; empty: none, or it follows the address. */
  apiVersion: string
  accessToken: string
  refreshToken: string
  /** As a date-and-time input has it; empty: not known. */
  expiresAt: string
  tenant: string
  file: string
  accessKeyId: string
  secretAccessKey: string
  sessionToken: string
  region: string
  /** The content of a key file. */
  serviceAccount: string
  /** Empty: that of the key file. */
  project: string
  tenantId: string
  clientId: string
  clientSecret: string
}
export const emptySecrets = (): SecretsForm => ({ apiKey: '', baseUrl: '', keyHeader: '', apiVersion: '', accessToken: '', refreshToken: '', expiresAt: '', tenant: '', file: '', accessKeyId: '', secretAccessKey: '', sessionToken: '', region: '', serviceAccount: '', project: '', tenantId: '', clientId: '', clientSecret: '' })

const NEEDED = { apiKey: ['apiKey'], signIn: [], file: ['file'], tokens: ['accessToken'], accessKeys: ['accessKeyId', 'secretAccessKey', 'region'], serviceAccount: ['serviceAccount', 'region'], entraApp: ['tenantId', 'clientId', 'clientSecret', 'baseUrl'] } as const
/** The first required field of this way that is empty; `undefined` if none is. */
export const missingOf = (way: Way, form: SecretsForm) => NEEDED[way].find((field) => !form[field].trim())

/** A secret as it was meant, if it was pasted with what stood around it: quotes, a variable, a header. */
export const plainSecret = (text: string): string =>
  text.trim().replace(/^(?:export |set |\$env:)?\s*[A-Z][A-Z0-9]*_[A-Z0-9_]*\s*=\s*/, '').replace(/^(?:authorization:\s*)?bearer\s+/i, '').replace(/^(["'`])(.*)\1$/s, '$2').trim()

type Secret = 'apiKey' | 'accessToken' | 'refreshToken'
/** What a pasted text is, if that can be told by its look. */
const LOOKS = [
  ['file', /^[{[]/],
  ['address', /^https?:\/\//],
  ['own', /^cr_[0-9a-f]{32}/],
  ['refreshToken', /^sk-ant-ort\d/],
  ['accessToken', /^sk-ant-oat\d/],
  ['claudeKey', /^sk-ant-api\d/],
  ['openaiKey', /^sk-(proj|svcacct)-/],
  ['googleKey', /^AIza[\w-]{30}/],
] as const
export type Look = (typeof LOOKS)[number][0]
const KEY_OF = { claude: 'claudeKey', openai: 'openaiKey', gemini: 'googleKey', antigravity: 'googleKey' } as const

/** The field that holds something else than it is for, and what. Another provider's address may want any key. */
export function misplaced(platform: Platform, way: Way, form: SecretsForm): { field: Secret; look: Look } | undefined {
  const fields: Secret[] = way === 'apiKey' ? (form.baseUrl.trim() ? [] : ['apiKey']) : way === 'tokens' ? ['accessToken', 'refreshToken'] : []
  for (const field of fields) {
    const look = LOOKS.find(([, pattern]) => pattern.test(plainSecret(form[field])))?.[0]
    if (look && look !== (field === 'apiKey' ? KEY_OF[platform] : field)) return { field, look }
  }
  return undefined
}

/** Credentials as they are sent, for a new account and for one that gets others. */
export function credentialsOf(way: Exclude<Way, 'signIn'>, form: SecretsForm): Pick<NewAccountInput, 'credentials' | 'credentialsFile'> {
  if (way === 'file') return { credentialsFile: form.file.trim() }
  if (way === 'apiKey') return { credentials: { type: 'apiKey', apiKey: plainSecret(form.apiKey), baseUrl: form.baseUrl.trim() || null } }
  if (way === 'accessKeys')
    return {
      credentials: {
        type: 'accessKeys',
        accessKeyId: plainSecret(form.accessKeyId),
        secretAccessKey: plainSecret(form.secretAccessKey),
        sessionToken: plainSecret(form.sessionToken) || null,
        region: form.region.trim(),
        baseUrl: form.baseUrl.trim() || null,
      },
    }
  if (way === 'serviceAccount') return { credentials: { type: 'serviceAccount', serviceAccount: form.serviceAccount.trim(), project: form.project.trim() || null, region: form.region.trim(), baseUrl: form.baseUrl.trim() || null } }
  if (way === 'entraApp') return { credentials: { type: 'entraApp', tenantId: form.tenantId.trim(), clientId: form.clientId.trim(), clientSecret: plainSecret(form.clientSecret), baseUrl: form.baseUrl.trim() } }
  return {
    credentials: {
      type: 'oauth',
      accessToken: plainSecret(form.accessToken),
      refreshToken: plainSecret(form.refreshToken) || null,
      ...(form.expiresAt ? { expiresAt: new Date(form.expiresAt).toISOString() } : {}),
      ...(form.tenant.trim() ? { tenant: form.tenant.trim() } : {}),
    },
  }
}

export interface SettingsForm {
  name: string
  groups: string[]
  priority: number
  maxConcurrency: number
  shared: boolean
}
export const emptySettings = (): SettingsForm => ({ name: '', groups: [], priority: 50, maxConcurrency: 0, shared: true })

/** Settings as they are sent: only what differs from the relay's standard. */
export function settingsOf(form: SettingsForm, proxy: ProxyInput | null): Partial<SignInInput> {
  return {
    ...(form.name.trim() ? { name: form.name.trim() } : {}),
    ...(form.groups.length ? { groups: form.groups } : {}),
    ...(form.priority !== 50 ? { priority: form.priority } : {}),
    ...(form.maxConcurrency ? { maxConcurrency: form.maxConcurrency } : {}),
    ...(form.shared ? {} : { shared: false }),
    ...(proxy ? { proxy } : {}),
  }
}

/** What is sent for a new account. */
export const newAccount = (platform: Platform, way: Exclude<Way, 'signIn'>, secrets: SecretsForm, settings: SettingsForm, proxy: ProxyInput | null): NewAccountInput => ({
  ...settingsOf(settings, proxy),
  name: settings.name.trim(),
  platform,
  ...credentialsOf(way, secrets),
  ...(way === 'apiKey' && secrets.keyHeader ? { keyHeader: secrets.keyHeader as KeyHeader } : {}),
  ...((way === 'apiKey' || way === 'entraApp') && platform === 'openai' && secrets.apiVersion.trim() ? { apiVersion: secrets.apiVersion.trim() } : {}),
})
