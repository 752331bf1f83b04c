/** One recycled row of the page. What is written to it is remembered: most rows that follow each other differ in little. */
export interface Slot {
  element: HTMLElement;
  /** What was last written, by where. */
  written: Map<string, string>;
  indent: HTMLElement;
  dot: HTMLElement;
  mark: HTMLElement;
  service: HTMLElement;
  hidden: HTMLElement;
  twist_text: Text;
  mark_text: Text;
  service_text: Text;
  operation_text: Text;
  hidden_text: Text;
  time_text: Text;
  row: number;
  position: number;
  stamp: number;
}

type TextPart = 'twist_text' | 'mark_text' | 'service_text' | 'operation_text' | 'hidden_text' | 'time_text';

export function make(tag: string, name: string, parent: HTMLElement, role = ''): HTMLElement {
  const element = document.createElement(tag);
  element.className = name;
  if (role) element.setAttribute('role', role);
  parent.append(element);
  return element;
}

/** Writes what differs from what stands there. A value that is '' takes an attribute away. */
export function write_attribute(slot: Slot, name: string, value: string): void {
  if (slot.written.get(name) === value) return;
  slot.written.set(name, value);
  if (value === '') slot.element.removeAttribute(name);
  else slot.element.setAttribute(name, value);
}

export function write_text(slot: Slot, part: TextPart, value: string): void {
  if (slot.written.get(part) === value) return;
  slot.written.set(part, value);
  slot[part].data = value;
}

export function write_class(slot: Slot, part: 'element' | 'dot' | 'mark' | 'service' | 'hidden', value: string): void {
  if (slot.written.get(part) === value) return;
  slot.written.set(part, value);
  slot[part].className = value;
}

export function write_style(slot: Slot, element: HTMLElement, name: string, value: string): void {
  if (slot.written.get(name) === value) return;
  slot.written.set(name, value);
  element.style.setProperty(name, value);
}

function make_text(parent: HTMLElement): Text {
  const text = document.createTextNode('');
  parent.append(text);
  return text;
}

export function make_slot(layer: HTMLElement, index: number): Slot {
  const element = make('div', 'wf-row', layer, 'row');
  element.id = `wf-row-${index}`;
  const name = make('div', 'wf-name', element, 'gridcell');
  const indent = make('span', 'wf-indent', name);
  const twist = make('span', 'wf-twist', name);
  const dot = make('span', 'wf-dot', name);
  const mark = make('span', 'wf-mark', name);
  const service = make('span', 'wf-service', name);
  const operation = make('span', 'wf-operation', name);
  const hidden = make('span', 'wf-hidden', name);
  const time = make('div', 'visually-hidden', element, 'gridcell');
  return {
    element, written: new Map(), indent, dot, mark, service, hidden, twist_text: make_text(twist), mark_text: make_text(mark), service_text: make_text(service),
    operation_text: make_text(operation), hidden_text: make_text(hidden), time_text: make_text(time), row: -1, position: -1, stamp: -1,
  };
}

/** Out of sight until it is needed again. */
export function hide_slot(slot: Slot): void {
  slot.position = -1;
  slot.stamp = -1;
  slot.element.style.display = 'none';
  write_class(slot, 'element', 'wf-row');
}
