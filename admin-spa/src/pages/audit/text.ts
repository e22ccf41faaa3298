import { useText } from '@/app/i18n'
import type messages from '@/locales/en/audit.json'

export const useAuditText = () => useText<typeof messages>('audit')
