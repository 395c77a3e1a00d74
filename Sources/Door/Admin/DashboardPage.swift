/// The page at `/`: one file without anything from elsewhere, so that it works on a machine that is
/// cut off. It holds no data itself; it asks `/fleet` every second, with the token where one is
/// needed, and makes rates and quantiles from what changed between two answers.
///
/// Names and error texts come from other people's machines, so they enter the page as text only.
enum DashboardPage {
  static let html = head + style + markup + "<script>\n" + DashboardScript.text + "</script>\n"

  private static let head = #"""
    <!doctype html>
    <html lang="en">
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>Portico</title>
    <link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0
    16 16'%3E%3Cpath d='M2 6l6-4 6 4v1H2zM3 8h2v5H3zm4 0h2v5H7zm4 0h2v5h-2zM2 14h12v1H2z'
    fill='%23808890'/%3E%3C/svg%3E">

    """#

  private static let style = #"""
    <style>
    :root {
      --page: #f7f7f5; --card: #fff; --ink: #1d2226; --soft: #5d666e; --line: #e3e4e1;
      --bar: #7d9bb8; --bar-bed: #eceeec; --good: #2c7a4b; --warn: #946200; --bad: #b3261e;
      --bad-bed: #fbeae8; --warn-bed: #fbf3e0;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --page: #14171a; --card: #1b1f23; --ink: #dfe3e6; --soft: #929ca5; --line: #2b3136;
        --bar: #54789b; --bar-bed: #272d32; --good: #6cc08b; --warn: #e0b050; --bad: #f08a80;
        --bad-bed: #3a2220; --warn-bed: #352c1a;
      }
    }
    * { box-sizing: border-box; }
    [hidden] { display: none !important; }
    body {
      margin: 0 auto; padding: 20px 24px 40px; max-width: 1280px; background: var(--page);
      color: var(--ink); font: 14px/1.45 system-ui, -apple-system, "Segoe UI", sans-serif;
    }
    header { display: flex; flex-wrap: wrap; gap: 4px 24px; align-items: baseline; }
    h1 { font-size: 17px; margin: 0; letter-spacing: .02em; }
    h2 { font-size: 15px; margin: 0; }
    .facts { color: var(--soft); margin-left: auto; font-variant-numeric: tabular-nums; }
    .verdict { font-size: 20px; margin: 14px 0 16px; }
    .verdict.good::before, .verdict.warn::before, .verdict.bad::before {
      content: ""; display: inline-block; width: 12px; height: 12px; border-radius: 50%;
      margin-right: 10px; background: currentColor;
    }
    .good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); }
    .note { padding: 9px 14px; border-radius: 6px; margin: 0 0 12px; white-space: pre-wrap; }
    .note.warn { background: var(--warn-bed); } .note.bad { background: var(--bad-bed); }
    section {
      background: var(--card); border: 1px solid var(--line); border-radius: 8px;
      margin-bottom: 18px; overflow-x: auto;
    }
    .pool { display: flex; flex-wrap: wrap; gap: 2px 18px; align-items: center;
      padding: 12px 16px 8px; }
    .pool .soft { font-variant-numeric: tabular-nums; }
    .pool svg { margin-left: auto; width: 180px; height: 28px; color: var(--bar); }
    .soft { color: var(--soft); }
    table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
    th { font-weight: 500; font-size: 12px; color: var(--soft); }
    th, td { padding: 7px 12px; text-align: right; white-space: nowrap; vertical-align: top;
      border-top: 1px solid var(--line); }
    th:first-child, td:first-child { padding-left: 16px; }
    th:last-child, td:last-child { padding-right: 16px; }
    .left { text-align: left; }
    td .sub { display: block; font-size: 12px; color: var(--soft); }
    .none { margin: 0; padding: 10px 16px; border-top: 1px solid var(--line); }
    .more td { border-top: 0; padding-top: 0; }
    td.error { white-space: normal; overflow-wrap: anywhere; font-size: 12px; color: var(--soft);
      text-align: left; }
    .away td { background: color-mix(in srgb, var(--bad-bed) 55%, transparent); }
    .state::before { content: "\25CF\2009"; }
    .state.warn::before { content: "\25B2\2009"; } .state.bad::before { content: "\25A0\2009"; }
    .state.idle::before { content: "\25CB\2009"; } .state.idle { color: var(--soft); }
    .meter { display: inline-block; width: 72px; height: 8px; margin-right: 8px; border-radius: 4px;
      background: var(--bar-bed); overflow: hidden; vertical-align: 1px; text-align: left; }
    .meter i { display: block; height: 100%; width: 0; background: var(--bar); border-radius: 4px; }
    button { font: inherit; font-size: 12px; padding: 1px 10px; border-radius: 5px; cursor: pointer;
      border: 1px solid var(--line); background: none; color: var(--soft); }
    button:hover, button:focus-visible { color: var(--ink); border-color: var(--soft); }
    button.sure { color: var(--bad); border-color: var(--bad); }
    form { margin: 60px auto; max-width: 380px; display: grid; gap: 10px; }
    input { font: inherit; padding: 7px 10px; border-radius: 6px; border: 1px solid var(--line);
      background: var(--card); color: var(--ink); }
    form button { font-size: 14px; padding: 6px 10px; }
    .stale section { opacity: .45; }
    @media (max-width: 700px) { body { padding: 12px; } .pool svg { display: none; } }
    </style>

    """#

  private static let markup = #"""
    <header><h1>Portico</h1><span class="facts" id="facts"></span></header>
    <p class="verdict" id="verdict" role="status">Asking…</p>
    <p class="note bad" id="silence" hidden></p>
    <p class="note warn" id="reload" hidden></p>
    <p class="note warn" id="said" hidden></p>
    <form id="login" hidden>
      <label for="token">This admin listener wants its token (admin.token).</label>
      <input id="token" type="password" autocomplete="current-password" required>
      <button>Show the fleet</button>
      <span class="soft">It stays in this tab and is forgotten when you close it.</span>
    </form>
    <main id="pools"></main>
    <noscript>This page needs JavaScript; <code>portico status</code> does not.</noscript>

    """#
}
