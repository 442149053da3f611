// Loads the page again when a file has changed, and style sheets without loading the page.
const source = new EventSource(EVENTS);
let lost = false;
source.onmessage = event => {
  if (event.data !== 'style') { location.reload(); return; }
  for (const link of document.querySelectorAll('link[rel=stylesheet]')) {
    const url = new URL(link.href);
    if (url.origin !== location.origin) continue;
    url.searchParams.set('live', Date.now());
    link.href = url.href;
  }
};
source.onerror = () => { lost = true; };
source.onopen = () => { if (lost) location.reload(); };  // the server has been started again
