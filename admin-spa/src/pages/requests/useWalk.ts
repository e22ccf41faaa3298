import { onBeforeUnmount, onMounted } from 'vue'

/** J and K (also from within the panel) and Enter; not while somebody types or a menu or another dialog is open. */
export function useWalk(walk: { step: (by: 1 | -1) => void; open: () => void; panel: () => boolean }) {
  function onKey(event: KeyboardEvent) {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const at = event.target as HTMLElement
    if (at.closest('input, textarea, select, [contenteditable], [role=menu]')) return
    if (at.closest('[role=dialog]') && !walk.panel()) return
    const key = event.key.toLowerCase()
    if (key === 'j' || key === 'k') {
      event.preventDefault()
      walk.step(key === 'j' ? 1 : -1)
    } else if (event.key === 'Enter' && !walk.panel() && !at.closest('a, button')) walk.open()
  }
  onMounted(() => addEventListener('keydown', onKey))
  onBeforeUnmount(() => removeEventListener('keydown', onKey))
}
