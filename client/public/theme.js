// Before the first paint, so that a page in the chosen theme does not flash in the other one. A file of its
// own, because the CSP lets nothing run that stands in the page.
try {
  const theme = localStorage.getItem('gatehouse-theme')
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme
} catch {
  // Storage is switched off in this browser: then it is the system's choice.
}
