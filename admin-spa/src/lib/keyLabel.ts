/** Tests of accounts are recorded under this id in place of a key's. */
const ACCOUNT_TESTS = 'account-test'

/** The label of a key in a ranking. A key without a name is deleted. */
export const keyLabel = (key: { id: string; name?: string | null }, words: { gone: string; tests: string }) =>
  key.name ?? (key.id === ACCOUNT_TESTS ? words.tests : words.gone)
