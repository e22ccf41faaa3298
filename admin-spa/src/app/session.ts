import { computed, ref, shallowRef } from 'vue'

/** A login. `expiresAt`: milliseconds since 1970. */
export interface Session {
  token: string
  expiresAt: number
  username: string
}

type Message = { type: 'ask' } | { type: 'have' | 'begun'; session: Session } | { type: 'ended' }

const store = 'crs-session'
/** How long a new tab waits for another tab's session, in milliseconds. */
const answerTime = 200

const current = shallowRef<Session>()
/** Whether the login dialog lies over the page. */
const expired = ref(false)
const channel = typeof BroadcastChannel === 'function' ? new BroadcastChannel(store) : undefined
let waiting: ((token: string | undefined) => void)[] = []
let again: Promise<string | undefined> | undefined
const listeners = new Set<(session: Session | undefined) => void>()

function valid(value: unknown): Session | undefined {
  const one = value as Partial<Session> | null
  const ok = typeof one?.token === 'string' && typeof one.expiresAt === 'number' && typeof one.username === 'string'
  return ok && one.expiresAt! > Date.now() ? (one as Session) : undefined
}

function take(session: Session | undefined) {
  current.value = session
  if (session) sessionStorage.setItem(store, JSON.stringify(session))
  else sessionStorage.removeItem(store)
  if (session) settle(session.token)
  for (const listener of listeners) listener(session)
}

function settle(token: string | undefined) {
  expired.value = false
  again = undefined
  const all = waiting
  waiting = []
  for (const one of all) one(token)
}

function tell(message: Message) {
  channel?.postMessage(message)
}

channel?.addEventListener('message', ({ data }: MessageEvent<Message>) => {
  if (data.type === 'ask' && current.value) tell({ type: 'have', session: current.value })
  if (data.type === 'begun' && valid(data.session)) take(data.session)
  if (data.type === 'have' && !current.value && valid(data.session)) take(data.session)
  if (data.type === 'ended') {
    settle(undefined)
    take(undefined)
  }
})

export const session = {
  current: computed(() => current.value),
  expired: computed(() => expired.value),
  token: () => current.value?.token,

  /** Calls `listener` whenever a session begins, is renewed or ends. */
  onChange: (listener: (session: Session | undefined) => void) => void listeners.add(listener),

  /** Finds this tab's session, or another tab's. */
  async restore(): Promise<void> {
    if (current.value) return
    try {
      const own = valid(JSON.parse(sessionStorage.getItem(store) ?? 'null'))
      if (own) return take(own)
    } catch {
      // A broken entry is as good as none.
    }
    sessionStorage.removeItem(store)
    if (!channel) return
    tell({ type: 'ask' })
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, answerTime)
      const listener = (found: Session | undefined) => {
        if (!found) return
        clearTimeout(timer)
        listeners.delete(listener)
        resolve()
      }
      listeners.add(listener)
    })
  },

  begin(answer: { token: string; expiresIn: number; username: string }) {
    const begun = { token: answer.token, username: answer.username, expiresAt: Date.now() + answer.expiresIn }
    take(begun)
    tell({ type: 'begun', session: begun })
  },

  /** Forgets the session in all tabs. */
  end() {
    settle(undefined)
    take(undefined)
    tell({ type: 'ended' })
  },

  /** Opens the login over the page. Gives the new token, or nothing if the person leaves. */
  loginAgain(): Promise<string | undefined> {
    expired.value = true
    again ??= new Promise((resolve) => waiting.push(resolve))
    return again
  },
}
