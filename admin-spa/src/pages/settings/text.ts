import { useText } from '@/app/i18n'
import type messages from '@/locales/en/settings.json'

export const useSettingsText = () => useText<typeof messages>('settings')
