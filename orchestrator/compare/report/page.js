'use strict';
const all = s => [...document.querySelectorAll(s)];
const at = e => {
  const d = e && e.closest('details');
  return d ? at(d.parentElement) + '/' + d.querySelector('summary u').textContent : '';
};
const found = all('#tree .f').map(f => ({f, tier: f.querySelector('i').textContent, text: (at(f) + '/' + f.textContent).toLowerCase()}));
const folds = all('#tree details'), search = document.getElementById('search'), status = document.getElementById('shown');
const buttons = all('#filter button');
const show = () => {
  const want = search.value.trim().toLowerCase(), off = new Set(buttons.filter(b => b.getAttribute('aria-pressed') === 'false').map(b => b.dataset.tier));
  let n = 0;
  for (const x of found) {
    x.f.hidden = off.has(x.tier) || !x.text.includes(want);
    if (!x.f.hidden) n++;
  }
  for (const d of folds) {
    d.hidden = !d.querySelector('.f:not([hidden])');
    if (want !== '' && !d.hidden && n < 500) d.open = true;
  }
  status.textContent = n === found.length ? n + ' differences' : n + ' of ' + found.length + ' differences';
};
let due;
search.addEventListener('input', () => { clearTimeout(due); due = setTimeout(show, 120); });
for (const b of buttons) b.addEventListener('click', () => { b.setAttribute('aria-pressed', b.getAttribute('aria-pressed') === 'false'); show(); });
document.getElementById('unfold').addEventListener('click', () => folds.forEach(d => { d.open = true; }));
document.getElementById('fold').addEventListener('click', () => folds.forEach(d => { d.open = false; }));
let here = -1;
const step = by => {
  for (let i = here + by; i >= 0 && i < found.length; i += by) {
    const f = found[i].f;
    if (f.hidden) continue;
    for (let d = f.closest('details'); d; d = d.parentElement.closest('details')) d.open = true;
    here = i;
    f.tabIndex = -1;
    f.focus();
    return;
  }
};
document.addEventListener('keydown', e => {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  if (e.key === 'Escape' && e.target === search) { search.value = ''; show(); search.blur(); return; }
  if (e.target === search) return;
  if (e.key === '/') { e.preventDefault(); search.focus(); }
  if (e.key === 'n') step(1);
  if (e.key === 'p') step(-1);
});
document.getElementById('tools').hidden = false;
show();
