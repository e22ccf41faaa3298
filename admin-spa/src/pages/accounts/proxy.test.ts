import { expect, test } from 'vitest'
import { apart, emptyProxy, proxyOf, readAddress } from './proxy'

test('an address has a scheme, a host and a port', () => {
  expect(readAddress('socks5://10.0.0.1:1080')).toEqual({ type: 'socks5', host: '10.0.0.1', port: 1080 })
  expect(readAddress(' socks5h://[::1]:1080/ ')).toEqual({ type: 'socks5', host: '[::1]', port: 1080 })
  expect(readAddress('HTTP://proxy.example:3128')).toEqual({ type: 'http', host: 'proxy.example', port: 3128 })
  for (const wrong of ['', 'proxy.example:3128', 'ftp://a:1', 'http://a', 'http://a:0', 'http://a:70000', 'http://a:1/path', 'http://a b:1']) expect(readAddress(wrong), wrong).toBeUndefined()
})

test('a login in the address goes to its own fields', () => {
  expect(apart({ ...emptyProxy(), address: 'http://ada:p%40ss:word@proxy.example:8080' })).toEqual({ address: 'http://proxy.example:8080', username: 'ada', password: 'p@ss:word' })
  const typed = { address: 'http://proxy.example:8080', username: 'ada', password: 'x' }
  expect(apart(typed)).toBe(typed)
  expect(apart({ ...emptyProxy(), address: 'no address' }).address).toBe('no address')
})

test('what is sent: none, a proxy, or nothing that can be sent', () => {
  expect(proxyOf(emptyProxy())).toBeNull()
  expect(proxyOf({ ...emptyProxy(), address: 'nonsense' })).toBeUndefined()
  expect(proxyOf({ address: 'https://a:443', username: 'u', password: 'p' })).toEqual({ type: 'https', host: 'a', port: 443, username: 'u', password: 'p' })
})
