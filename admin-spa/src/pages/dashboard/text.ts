import { useText } from '@/app/i18n'
import type messages from '@/locales/en/dashboard.json'

export const useDashboardText = () => useText<typeof messages>('dashboard')
