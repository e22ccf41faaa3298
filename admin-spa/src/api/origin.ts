/** Origin of the API without a slash at the end; empty: this page's own. */
export const apiOrigin = (document.querySelector<HTMLMetaElement>('meta[name=crs-api]')?.content ?? '').replace(/\/+$/, '')

/** The address that clients are given: where the API is. */
export const publicOrigin = () => apiOrigin || location.origin
