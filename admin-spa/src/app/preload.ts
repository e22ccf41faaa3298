import { activity } from './activity'
import { language, loadTextIn } from './i18n'
import type { PageRoute } from './page'
import { ahead, navPages } from './pages'
import { queryClient } from './query'

/** Milliseconds after the first page, for what that page itself still asks for. */
const after = 1_000
/** Milliseconds after an input in which a person waits for what it does. */
const reply = 1_000
/** Milliseconds until it is tried again. */
const again = 250

/** Loads a page that is likely to be next. Its texts do not count as in use. */
export async function preload(page: PageRoute): Promise<void> {
  ahead.pages += 1
  try {
    await Promise.all([page.component(), ...[page.name, ...(page.texts ?? [])].map((name) => loadTextIn(language.value, name))])
  } catch {
    // Whoever opens the page is told.
  } finally {
    ahead.pages -= 1
  }
}

const savesData = () => (navigator as { connection?: { saveData?: boolean } }).connection?.saveData === true
const idle = () => new Promise<void>((resolve) => (typeof requestIdleCallback === 'function' ? requestIdleCallback(() => resolve(), { timeout: 5_000 }) : setTimeout(resolve, 200)))

const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds))
/** What is loaded ahead has to be read and run, which would hold up a page that somebody waits for. */
async function unneeded(): Promise<void> {
  while (activity.rested() < reply || queryClient.isFetching()) await pause(again)
  await idle()
}

/** Loads the pages of the navigation one by one while nothing else is to do. Not for those who save data, nor in a hidden tab. */
export function preloadWhenIdle(): void {
  setTimeout(async () => {
    for (const page of navPages()) {
      await unneeded()
      if (savesData() || document.hidden) return
      await preload(page)
    }
  }, after)
}
