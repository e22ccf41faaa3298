import { Settings } from 'lucide-vue-next'
import { loadText, textOr } from '@/app/i18n'
import { providePalette } from '@/app/palette'
import { tabs } from './tabs'

providePalette({
  id: 'settings',
  title: () => textOr('common.nav.settings', ''),
  order: 70,
  async find(text) {
    await loadText('settings')
    const items = tabs.map((tab) => ({ id: tab, label: textOr(`settings.tabs.${tab}`, tab), icon: Settings, to: `/settings?tab=${tab}` }))
    return items.filter((item) => item.label.toLowerCase().includes(text.toLowerCase()))
  },
})
