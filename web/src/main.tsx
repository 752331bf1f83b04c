import './styles/base.css';
import './styles/pages.css';
import './styles/trace.css';
import './styles/sampling.css';
import { render } from 'preact';
import { App } from './app.tsx';
import { load_boot } from './state/app.ts';
import { start_keys } from './state/keys.ts';
import { start_file_drop } from './state/opened_file.ts';
import { start_router } from './state/router.ts';

start_router();
start_keys();
start_file_drop();
void load_boot();
const root = document.getElementById('app');
if (root) {
  root.textContent = ''; // what was painted before this script came
  render(<App />, root);
}
