/** Largest icon that the relay takes, decoded, in bytes. */
export const mostBytes = 350 * 1024
/** A picture is drawn into a square of this many pixels. */
const side = 128

export type IconProblem = 'type' | 'size' | 'unreadable'

const head: Record<string, number[]> = {
  'image/png': [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a],
  'image/jpeg': [0xff, 0xd8, 0xff],
  'image/x-icon': [0, 0, 1, 0],
}

/** What the bytes are, whatever the file is called; `undefined`: nothing that the relay takes. */
export function kindOf(bytes: Uint8Array): string | undefined {
  for (const [kind, begin] of Object.entries(head)) if (begin.every((byte, at) => bytes[at] === byte)) return kind
  return new TextDecoder().decode(bytes.subarray(0, 4096)).includes('<svg') ? 'image/svg+xml' : undefined
}

/** The middle square of a picture: where it begins, and its side. */
export function middleSquare(width: number, height: number) {
  const size = Math.min(width, height)
  return { x: Math.floor((width - size) / 2), y: Math.floor((height - size) / 2), size }
}

export function toDataUrl(kind: string, bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000))
  return `data:${kind};base64,${btoa(text)}`
}

/** Draws a bitmap's middle square small. */
async function cropped(file: Blob): Promise<string> {
  const bitmap = await createImageBitmap(file)
  const { x, y, size } = middleSquare(bitmap.width, bitmap.height)
  const canvas = document.createElement('canvas')
  canvas.width = canvas.height = Math.min(side, size)
  canvas.getContext('2d')!.drawImage(bitmap, x, y, size, size, 0, 0, canvas.width, canvas.height)
  return canvas.toDataURL('image/png')
}

/** An icon as a data URL: bitmaps are cut to a small square, SVG and ICO stay as they are. */
export async function readIcon(file: Blob): Promise<{ data: string } | { problem: IconProblem }> {
  // Whatever is so large is no icon, and must not fill the memory.
  if (file.size > 20 * 1024 * 1024) return { problem: 'size' }
  const bytes = new Uint8Array(await file.arrayBuffer())
  const kind = kindOf(bytes)
  if (!kind) return { problem: 'type' }
  if (kind === 'image/png' || kind === 'image/jpeg') {
    try {
      return { data: await cropped(new Blob([bytes], { type: kind })) }
    } catch {
      return { problem: 'unreadable' }
    }
  }
  return bytes.length > mostBytes ? { problem: 'size' } : { data: toDataUrl(kind, bytes) }
}
