import type { ModelRoute, ModelRouteStep } from '@/api'

/** Model routes as people write them, one a line: `claude-sonnet-* = openai/gpt-5.4, claude`, as `crs route set` takes them. */
const clients = ['messages', 'responses', 'chat'] as const
const platforms = ['claude', 'openai', 'gemini', 'antigravity'] as const

const stepText = ({ platform, group, model }: ModelRouteStep) => `${platform}${group ? `@${group}` : ''}${model ? `/${model}` : ''}`

export const writeRoutes = (routes: readonly ModelRoute[]) =>
  routes.map(({ client, models, to }) => `${client ? `${client}: ` : ''}${models} = ${to.map(stepText).join(', ')}`).join('\n')

/** Nothing, if a line is no route. */
export function readRoutes(text: string): ModelRoute[] | undefined {
  const routes = text.split('\n').map((line) => line.trim()).filter(Boolean).map(readRoute)
  return routes.includes(undefined) ? undefined : (routes as ModelRoute[])
}

function readRoute(line: string): ModelRoute | undefined {
  const [, left, right] = /^([^=]+)=(.+)$/.exec(line) ?? []
  if (!left || !right) return undefined
  const client = clients.find((one) => left.trimStart().startsWith(`${one}:`))
  const models = (client ? left.trimStart().slice(client.length + 1) : left).trim()
  const to = right.split(',').map((one) => readStep(one.trim()))
  if (!models || to.includes(undefined)) return undefined
  return { ...(client && { client }), models, to: to as ModelRouteStep[] }
}

function readStep(text: string): ModelRouteStep | undefined {
  const [, name, group, model] = /^([a-z]+)(?:@([^/]+))?(?:\/(.+))?$/.exec(text) ?? []
  const platform = platforms.find((one) => one === name)
  return platform && { platform, ...(group && { group }), ...(model && { model }) }
}
