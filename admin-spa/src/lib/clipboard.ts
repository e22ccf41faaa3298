export type Copied = 'copied' | 'selected' | 'failed'

function byCommand(text: string): boolean {
  const area = document.createElement('textarea')
  area.value = text
  area.setAttribute('readonly', '')
  area.className = 'sr-only'
  // Inside an open dialog, since a focus trap takes the focus back from anywhere else.
  const host = document.activeElement?.closest('[role=dialog]') ?? document.body
  const before = document.activeElement as HTMLElement | null
  host.append(area)
  try {
    area.focus()
    area.select()
    return document.execCommand('copy')
  } catch {
    return false
  } finally {
    area.remove()
    before?.focus?.()
  }
}

/**
 * Copies text: with the clipboard of the browser (https and localhost only), else with `execCommand`, else it
 * selects `shown`, so that Ctrl C copies it. Never silent: the answer says what happened.
 */
export async function copyText(text: string, shown?: HTMLElement | null): Promise<Copied> {
  try {
    if (navigator.clipboard && window.isSecureContext) {
      await navigator.clipboard.writeText(text)
      return 'copied'
    }
  } catch {
    // Not allowed: the older ways follow.
  }
  if (byCommand(text)) return 'copied'
  if (!shown) return 'failed'
  const range = document.createRange()
  range.selectNodeContents(shown)
  const selection = getSelection()
  selection?.removeAllRanges()
  selection?.addRange(range)
  return 'selected'
}
