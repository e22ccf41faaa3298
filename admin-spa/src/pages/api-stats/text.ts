import { useText } from '@/app/i18n'
import type messages from '@/locales/en/api-stats.json'

export const useStatsText = () => useText<typeof messages>('api-stats')
