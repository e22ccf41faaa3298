import { mount } from '@vue/test-utils'
import { defineComponent, h } from 'vue'
import { createMemoryHistory, createRouter } from 'vue-router'
import { expect, test } from 'vitest'
import { flag, list, oneOf, optionOf, readParams, text, useUrlState, whole, writeParams } from './urlState'

const params = {
  search: text(),
  platform: optionOf(['claude', 'openai']),
  sort: oneOf(['name', 'priority'], 'priority'),
  page: whole(1),
  pageSize: whole(20, 1, 100),
  deleted: flag(),
  tags: list(),
}

test('what is wrong in a URL counts as left out', () => {
  const state = readParams(params, { platform: 'nobody', sort: '__proto__', page: '-1', pageSize: '1e9', deleted: 'yes', search: ['a', 'b'] })
  expect(state).toEqual({ search: 'a', platform: undefined, sort: 'priority', page: 1, pageSize: 20, deleted: false, tags: [] })
})

test('what is written is read again, and what is standard is left out', () => {
  const state = { search: 'a&b=c', platform: 'openai' as const, sort: 'name' as const, page: 3, pageSize: 20, deleted: true, tags: ['a,b', '50%', '标签'] }
  const written = writeParams(params, state, { other: 'stays' })
  expect(written).toMatchObject({ other: 'stays', page: '3' })
  expect(written).not.toHaveProperty('pageSize')
  expect(readParams(params, written)).toEqual(state)
})

test('a list in a URL that is not well formed does not break the page', () => {
  expect(readParams(params, { tags: '%E0%A4%A,ok' }).tags).toEqual(['ok'])
})

async function mounted(path: string) {
  const router = createRouter({ history: createMemoryHistory(), routes: [{ path: '/', component: { render: () => null } }] })
  await router.push(path)
  let url!: ReturnType<typeof useUrlState<typeof params>>
  const Page = defineComponent({
    setup() {
      url = useUrlState(params)
      return () => h('p')
    },
  })
  mount(Page, { global: { plugins: [router] } })
  return { router, url }
}

test('a changed filter goes back to the first page', async () => {
  const { router, url } = await mounted('/?page=4&search=x')
  await url.set({ search: 'y' })
  expect(router.currentRoute.value.query).toEqual({ search: 'y' })
  await url.set({ page: 2 }, 'push')
  expect(router.currentRoute.value.query).toEqual({ search: 'y', page: '2' })
})

test('clearing keeps sort and size', async () => {
  const { router, url } = await mounted('/?search=x&sort=name&pageSize=50&page=2&other=1')
  expect(url.filtered.value).toBe(true)
  await url.clear()
  expect(router.currentRoute.value.query).toEqual({ sort: 'name', pageSize: '50', other: '1' })
  expect(url.filtered.value).toBe(false)
})
