import { useText } from '@/app/i18n'
import type messages from '@/locales/en/usage.json'

export const useUsageText = () => useText<typeof messages>('usage')
