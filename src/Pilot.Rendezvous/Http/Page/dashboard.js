'use strict';
const pageSize = 25, refreshMs = 5000, historyMs = 60000;
const $ = id => document.getElementById(id);
let offset = 0, matching = 0, running = null, typed = null;

const short = n => n >= 1e9 ? (n / 1e9).toFixed(1) + 'B' : n >= 1e6 ? (n / 1e6).toFixed(1) + 'M' : n >= 1e4 ? (n / 1e3).toFixed(1) + 'K' : String(n);

function span(seconds) {
  const d = Math.floor(seconds / 86400), h = Math.floor(seconds / 3600) % 24, m = Math.floor(seconds / 60) % 60;
  return d ? `${d}d ${h}h` : h ? `${h}h ${m}m` : `${m}m`;
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
    cell(row, node.trust_links);
    cell(row, node.polo_score);
    cell(row, node.tags.map(t => '#' + t).join(' '));
    cell(row, node.task_exec ? 'yes' : '');
  }
  $('nodes').replaceWith(body);
  $('empty').hidden = stats.nodes.length > 0;
  $('empty').textContent = stats.total_nodes ? 'No node matches.' : 'No nodes yet. The first one that registers shows here.';
  $('page').textContent = matching ? `${offset + 1}–${offset + stats.nodes.length} of ${matching.toLocaleString('en')}` : '';
  $('previous').disabled = offset === 0;
  $('next').disabled = offset + pageSize >= matching;
  showTags(stats.tags);
  showVersions(stats.versions, stats.total_nodes);
  $('state').className = '';
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
    $('state').textContent = 'no answer from the server, trying again';
  }
}

async function showHistory() {
  try {
    const { samples } = await (await fetch('/api/history')).json();
    const highest = Math.max(0, ...samples.map(s => s[1])), most = Math.max(1, highest), first = samples[0]?.[0] ?? 0, last = samples.at(-1)?.[0] ?? 0, width = Math.max(1, last - first);
    const at = s => `${((s[0] - first) / width * 1000).toFixed(1)},${(115 - s[1] / most * 110).toFixed(1)}`;
    const points = samples.length === 1 ? [`0,${at(samples[0]).split(',')[1]}`, `1000,${at(samples[0]).split(',')[1]}`] : samples.map(at);
    document.querySelector('#history polyline').setAttribute('points', points.join(' '));
    $('history-note').textContent = samples.length ? `highest ${highest.toLocaleString('en')}, since ${new Date(first * 1000).toLocaleString()}` : 'no samples yet';
  } catch { $('history-note').textContent = 'no answer from the server'; }
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
