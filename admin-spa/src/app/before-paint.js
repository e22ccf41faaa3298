// Runs before the first paint: theme and language, so that nothing flickers. A classic script, kept tiny.
;(function () {
  var root = document.documentElement
  var read = function (name) {
    try {
      return localStorage.getItem(name)
    } catch {
      return null
    }
  }
  var theme = read('crs-theme')
  if (theme !== 'light' && theme !== 'dark') {
    theme = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'
  }
  root.dataset.theme = theme
  var language = read('crs-language') || navigator.language
  root.lang = /^zh/i.test(language) ? 'zh-CN' : 'en'
  try {
    var site = JSON.parse(read('crs-site') || '{}')
    if (typeof site.name === 'string' && site.name) document.title = site.name
  } catch {
    // A broken entry is as good as none.
  }
})()
