import { useText } from '@/app/i18n'
import type { SkipReason } from '@/api'
import type messages from '@/locales/en/requests.json'

export const useRequestsText = () => useText<typeof messages>('requests')
export type RequestsText = ReturnType<typeof useRequestsText>

/** Why an account was passed over. Calls of an older version have English words only. */
export const skipText = (t: RequestsText, skip: { code?: SkipReason; why: string }) => (skip.code ? t(`skip.${skip.code}`) : skip.why)
