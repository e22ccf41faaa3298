import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { copyText } from './clipboard'

const set = (target: object, name: string, value: unknown) => Object.defineProperty(target, name, { value, configurable: true, writable: true })

beforeEach(() => {
  set(window, 'isSecureContext', true)
  set(document, 'execCommand', vi.fn(() => false))
})
afterEach(() => (document.body.innerHTML = ''))

test('the clipboard of the browser comes first', async () => {
  const writeText = vi.fn(() => Promise.resolve())
  set(navigator, 'clipboard', { writeText })
  expect(await copyText('secret')).toBe('copied')
  expect(writeText).toHaveBeenCalledWith('secret')
  expect(document.execCommand).not.toHaveBeenCalled()
})

test('on plain http the command copies exactly the text, and leaves no trace', async () => {
  set(window, 'isSecureContext', false)
  set(navigator, 'clipboard', undefined)
  document.body.innerHTML = '<button>b</button>'
  const button = document.querySelector('button')!
  button.focus()
  let area = ''
  set(document, 'execCommand', () => ((area = (document.activeElement as HTMLTextAreaElement).value), true))
  expect(await copyText('a\nb  ')).toBe('copied')
  expect(area).toBe('a\nb  ')
  expect(document.querySelector('textarea')).toBeNull()
  expect(document.activeElement).toBe(button)
})

test('inside a dialog the textarea is inside, too', async () => {
  set(window, 'isSecureContext', false)
  document.body.innerHTML = '<div role="dialog"><button>b</button></div>'
  document.querySelector('button')!.focus()
  let inside = false
  set(document, 'execCommand', () => ((inside = !!document.querySelector('[role=dialog] textarea')), true))
  await copyText('x')
  expect(inside).toBe(true)
})

test('if nothing copies, what is shown is selected, or the answer says that it failed', async () => {
  set(navigator, 'clipboard', { writeText: () => Promise.reject(new Error('denied')) })
  document.body.innerHTML = '<code>shown</code>'
  expect(await copyText('shown', document.querySelector<HTMLElement>('code'))).toBe('selected')
  expect(getSelection()?.toString()).toBe('shown')
  expect(await copyText('shown')).toBe('failed')
})
