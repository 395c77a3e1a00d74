/// What the dashboard does, in plain JavaScript for browsers of 2020 and later.
enum DashboardScript {
  static let text = #"""
    'use strict';
    const pollMs = 1000, patienceMs = 5000, rateMs = 10000, quantileMs = 60000, sparkMs = 120000;
    const el = id => document.getElementById(id);
    const key = 'portico-token';
    const pools = new Map();
    let history = [], lastGood = null, sayTimer = 0;

    function make(tag, className, text) {
      const node = document.createElement(tag);
      if (className) node.className = className;
      if (text !== undefined) node.textContent = text;
      return node;
    }
    function set(node, text) { if (node.textContent !== text) node.textContent = text; }
    function show(node, text) { node.hidden = !text; if (text) set(node, text); }

    // ---- numbers for people
    function time(ms) {
      if (ms === null || ms === undefined) return '–';
      if (ms < 1) return Math.round(ms * 1000) + ' µs';
      if (ms < 10) return ms.toFixed(1) + ' ms';
      if (ms < 1000) return Math.round(ms) + ' ms';
      return (ms / 1000).toFixed(ms < 10000 ? 2 : 1) + ' s';
    }
    function span(s) {
      if (s < 60) return Math.round(s) + ' s';
      if (s < 3600) return Math.floor(s / 60) + ' min';
      if (s < 86400) return Math.floor(s / 3600) + ' h ' + Math.floor(s % 3600 / 60) + ' min';
      return Math.floor(s / 86400) + ' d ' + Math.floor(s % 86400 / 3600) + ' h';
    }
    function rate(r) { return r === null ? '–' : r < 10 ? r.toFixed(1) : Math.round(r) + ''; }
    function count(n) { return n.toLocaleString('en'); }

    // ---- what changed between two answers
    function remember(fleet) {
      const members = new Map();
      for (const pool of fleet.pools)
        for (const m of pool.members) members.set(pool.name + '\0' + m.name, m);
      const last = history[history.length - 1];
      // A clock or a counter that went back means another process: nothing may be compared.
      if (last && (fleet.at_ms < last.at || fleet.uptime_s < last.uptime)) history = [];
      history.push({ at: fleet.at_ms, uptime: fleet.uptime_s, members });
      while (history[0].at < fleet.at_ms - sparkMs - pollMs) history.shift();
    }
    // The oldest answer within a window that ends now; null when there is only one.
    function since(ms) {
      const now = history[history.length - 1];
      const then = history.find(h => h.at >= now.at - ms - pollMs / 2);
      return then === now ? null : then;
    }
    function delta(id, name, then, now) {
      const a = then.members.get(id), b = now.members.get(id);
      return b ? Math.max(0, b[name] - (a ? a[name] : 0)) : 0;
    }
    function buckets(id, then, now) {
      const a = then && then.members.get(id), b = now.members.get(id);
      return b.ttfb_counts.map((n, i) => Math.max(0, n - (a ? a.ttfb_counts[i] : 0)));
    }
    function quantile(counts, bounds, share) {
      const total = counts.reduce((a, b) => a + b, 0);
      if (!total) return null;
      let before = 0;
      for (let i = 0; i < bounds.length; i++) {
        const low = i ? bounds[i - 1] : 0, through = before + counts[i];
        if (counts[i] && through >= share * total)
          return low + (bounds[i] - low) * (share * total - before) / counts[i];
        before = through;
      }
      return bounds[bounds.length - 1];
    }

    // ---- one row per member, one card per pool; nodes are kept, only texts change
    function meter(cell) {
      const bed = make('span', 'meter'), bar = make('i'), text = make('span');
      bed.append(bar);
      cell.append(bed, text);
      return { bar, text };
    }
    function makePool(name) {
      const card = make('section'), head = make('div', 'pool'), table = make('table');
      const facts = make('span', 'soft'), svgNS = 'http://www.w3.org/2000/svg';
      const svg = document.createElementNS(svgNS, 'svg');
      const line = document.createElementNS(svgNS, 'polyline');
      svg.setAttribute('viewBox', '0 0 180 28');
      svg.setAttribute('preserveAspectRatio', 'none');
      svg.append(document.createElementNS(svgNS, 'title'), line);
      svg.firstChild.textContent = 'requests per second, last two minutes';
      for (const [k, v] of [['fill', 'none'], ['stroke', 'currentColor'], ['stroke-width', '1.5'],
        ['vector-effect', 'non-scaling-stroke']])
        line.setAttribute(k, v);
      head.append(make('h2', '', name), facts, svg);
      const titles = [['Backend', 'left'], ['State', 'left'], ['Traffic, 10 s', 'left'],
        ['Req/s'], ['In flight', 'left'], ['EWMA'], ['TTFB p50'], ['p99'], ['Errors'], ['Score'], ['']];
      const row = make('tr');
      for (const [title, side] of titles) row.append(make('th', side, title));
      table.append(make('thead'));
      table.tHead.append(row);
      const none = make('p', 'none warn', 'No backends.');
      card.append(head, table, none);
      el('pools').append(card);
      return { card, facts, line, table, none, rows: new Map() };
    }
    function makeRow(pool) {
      const body = make('tbody'), tr = make('tr'), more = make('tr', 'more'), cells = {};
      for (const name of ['name', 'state', 'share', 'rate', 'flight', 'ewma', 'p50', 'p99',
        'errors', 'score', 'act']) {
        const left = ['name', 'state', 'share', 'flight'].includes(name);
        cells[name] = make('td', left ? 'left' : '');
        tr.append(cells[name]);
      }
      body.append(tr, more);
      const row = { body, more, cells, share: meter(cells.share), flight: meter(cells.flight) };
      row.error = make('td', 'error');
      row.error.colSpan = tr.children.length;
      more.append(row.error);
      row.title = make('span');
      row.address = make('span', 'sub');
      row.state = make('span', 'state');
      row.why = make('span', 'sub');
      row.button = make('button');
      cells.name.append(row.title, row.address);
      cells.state.append(row.state, row.why);
      cells.act.append(row.button);
      row.button.onclick = () => press(row, pool);
      return row;
    }

    const kinds = { serving: 'good', warming: 'good', cooling: 'warn', probing: 'warn',
      draining: 'idle', ejected: 'bad', unhealthy: 'bad' };
    function why(m, loops) {
      const parts = [];
      if (m.state === 'draining') parts.push(m.in_flight ? 'finishing' : 'empty');
      if (m.state === 'unhealthy') parts.push('probes fail');
      if (m.breaker !== 'closed') {
        let text = m.breaker === 'open' ? 'breaker open' : 'breaker half open';
        if (m.breaker_loops < loops) text += ' on ' + m.breaker_loops + ' of ' + loops + ' loops';
        if (m.breaker_open_ms) text += ', probe in ' + span(m.breaker_open_ms / 1000);
        parts.push(text);
      }
      if (m.cooling_ms) parts.push('asked for ' + span(m.cooling_ms / 1000) + ' more');
      if (m.slow_start < 1) parts.push('slow start ' + Math.round(m.slow_start * 100) + ' %');
      if (m.health === 'unknown' && m.state === 'serving') parts.push('not probed');
      return parts.join('; ');
    }

    function draw(fleet) {
      remember(fleet);
      const now = history[history.length - 1], short = since(rateMs), long = since(quantileMs);
      const seconds = short ? (now.at - short.at) / 1000 : 0;
      let all = 0, away = 0, allRate = 0;
      const trouble = [];
      for (const [name, pool] of pools)
        if (!fleet.pools.some(p => p.name === name)) { pool.card.remove(); pools.delete(name); }
      for (const p of fleet.pools) {
        if (!pools.has(p.name)) pools.set(p.name, makePool(p.name));
        const pool = pools.get(p.name), sums = new Array(fleet.bounds_ms.length + 1).fill(0);
        el('pools').append(pool.card);
        const ids = p.members.map(m => p.name + '\0' + m.name);
        const sent = ids.map(id => short ? delta(id, 'requests', short, now) : 0);
        const total = sent.reduce((a, b) => a + b, 0);
        const fullest = Math.max(8, ...p.members.map(m => m.in_flight));
        const gone = new Set(pool.rows.keys());
        p.members.forEach((m, i) => {
          gone.delete(m.name);
          if (!pool.rows.has(m.name)) pool.rows.set(m.name, makeRow(p.name));
          const row = pool.rows.get(m.name), kind = kinds[m.state] || 'idle', c = row.cells;
          if (pool.table.tBodies[i] !== row.body)
            pool.table.insertBefore(row.body, pool.table.tBodies[i] || null);
          row.member = m;
          row.body.className = kind === 'bad' ? 'away' : '';
          set(row.title, m.name);
          let address = m.address === m.name ? '' : m.address;
          if (m.weight !== 1) address += (address ? ', ' : '') + 'weight ' + m.weight;
          set(row.address, address);
          row.state.className = 'state ' + kind;
          set(row.state, m.state);
          set(row.why, why(m, fleet.loops));
          row.share.bar.style.width = (total ? 100 * sent[i] / total : 0) + '%';
          set(row.share.text, total ? Math.round(100 * sent[i] / total) + ' %' : '–');
          set(c.rate, rate(seconds ? sent[i] / seconds : null));
          row.flight.bar.style.width = 100 * m.in_flight / fullest + '%';
          set(row.flight.text, count(m.in_flight));
          set(c.ewma, time(m.ewma_ms));
          const counts = buckets(ids[i], long, now);
          counts.forEach((n, b) => { sums[b] += n; });
          set(c.p50, time(quantile(counts, fleet.bounds_ms, .5)));
          set(c.p99, time(quantile(counts, fleet.bounds_ms, .99)));
          const failed = short ? delta(ids[i], 'errors', short, now) : 0;
          set(c.errors, count(m.errors) + (failed ? ' (+' + failed + ')' : ''));
          c.errors.className = failed ? 'bad' : '';
          set(c.score, m.score === null ? '–' : m.score.toFixed(2));
          row.more.hidden = m.last_error === null;
          if (m.last_error !== null)
            set(row.error, span(m.last_error_age_s) + ' ago: ' + m.last_error);
          if (!row.button.classList.contains('sure'))
            set(row.button, m.draining ? 'undrain' : 'drain');
          if (kind === 'bad' || kind === 'warn') trouble.push([kind, m.name + ' ' + m.state]);
        });
        for (const name of gone) { pool.rows.get(name).body.remove(); pool.rows.delete(name); }
        const poolRate = seconds ? total / seconds : null;
        all += p.members.length;
        away += p.members.filter(m => m.state === 'draining').length;
        pool.none.hidden = p.members.length > 0;
        allRate += poolRate || 0;
        set(pool.facts, p.policy + ' · ' + rate(poolRate) + ' req/s · first byte p50 '
          + time(quantile(sums, fleet.bounds_ms, .5)) + ', p99 '
          + time(quantile(sums, fleet.bounds_ms, .99)) + ' (last minute)');
        spark(pool.line, ids);
      }
      const bad = trouble.some(t => t[0] === 'bad');
      const kind = !fleet.ready || bad ? 'bad' : trouble.length ? 'warn' : 'good';
      const names = trouble.map(t => t[1]);
      const list = names.slice(0, 3).join(', ') + (names.length > 3
        ? ' and ' + (names.length - 3) + ' more' : '');
      let text = all === 1 ? 'The one backend is fine.' : 'All ' + all + ' backends are fine.';
      if (away) text = (all - away) + ' of ' + all + ' backends are fine, ' + away
        + (away === 1 ? ' is' : ' are') + ' drained.';
      if (names.length) text = list + '.';
      if (!fleet.ready && !fleet.draining) text = 'Not ready: a pool has no usable backend. ' + text;
      if (fleet.draining) text = 'Portico is draining. ' + text;
      el('verdict').className = 'verdict ' + kind;
      set(el('verdict'), text);
      document.title = (names.length ? '(' + names.length + ') ' : '') + 'Portico';
      show(el('reload'), fleet.reload_error
        && 'The last reload was refused; the configuration before it is in use.\n'
        + fleet.reload_error);
      const memory = fleet.resident_bytes ? Math.round(fleet.resident_bytes / 1048576) : null;
      set(el('facts'), rate(seconds ? allRate : null) + ' req/s · ' + count(fleet.open_streams)
        + ' streams · ' + count(fleet.open_connections) + ' connections · '
        + (memory ? memory + ' MiB · ' : '') + 'up ' + span(fleet.uptime_s) + ' · '
        + fleet.version);
    }
    function spark(line, ids) {
      const now = history[history.length - 1].at, points = [];
      for (let i = 1; i < history.length; i++) {
        const a = history[i - 1], b = history[i], s = (b.at - a.at) / 1000;
        const n = ids.reduce((sum, id) => sum + delta(id, 'requests', a, b), 0);
        if (s > 0) points.push([180 * (1 - (now - b.at) / sparkMs), n / s]);
      }
      if (points.length < 3) return;
      const top = Math.max(1, ...points.map(p => p[1]));
      line.setAttribute('points',
        points.map(p => p[0].toFixed(1) + ',' + (26 - 24 * p[1] / top).toFixed(1)).join(' '));
    }

    // ---- asking and telling
    function headers() {
      const token = sessionStorage.getItem(key);
      return token ? { Authorization: 'Bearer ' + token } : {};
    }
    async function ask(path, method) {
      const control = new AbortController();
      const timer = setTimeout(() => control.abort(), patienceMs);
      try {
        const answer = await fetch(path, {
          method, headers: headers(), cache: 'no-store', signal: control.signal });
        return { status: answer.status, text: await answer.text() };
      } finally { clearTimeout(timer); }
    }
    function say(text) {
      show(el('said'), text);
      clearTimeout(sayTimer);
      sayTimer = setTimeout(() => show(el('said'), ''), 8000);
    }
    // The first press asks, the second within four seconds does it.
    async function press(row, pool) {
      const m = row.member, verb = m.draining ? 'undrain' : 'drain', button = row.button;
      if (!button.classList.contains('sure')) {
        button.classList.add('sure');
        button.textContent = verb + ', really';
        setTimeout(() => button.classList.remove('sure'), 4000);
        return;
      }
      button.classList.remove('sure');
      try {
        const path = '/pools/' + encodeURIComponent(pool) + '/backends/'
          + encodeURIComponent(m.name) + '/' + verb;
        say((await ask(path, 'POST')).text.trim());
      } catch (error) { say('No answer to ' + verb + ': ' + error.message); }
    }
    function login(isWrong) {
      el('login').hidden = false;
      el('pools').hidden = true;
      el('verdict').className = 'verdict';
      set(el('verdict'), isWrong ? 'That is not the token.' : 'Closed.');
      if (document.activeElement !== el('token')) el('token').focus();
    }
    el('login').onsubmit = event => {
      event.preventDefault();
      sessionStorage.setItem(key, el('token').value);
      el('token').value = '';
      el('login').hidden = true;
      poll();
    };
    let timer = 0;
    async function poll() {
      clearTimeout(timer);
      try {
        const answer = await ask('/fleet', 'GET');
        if (answer.status === 401) {
          const had = sessionStorage.getItem(key) !== null;
          sessionStorage.removeItem(key);
          return login(had);
        }
        if (answer.status !== 200) throw new Error('status ' + answer.status);
        el('login').hidden = true;
        el('pools').hidden = false;
        draw(JSON.parse(answer.text));
        lastGood = new Date();
        document.body.className = '';
        show(el('silence'), '');
      } catch (error) {
        document.body.className = 'stale';
        show(el('silence'), 'No answer from Portico (' + error.message + '). ' + (lastGood
          ? 'What you see is from ' + lastGood.toLocaleTimeString() + '.' : 'Still asking.'));
      }
      timer = setTimeout(poll, pollMs);
    }
    poll();

    """#
}
