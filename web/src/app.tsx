import type { ComponentChildren } from 'preact';
import { useLayoutEffect } from 'preact/hooks';
import { announcement, boot, boot_error, dark, load_boot, next_theme, open_dialog, page_link, utc } from './state/app.ts';
import { push_keys } from './state/keys.ts';
import { go, path } from './state/router.ts';
import { can_analyse } from './state/analysis.ts';
import { ComparePage } from './views/compare/compare_page.tsx';
import { DatabasesPage } from './views/databases/databases_page.tsx';
import { ErrorsPage } from './views/errors/errors_page.tsx';
import { FilePage } from './views/file/file_page.tsx';
import { HomePage } from './views/home/home_page.tsx';
import { LivePage } from './views/live/live_page.tsx';
import { MapPage } from './views/map/map_page.tsx';
import { SamplingPage } from './views/sampling/sampling_page.tsx';
import { SearchPage } from './views/search/search_page.tsx';
import { ServicePage } from './views/services/service_page.tsx';
import { SettingsPage } from './views/settings/settings_page.tsx';
import { TracePage } from './views/trace/trace_page.tsx';
import { WelcomePage } from './views/welcome/welcome_page.tsx';
import { Failure, Icon, kIcons, Loading } from './widgets/bits.tsx';
import { Help } from './widgets/help.tsx';
import { Palette } from './widgets/palette.tsx';
import { TimePicker } from './widgets/time_picker.tsx';
import * as texts from './texts/texts.ts';

/** Pages of what is counted over a time range. */
const kCounted = new Set(['/map', '/errors', '/databases']);

function has_range(here: string): boolean {
  return here === '/' || here === '/search' || here === '/sampling' || here === '/compare' || kCounted.has(here) || here.startsWith('/service/');
}

export function App() {
  useLayoutEffect(() => push_keys(global_keys()), []);
  return (
    <>
      <a class="skip" href="#main">
        {texts.frame.skip_to_the_content}
      </a>
      <TopBar />
      <Page key={path.value === '/settings' ? 'settings' : String(utc.value)} />
      <div class="visually-hidden" aria-live="polite" role="status">
        {announcement.value}
      </div>
      {open_dialog.value === 'help' && <Help />}
      {open_dialog.value === 'palette' && <Palette />}
    </>
  );
}

function Page() {
  if (boot_error.value && !boot.value) {
    return (
      <main class="page" id="main" tabIndex={-1}>
        <h1>{texts.frame.spanloom_does_not_answer}</h1>
        <Failure error={boot_error.value} retry={() => void load_boot()} />
      </main>
    );
  }
  if (!boot.value) {
    return (
      <main class="page" id="main" tabIndex={-1}>
        <h1 class="visually-hidden">spanloom</h1>
        <Loading what={texts.frame.starting} />
      </main>
    );
  }
  const here = path.value;
  const trace = /^\/trace\/([0-9a-fA-F]{1,32})\/?$/.exec(here);
  if (trace) return <TracePage id={trace[1].toLowerCase().padStart(32, '0')} />;
  if (here === '/search') return <SearchPage />;
  if (here === '/compare') return <ComparePage />;
  if (here === '/live') return <LivePage />;
  if (here === '/file') return <FilePage />;
  if (here === '/settings') return <SettingsPage />;
  if (here === '/sampling') return <SamplingPage />;
  const service = /^\/service\/([^/]+)$/.exec(here);
  if (service || kCounted.has(here)) {
    if (!can_analyse()) return <NotHere />;
    if (service) return <ServicePage name={decodeURIComponent(service[1])} />;
    if (here === '/map') return <MapPage />;
    return here === '/errors' ? <ErrorsPage /> : <DatabasesPage />;
  }
  if (here === '/welcome') return <WelcomePage />;
  if (here === '/') return boot.value.spans === '0' ? <WelcomePage /> : <HomePage />;
  return (
    <main class="page" id="main" tabIndex={-1}>
      <h1>{texts.frame.there_is_no_page_here}</h1>
      <p class="mono wrap">{here}</p>
      <p>
        <a href="/">{texts.frame.home}</a> {texts.frame.or} <a href="/search">{texts.frame.search}</a> {texts.frame.may_have_what_you_look_for}
      </p>
    </main>
  );
}

function NotHere() {
  return (
    <main class="page" id="main" tabIndex={-1}>
      <h1>{texts.frame.this_server_does_not_count}</h1>
      <p>{texts.frame.the_page_is_made_of_traceql}</p>
    </main>
  );
}

function TopBar() {
  const here = path.value;
  const ranged = has_range(here);
  return (
    <header class="top-bar">
      <a href="/" class="brand" aria-label={texts.frame.spanloom_home}>
        <Logo />
        <span class="brand-name">spanloom</span>
      </a>
      <nav aria-label={texts.frame.pages}>
        <NavLink to="/" here={here}>
          {texts.frame.home}
        </NavLink>
        <NavLink to="/search" here={here}>
          {texts.frame.search}
        </NavLink>
        {can_analyse() && (
          <>
            <NavLink to="/map" here={here}>
              {texts.frame.map}
            </NavLink>
            <NavLink to="/errors" here={here}>
              {texts.frame.errors}
            </NavLink>
            <NavLink to="/databases" here={here}>
              {texts.frame.databases}
            </NavLink>
          </>
        )}
        <NavLink to="/compare" here={here}>
          {texts.frame.compare}
        </NavLink>
        <NavLink to="/sampling" here={here}>
          {texts.frame.sampling}
        </NavLink>
        <a href="/live" aria-current={here === '/live' ? 'page' : undefined}>
          {texts.frame.live}
        </a>
        <a href="/welcome" aria-current={here === '/welcome' ? 'page' : undefined} class="nav-send">
          {texts.frame.send_data}
        </a>
      </nav>
      <div class="top-right">
        {ranged && boot.value && boot.value.spans !== '0' && <TimePicker />}
        <button type="button" class="palette-button" onClick={() => (open_dialog.value = 'palette')} aria-keyshortcuts="Control+K" title={texts.frame.go_to_a_page_a_service}>
          <Icon d={kIcons.search} size={14} />
          <span class="visually-hidden">{texts.frame.go_to_a_page_a_service}</span>
          <kbd>Ctrl K</kbd>
        </button>
        <button type="button" class="quiet" onClick={next_theme} aria-label={dark.value ? texts.frame.use_the_light_theme : texts.frame.use_the_dark_theme} title={texts.frame.light_or_dark_t}>
          <Icon d={dark.value ? kIcons.sun : kIcons.moon} />
        </button>
        <a class="quiet settings-link" href="/settings" aria-current={here === '/settings' ? 'page' : undefined} aria-label={texts.frame.settings} title={texts.frame.settings_g_o}>
          <Icon d={kIcons.gear} />
        </a>
        <button type="button" class="quiet help-button" onClick={() => (open_dialog.value = 'help')} aria-label={texts.frame.keys_and_help} title={texts.frame.keys_button}>
          ?
        </button>
      </div>
    </header>
  );
}

function NavLink(props: { to: string; here: string; children: ComponentChildren }) {
  return (
    <a href={page_link(props.to)} aria-current={props.here === props.to ? 'page' : undefined}>
      {props.children}
    </a>
  );
}

function Logo() {
  return (
    <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
      <rect width="32" height="32" rx="7" class="logo-ground" />
      <rect x="5" y="7" width="16" height="4.4" rx="2.2" fill="#fff" />
      <rect x="9" y="13.8" width="18" height="4.4" rx="2.2" fill="#9fe3d6" />
      <rect x="13" y="20.6" width="10" height="4.4" rx="2.2" fill="#fff" opacity=".72" />
    </svg>
  );
}

function global_keys(): Record<string, (event: KeyboardEvent) => void> {
  const to = (link: () => string) => (event: KeyboardEvent): void => {
    event.preventDefault();
    go(link());
  };
  const page = (path: string) => to(() => page_link(path));
  return {
    '?': () => (open_dialog.value = 'help'),
    t: () => next_theme(),
    'g h': page('/'), 'g s': page('/search'), 'g m': page('/map'), 'g e': page('/errors'), 'g d': page('/databases'), 'g c': page('/compare'), 'g p': page('/sampling'),
    'g l': to(() => '/live'), 'g o': to(() => '/settings'),
  };
}
