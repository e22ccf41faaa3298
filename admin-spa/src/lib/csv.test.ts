import { expect, test } from 'vitest'
import { csv } from './csv'

test('a cell is one cell, and never a formula', () => {
  expect(csv([['name', 'key'], ['plain', 'cr_1'], ['a, "b"\nc', ''], ['=1+1', '@x']])).toBe(
    'name,key\r\nplain,cr_1\r\n"a, ""b""\nc",\r\n"\'=1+1","\'@x"\r\n',
  )
})
