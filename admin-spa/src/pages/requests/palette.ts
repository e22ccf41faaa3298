import { ListTree } from 'lucide-vue-next'
import { textOr } from '@/app/i18n'
import { providePalette } from '@/app/palette'
import { requestIdIn } from './filters'

providePalette({
  id: 'requests',
  title: () => textOr('common.nav.requests', ''),
  // Whoever pastes an id wants that call.
  order: 5,
  find(text) {
    const id = requestIdIn(text)
    return id ? [{ id, label: id, icon: ListTree, to: `/requests/${id}` }] : []
  },
})
