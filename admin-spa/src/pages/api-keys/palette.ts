import { KeyRound } from 'lucide-vue-next'
import { listApiKeys } from '@/api'
import { textOr } from '@/app/i18n'
import { providePalette } from '@/app/palette'

providePalette({
  id: 'api-keys',
  title: () => textOr('common.nav.api-keys', ''),
  order: 30,
  async find(text, signal) {
    if (text.length < 2) return []
    const { items } = await listApiKeys({ query: { search: text, pageSize: 5 }, signal })
    return items.map((one) => ({ id: one.id, label: one.name, hint: `${one.keyPreview}…`, icon: KeyRound, to: `/api-keys/${one.id}` }))
  },
})
