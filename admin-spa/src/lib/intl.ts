/**
 * Formatters of `Intl`, each made once: to make one takes a hundred times as long as to use it, and a list formats in
 * every cell.
 */
function kept<F, O>(make: (language: string, options: O) => F): (language: string, options: O) => F {
  const formats = new Map<string, F>()
  return (language, options) => {
    const key = `${language} ${JSON.stringify(options)}`
    let format = formats.get(key)
    if (!format) formats.set(key, (format = make(language, options)))
    return format
  }
}

export const numberFormat = kept((language, options: Intl.NumberFormatOptions) => new Intl.NumberFormat(language, options))
export const dateFormat = kept((language, options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat(language, options))
export const relativeFormat = kept((language, options: Intl.RelativeTimeFormatOptions) => new Intl.RelativeTimeFormat(language, options))
