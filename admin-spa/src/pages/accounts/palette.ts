import { Server } from 'lucide-vue-next'
import { listAccounts } from '@/api'
import { textOr } from '@/app/i18n'
import { providePalette } from '@/app/palette'

providePalette({
  id: 'accounts',
  title: () => textOr('common.nav.accounts', ''),
  order: 20,
  async find(text, signal) {
    if (text.length < 2) return []
    const { items } = await listAccounts({ query: { search: text, pageSize: 5 }, signal })
    return items.map((one) => ({ id: one.id, label: one.name, hint: textOr(`common.platform.${one.platform}`, one.platform), icon: Server, to: `/accounts/${one.id}` }))
  },
})
