/** Where the price of a model is set. */
export const pricePath = (model: string) => `/settings?tab=prices&search=${encodeURIComponent(model)}`
