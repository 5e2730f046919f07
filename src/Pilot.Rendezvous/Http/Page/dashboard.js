'use strict';
const pageSize = 25, refreshMs = 5000, historyMs = 60000;
const $ = id => document.getElementById(id);
let offset = 0, matching = 0, running = null, typed = null, samples = null, online = null;

const short = n => n >= 1e9 ? (n / 1e9).toFixed(1) + 'B' : n >= 1e6 ? (n / 1e6).toFixed(1) + 'M' : n >= 1e4 ? (n / 1e3).toFixed(1) + 'K' : String(n);

function span(seconds) {
  const d = Math.floor(seconds / 86400), h = Math.floor(seconds / 3600) % 24, m = Math.floor(seconds / 60) % 60;
  return d ? `${d}d ${h}h` : h ? `${h}h ${m}m` : m ? `${m}m` : `${seconds}s`;
}

function cell(row, text, kind) {
  const td = row.insertCell();
  td.textContent = text;
  if (kind) td.className = kind;
}

function show(stats) {
  for (const name of ['active_nodes', 'total_nodes', 'total_requests', 'total_trust_links', 'unique_tags', 'task_executors']) {
    $(name).textContent = short(stats[name]);
    $(name).title = stats[name].toLocaleString('en');
  }
  matching = stats.matching_nodes;
  if (offset >= matching && offset > 0) { offset = Math.max(0, Math.ceil(matching / pageSize) - 1) * pageSize; return refresh(); }
  const body = document.createElement('tbody');
  body.id = 'nodes';
  for (const node of stats.nodes) {
    const row = body.insertRow();
    cell(row, node.address);
    cell(row, node.online ? 'online' : 'offline', node.online ? 'on' : 'off');
    cell(row, node.trust_links.toLocaleString('en'));
    cell(row, node.polo_score.toLocaleString('en'));
    cell(row, node.tags.map(t => '#' + t).join(' '));
    cell(row, node.task_exec ? 'yes' : '');
  }
  $('nodes').replaceWith(body);
  $('empty').hidden = stats.nodes.length > 0;
  $('empty').textContent = stats.total_nodes ? 'No node matches.' : 'No nodes yet. The first one that registers shows here.';
  $('page').textContent = matching ? `${offset + 1}–${offset + stats.nodes.length} of ${matching.toLocaleString('en')}` : '';
  $('pages').hidden = matching <= pageSize;
  $('previous').disabled = offset === 0;
  $('next').disabled = offset + pageSize >= matching;
  showTags(stats.tags);
  showVersions(stats.versions, stats.total_nodes);
  online = stats.active_nodes;
  drawHistory();
  $('state').className = '';
  $('state').removeAttribute('role'); // it changes every few seconds: nothing to be read out
  $('state').textContent = `up ${span(stats.uptime_secs)} · updated ${new Date().toLocaleTimeString()}`;
}

function showTags(tags) {
  const list = tags.map(({ tag, nodes }) => {
    const li = document.createElement('li'), button = document.createElement('button');
    button.type = 'button';
    button.textContent = `#${tag} ${short(nodes)}`;
    button.addEventListener('click', () => { $('q').value = tag; restart(); });
    li.append(button);
    return li;
  });
  if (!list.length) { const li = document.createElement('li'); li.className = 'none'; li.textContent = 'none'; list.push(li); }
  if (document.activeElement?.closest('#tags')) return; // do not take the focus away
  $('tags').replaceChildren(...list);
}

function showVersions(versions, total) {
  const list = versions.map(({ software, nodes }) => {
    const li = document.createElement('li');
    li.textContent = `${software} ${short(nodes)}` + (total ? ` (${Math.round(nodes / total * 100)} %)` : '');
    return li;
  });
  if (!list.length) { const li = document.createElement('li'); li.className = 'none'; li.textContent = 'none'; list.push(li); }
  $('versions').replaceChildren(...list);
}

async function refresh() {
  running?.abort();
  const mine = running = new AbortController();
  const query = new URLSearchParams({ limit: pageSize, offset, q: $('q').value.trim(), sort: $('sort').value });
  if ($('online').checked) query.set('online', '1');
  if ($('tasks').checked) query.set('tasks', '1');
  try {
    const answer = await fetch('/api/stats?' + query, { signal: mine.signal });
    if (!answer.ok) throw new Error(answer.status);
    await show(await answer.json());
  } catch (e) {
    if (mine.signal.aborted) return;
    $('state').className = 'failing';
    $('state').setAttribute('role', 'alert');
    $('state').textContent = 'no answer from the server, trying again';
  }
}

async function showHistory() {
  try {
    ({ samples } = await (await fetch('/api/history')).json());
    drawHistory();
  } catch { $('history-note').textContent = 'no answer from the server'; }
}

// The samples of the server, one a minute, and what is known of now behind them.
function drawHistory() {
  if (samples === null) return;
  const points = samples.map(s => [s[0], s[1]]);
  if (online !== null) points.push([Math.max(Date.now() / 1000, (points.at(-1)?.[0] ?? 0) + 1), online]);
  if (!points.length) { $('history-note').textContent = 'no samples yet'; return; }
  const highest = Math.max(...points.map(p => p[1])), top = Math.max(1, highest) * 1.1, first = points[0][0], width = Math.max(1, points.at(-1)[0] - first);
  const line = points.map(([time, nodes]) => `${((time - first) / width * 1000).toFixed(1)},${(118 - nodes / top * 116).toFixed(1)}`).join(' ');
  document.querySelector('#history polyline').setAttribute('points', line);
  document.querySelector('#history polygon').setAttribute('points', `0,120 ${line} 1000,120`);
  $('history-note').textContent = `highest ${highest.toLocaleString('en')}`;
  $('history-start').textContent = new Date(first * 1000).toLocaleString([], { weekday: 'short', hour: '2-digit', minute: '2-digit' });
}

function restart() { offset = 0; refresh(); }
$('filter').addEventListener('submit', e => { e.preventDefault(); restart(); });
$('q').addEventListener('input', () => { clearTimeout(typed); typed = setTimeout(restart, 200); });
for (const id of ['online', 'tasks', 'sort']) $(id).addEventListener('change', restart);
$('previous').addEventListener('click', () => { offset = Math.max(0, offset - pageSize); refresh(); });
$('next').addEventListener('click', () => { offset += pageSize; refresh(); });
const asked = new URLSearchParams(location.search);
$('q').value = asked.get('q') ?? '';
$('online').checked = asked.get('online') === '1';
$('tasks').checked = asked.get('tasks') === '1';
refresh();
showHistory();
setInterval(() => { if (!document.hidden) refresh(); }, refreshMs);
setInterval(() => { if (!document.hidden) showHistory(); }, historyMs);
