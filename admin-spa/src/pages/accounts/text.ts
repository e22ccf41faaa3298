import { useText } from '@/app/i18n'
import type messages from '@/locales/en/accounts.json'

export const useAccountsText = () => useText<typeof messages>('accounts')
