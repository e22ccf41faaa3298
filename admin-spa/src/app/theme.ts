import { computed, ref } from 'vue'

export type Theme = 'light' | 'dark' | 'system'
const dark = matchMedia('(prefers-color-scheme: dark)')
const stored = localStorage.getItem('crs-theme')
const theme = ref<Theme>(stored === 'light' || stored === 'dark' ? stored : 'system')

function paint() {
  const effective = theme.value === 'system' ? (dark.matches ? 'dark' : 'light') : theme.value
  document.documentElement.dataset.theme = effective
}
dark.addEventListener('change', paint)

export const useTheme = () => ({
  theme: computed(() => theme.value),
  setTheme(value: Theme) {
    theme.value = value
    if (value === 'system') localStorage.removeItem('crs-theme')
    else localStorage.setItem('crs-theme', value)
    paint()
  },
})
