// Which traces stay: rules, their change, previews, decisions, pins.

import assert from 'node:assert/strict';
import { named_id } from './fixtures.mjs';
import { check_accessibility, check_no_overflow, open_trace, shot } from './lib.mjs';

const trace_path = (name, more = '') => `/trace/${named_id(name)}${more}`;
const kGone = 'ab'.repeat(16);
const rows = (tab, selector) => tab.$$eval(`${selector} tbody tr`, (all) => all.map((row) => [...row.cells].map((cell) => cell.textContent.trim())));
const hostile = '<img src=x onerror=alert(1)>';

async function sampling(tab, url, more = '') {
  await tab.goto(`${url}/sampling${more}`);
  await tab.waitForSelector('.rules tbody tr');
}

export const keep_scenarios = {
  'keep: the rules in force, in words; what they would keep, and that nothing was changed': async ({ page, url }) => {
    const tab = await page();
    await sampling(tab, url);
    await tab.waitForSelector('text=by default: nobody has set others');
    await tab.waitForSelector('text=There is no room when the disk is 80 % full');
    assert.deepEqual(await rows(tab, '.rules'), [
      ['1errors', '{ status = error }', 'all', 'as retention says'], ['2slow', 'the slowest 1 % of each resource.service.name and name', 'all', 'as retention says'],
      ['3rest', 'every trace', '10 a second, shared out fairly by resource.service.name and name', 'as retention says'],
    ]);
    await tab.click('text=What would they keep?');
    await tab.waitForSelector('.preview tbody tr');
    await tab.waitForSelector('text=This is a preview: nothing has been changed.');
    const [by_rule, by_service] = await tab.$$eval('.preview', (tables) => tables.map((table) => [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent))));
    assert.deepEqual(by_rule.map((row) => row[0]), ['errors', 'slow', 'rest']);
    assert.deepEqual(by_rule[0].slice(1, 6), ['3,100', '3,100', '2.6 MB', '2.6 MB', '100 %']);
    assert.equal(by_service.at(-1)[0], 'root not received');
    await tab.waitForSelector('text=about 418 days');
    await check_accessibility(tab, 'a preview');
    await shot(tab, 'sampling-preview-light');
  },

  'keep: a preview says what saved searches would not find any more': async ({ page, mock, url }) => {
    mock.documents.set('searches/shared', { body: JSON.stringify([{ name: 'failing', q: '{ status = error }' }, { name: hostile, q: '{ .user.id = "4815" }' }, { name: 'rates', q: '{ } | rate()' }, { name: 'slow', q: '{ duration > 1s }' }]), version: 1 });
    const tab = await page({ allow: [/status of 400/] });
    await sampling(tab, url);
    await tab.click('text=What would they keep?');
    await tab.waitForSelector('text=A saved search would find nothing any more of what it finds now.');
    const found = await tab.$$eval('[aria-label="By saved search"] tbody tr', (all) => all.map((row) => [...row.cells].slice(0, 3).map((cell) => cell.textContent)));
    assert.deepEqual(found, [['failing', '1,200', '1,200'], [hostile, '1,200', '0'], ['slow', '1,200', '24']]);
    await tab.waitForSelector('text=Not judged, as they find no traces or are too many: rates.');
    await check_accessibility(tab, 'a preview with searches');
    await shot(tab, 'sampling-preview-searches-light');
    await tab.click('[aria-label="By saved search"] a >> nth=0');
    await tab.waitForURL(/search\?q=/);
  },

  'keep: rules are changed by keyboard; what is wrong is said at its field; then they are given up': async ({ page, mock, url }) => {
    const tab = await page({ allow: [/status of 400/], theme: 'dark', height: 1600 });
    await sampling(tab, url);
    await tab.focus('[aria-label="Edit the rules"]');
    await tab.keyboard.press('Enter');
    await tab.waitForURL('**/sampling?edit=form');
    await check_accessibility(tab, 'editing rules');
    await tab.fill('fieldset:nth-of-type(1) label:nth-child(2) input', '{ status = error');
    await tab.click('.edit-buttons >> text=Preview');
    await tab.waitForSelector('[aria-invalid=true]:focus');
    assert.match(await tab.textContent('.field-problem'), /\^parse error at line 1, col 17: the query ends before its closing/);
    await check_accessibility(tab, 'a wrong rule');
    await shot(tab, 'sampling-edit-problem-dark');
    await tab.keyboard.type(' }');
    await tab.waitForSelector('.field-problem', { state: 'detached' });
    await tab.selectOption('fieldset:nth-of-type(3) select', 'rate');
    await tab.fill('fieldset:nth-of-type(3) label:nth-child(5) input', '0.5');
    await tab.fill('fieldset:nth-of-type(3) label:nth-child(6) input', '');
    await tab.fill('fieldset:nth-of-type(1) label:nth-child(6) input', '30d');
    await tab.click('text=Add a rule');
    await tab.fill('fieldset:nth-of-type(4) label:nth-child(1) input', hostile);
    await tab.click(`[aria-label="Move ${hostile} up"]`);
    await tab.click('.edit-buttons >> text=Preview');
    await tab.waitForSelector('.editor .preview tbody tr');
    assert.equal(mock.keep.rules.version, 0, 'a preview changes nothing');
    await shot(tab, 'sampling-edit-preview-dark');
    await tab.fill('.rules-form > .rule-fields label:nth-child(1) input', '24h');
    assert.equal(await tab.$('.editor .preview'), null, 'what is shown is always of what is written');
    await tab.click('.edit-buttons >> text=Save');
    await tab.waitForSelector('.editor', { state: 'detached' });
    assert.deepEqual(mock.keep.rules.rules, {
      recent: { for: '24h' },
      keep: [
        { name: 'errors', match: '{ status = error }', rate: 1, for: '30d' }, { name: 'slow', slowest: 0.01, rate: 1, by: ['resource.service.name', 'name'] }, { name: hostile, rate: 1 }, { name: 'rest', rate: 0.5 },
      ],
    });
    await tab.waitForSelector('text=saved here, version 1, just now');
    await tab.waitForSelector('text=Recent traces all stay for 24 h');
    await tab.click('text=Back to the configuration');
    await tab.click('text=Give them up');
    await tab.waitForSelector('text=by default: nobody has set others');
    assert.equal(mock.keep.rules.source, 'default');
  },

  'keep: rules as text, with the line of what is wrong, and back to the form': async ({ page, mock, url }) => {
    const tab = await page({ allow: [/status of 400/] });
    await sampling(tab, url, '?edit=form');
    await tab.click('.editor >> text=Text');
    await tab.waitForURL('**/sampling?edit=text');
    const field = '.rules-text textarea';
    const text = await tab.inputValue(field);
    assert.match(text, /\{"name": "errors", "match": "\{ status = error \}", "rate": 1\},\n/);
    await tab.fill(field, text.replace('"rate": 1}', '"rate": 1'));
    await tab.click('.edit-buttons >> text=Save');
    await tab.waitForSelector('#rules-text-problem >> text=Line 5, column 5: this is not JSON');
    await check_accessibility(tab, 'rules that are no JSON');
    await tab.fill(field, text.replace('"rate": 1}', '"for": "soon"}'));
    await tab.click('.edit-buttons >> text=Save');
    await tab.waitForSelector('#rules-text-problem >> text=Line 4, column 62: must be a duration like 24h or 30d');
    assert.equal(await tab.$eval(field, (area) => area.value.slice(area.selectionStart, area.selectionStart + 6)), '"soon"');
    await shot(tab, 'sampling-text-problem-light');
    await tab.fill(field, text.replace('"rate": 1}', '"colour": 1}'));
    await tab.click('.editor >> text=Form');
    await tab.waitForSelector('text=The form has no fields for what is in the text');
    await tab.fill(field, text.replace('"rate": 1}', '"for": "7d"}'));
    await tab.click('.editor >> text=Form');
    await tab.waitForSelector('fieldset:nth-of-type(1)');
    assert.equal(await tab.inputValue('fieldset:nth-of-type(1) label:nth-child(6) input'), '7d');
    await tab.click('.edit-buttons >> text=Cancel');
    await tab.waitForSelector('.editor', { state: 'detached' });
    assert.equal(mock.keep.rules.version, 0);
  },

  'keep: someone saves meanwhile: theirs are shown, and one of the two is chosen': async ({ page, mock, url }) => {
    const tab = await page({ allow: [/status of 412/] });
    for (const [choice, kept] of [['Take them, drop mine', 'theirs'], ['Replace them with mine', 'mine']]) {
      mock.keep.save({ keep: [{ name: 'before', rate: 1 }] });
      await sampling(tab, url, '?edit=form');
      await tab.fill('fieldset:nth-of-type(1) label:nth-child(1) input', 'mine');
      mock.keep.save({ keep: [{ name: 'theirs', match: '{ .tenant = "gold" }', rate: 1 }] });
      await tab.click('.edit-buttons >> text=Save');
      await tab.waitForSelector('.conflict >> text=Someone saved other rules meanwhile');
      assert.deepEqual((await tab.$$eval('.rules tbody th', (all) => all.map((one) => one.textContent))), ['1theirs', '1theirs'], 'also where the rules in force stand');
      await check_accessibility(tab, 'rules that someone else changed');
      await shot(tab, 'sampling-conflict-light');
      await tab.click(`text=${choice}`);
      await tab.waitForSelector('.editor', { state: 'detached' });
      assert.deepEqual(mock.keep.rules.rules.keep.map((rule) => rule.name), [kept]);
      await tab.waitForSelector(`.rules >> text=${kept}`);
    }
  },

  'keep: who may not change rules or pins is told so': async ({ page, mock, url }) => {
    mock.keep.refused = 'this is allowed only from the machine that spanloom runs on';
    const tab = await page({ allow: [/status of 403/] });
    await sampling(tab, url, '?edit=form');
    await tab.click('.edit-buttons >> text=Save');
    await tab.waitForSelector(`.editor .failure >> text=${mock.keep.refused}`);
    await open_trace(tab, url + trace_path('shop'));
    await tab.click('.pin-button');
    await tab.waitForSelector(`.pin-problem >> text=${mock.keep.refused}`);
    assert.equal(await tab.getAttribute('.pin-button', 'aria-pressed'), 'false');
    await check_accessibility(tab, 'a pin that is refused');
  },

  'keep: why a trace was dropped: asked for, and where the trace was looked for': async ({ page, mock, url }) => {
    mock.keep.decide(kGone, false);
    const tab = await page({ allow: [/status of 404/] });
    await sampling(tab, url);
    await tab.waitForSelector('text=Each decision is known for 30 d.');
    await tab.fill('.decisions input', kGone.toUpperCase());
    await tab.keyboard.press('Enter');
    await tab.waitForSelector('.why-told >> text=Dropped 3 h ago by the rule “rest”, which kept 1 in 100.');
    assert.match(tab.url(), new RegExp(`trace=${kGone}`));
    const facts = await tab.$$eval('.why .pairs > div', (all) => Object.fromEntries(all.map((one) => [...one.children].map((part) => part.textContent))));
    assert.deepEqual({ ...facts, When: '' }, {
      Rule: '{"name": "rest", "per_second": 50, "by": ["resource.service.name", "name"]}', Rules: 'saved, version 4', When: '', Threshold: 'fd70a3d70a3d70', Spans: '23',
      Bytes: 'about 5.6 kB', Duration: 'about 410 ms', Error: 'no', 'Spans stored now': '0',
    });
    await check_accessibility(tab, 'why a trace was dropped');
    await tab.$eval('.decisions', (part) => part.scrollIntoView());
    await shot(tab, 'sampling-why-light');
    await tab.fill('.decisions input', 'f'.repeat(31) + 'g');
    await tab.waitForSelector('text=a trace id has 32 digits');

    const dark = await page({ theme: 'dark', allow: [/status of 404/] });
    await dark.goto(`${url}/trace/${kGone}`);
    await dark.waitForSelector('h1 >> text=This trace was dropped');
    await dark.waitForSelector('.why-told >> text=Dropped 3 h ago');
    await check_accessibility(dark, 'a trace that was dropped');
    await shot(dark, 'trace-dropped-dark');
    mock.keep.decide(kGone, true, { rule: 'errors', threshold: '00000000000000', one_in: 1 });
    mock.keep.known.get(kGone).stored_spans = 0;
    await dark.reload();
    await dark.waitForSelector('h1 >> text=This trace is gone');
    await dark.waitForSelector('text=It is gone since, by retention.');
    await dark.goto(`${url}/trace/${'cd'.repeat(16)}`);
    await dark.waitForSelector('h1 >> text=This trace is not here');
    await dark.waitForSelector('text=No rule dropped it, as far back as decisions are known.');
  },

  'keep: why a trace was kept, on its page': async ({ page, mock, url }) => {
    mock.keep.decide(named_id('shop'), true, { rule: 'errors', rule_text: { name: 'errors', match: '{ status = error }', rate: 1 }, rules_source: 'default', rules_version: 0, threshold: '00000000000000', one_in: 1, error: true });
    mock.keep.known.get(named_id('shop')).forwarded = [{ target: 'vendor', state: 'sent', rule: 'errors', one_in: 1, late: false, spans: 23, decided: mock.keep.ns(7_200_000), ended: mock.keep.ns(7_200_000), known_since: null, problem: '' }];
    const tab = await page();
    await open_trace(tab, url + trace_path('shop'));
    await tab.click('.trace-facts >> text=kept by errors');
    await tab.waitForSelector('.why-told >> text=Kept 3 h ago by the rule “errors”.');
    assert.match(tab.url(), /why=1/);
    await tab.waitForSelector('#why-panel dd >> text=Sent 2 h ago. Chosen by the rule “errors”. 23 spans.');
    await check_accessibility(tab, 'why a trace was kept');
    await shot(tab, 'trace-why-light');
    await tab.reload();
    await tab.waitForSelector('#why-panel >> text=those by default');
    await tab.click('.trace-facts >> text=kept by errors');
    await tab.waitForSelector('#why-panel', { state: 'detached' });
    await open_trace(tab, url + trace_path('broken'));
    await tab.waitForSelector('.trace-facts >> text=recent, not decided yet');
    const phone = await page({ width: 320, height: 700, theme: 'dark' });
    await open_trace(phone, url + trace_path('shop', '?why=1'));
    await phone.waitForSelector('#why-panel .why-told');
    await check_no_overflow(phone, 'why a trace was kept');
    await shot(phone, 'phone-trace-why-dark');
  },

  'keep: pinned elsewhere, with a reason; let go on the page of sampling': async ({ page, mock, url }) => {
    mock.keep.pins = [{ trace_id: kGone, at: mock.keep.ns(60_000), by: 'ada', reason: `the outage of May ${hostile}` }];
    const tab = await page();
    await tab.goto(url);
    await tab.waitForSelector(`section[aria-labelledby=pinned-title] >> text=the outage of May`);
    await sampling(tab, url);
    const [[trace, reason, ago]] = await rows(tab, '.pins');
    assert.deepEqual([trace, reason], [kGone, `the outage of May ${hostile} ada`]);
    assert.match(ago, /^\d+ min ago$/);
    await check_accessibility(tab, 'pins');
    await tab.click(`[aria-label="Let go of ${kGone}"]`);
    await tab.waitForSelector('text=None. Pin on the page of a trace keeps it for ever');
    assert.deepEqual(mock.keep.pins, []);
  },

  'keep: counts of sampled spans say that they are estimates': async ({ page, mock, url }) => {
    const places = [['/search', '.red-strip'], ['/service/payment', '.lines'], ['/map', '.graph .node'], ['/errors', '.sums tbody tr'], ['/databases', '.sums tbody tr'], [`/compare?${new URLSearchParams({ a: '{ status = error }', b: '{ status != error }' })}`, '.sums tbody tr'],
      [`/compare?${new URLSearchParams({ a: named_id('shop'), b: '{ }' })}`, '.sums tbody tr']];
    const tab = await page();
    for (const sampled of [false, true]) {
      mock.sampled = sampled;
      for (const [path, ready] of places) {
        await tab.goto(url + path);
        await tab.waitForSelector(ready);
        assert.equal((await tab.$$('.sampled-note')).length, sampled ? 1 : 0, path);
        if (sampled) await check_accessibility(tab, `${path}, sampled`);
        if (sampled && path === '/search') await shot(tab, 'search-sampled-light');
      }
    }
  },

  'keep: all of it within 320 pixels': async ({ page, mock, url }) => {
    mock.keep.decide(kGone, false);
    mock.keep.pins = [{ trace_id: named_id('shop'), at: mock.keep.ns(60_000), by: '', reason: '' }];
    const tab = await page({ width: 320, height: 700 });
    await sampling(tab, url, `?trace=${kGone}&edit=form`);
    await tab.click('.edit-buttons >> text=Preview');
    await tab.waitForSelector('.editor .preview tbody tr');
    await tab.waitForSelector('.why-told');
    await check_no_overflow(tab, 'the form and a preview');
    await check_accessibility(tab, 'sampling on a phone');
    await tab.screenshot({ path: 'build/screenshots/phone-sampling.png', fullPage: true });
    await tab.click('.editor >> text=Text');
    await tab.waitForSelector('.rules-text');
    await check_no_overflow(tab, 'rules as text');
  },
};
