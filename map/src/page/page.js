// Keeps the page live: each change makes it fetch itself anew, at most twice a second. Everything is also there without it.
'use strict';

const live = document.getElementById('live');
const link = document.getElementById('link');
let waiting = null;
let busy = false;

function say(text, isLive) {
  if (link.textContent !== text) link.textContent = text;
  link.classList.toggle('off', !isLive);
  link.hidden = false;
}

async function refresh() {
  waiting = null;
  if (busy || document.hidden) return;
  busy = true;
  try {
    const address = new URL(location.href);
    address.searchParams.set('fragment', '1');
    const answer = await fetch(address, { cache: 'no-store' });
    if (answer.ok) swap(await answer.text());
  } catch {
    say('not reachable', false);
  } finally {
    busy = false;
  }
}

// The same link keeps the focus, also where the page around it was put in anew.
function swap(text) {
  const focused = document.activeElement?.closest?.('#live a')?.getAttribute('href');
  live.innerHTML = text;
  if (focused) live.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

function soon() {
  waiting ??= setTimeout(refresh, 500);
}

const events = new EventSource('/v1/events');
for (const kind of ['box', 'row', 'gone', 'audit', 'trunk', 'reset']) events.addEventListener(kind, soon);
events.addEventListener('hello', () => { say('live', true); soon(); });
events.addEventListener('error', () => say('reconnecting', false));
document.addEventListener('visibilitychange', () => { if (!document.hidden) soon(); });
setInterval(soon, 15000);
