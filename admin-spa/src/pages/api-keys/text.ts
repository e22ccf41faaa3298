import { useText } from '@/app/i18n'
import type messages from '@/locales/en/api-keys.json'

export const useKeysText = () => useText<typeof messages>('api-keys')
