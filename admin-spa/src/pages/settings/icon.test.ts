import { expect, test } from 'vitest'
import { kindOf, middleSquare, mostBytes, readIcon, toDataUrl } from './icon'

const bytes = (...values: number[]) => new Uint8Array(values)

test('a file is what it holds, not what it is called', async () => {
  expect(kindOf(bytes(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 1))).toBe('image/png')
  expect(kindOf(bytes(0xff, 0xd8, 0xff, 0xe0))).toBe('image/jpeg')
  expect(kindOf(bytes(0, 0, 1, 0, 1))).toBe('image/x-icon')
  expect(kindOf(new TextEncoder().encode('<?xml version="1.0"?><svg/>'))).toBe('image/svg+xml')
  expect(kindOf(new TextEncoder().encode('GIF89a'))).toBeUndefined()
  expect(await readIcon(new Blob(['GIF89a'], { type: 'image/png' }))).toEqual({ problem: 'type' })
})

test('the middle of a picture is taken', () => {
  expect(middleSquare(200, 100)).toEqual({ x: 50, y: 0, size: 100 })
  expect(middleSquare(101, 300)).toEqual({ x: 0, y: 99, size: 101 })
})

test('what is too large is refused before it is sent', async () => {
  const svg = `<svg>${' '.repeat(mostBytes)}</svg>`
  expect(await readIcon(new Blob([svg]))).toEqual({ problem: 'size' })
  expect(await readIcon(new Blob(['<svg/>']))).toEqual({ data: `data:image/svg+xml;base64,${btoa('<svg/>')}` })
  expect(toDataUrl('image/png', new Uint8Array(100_000)).length).toBeGreaterThan(133_000)
})
