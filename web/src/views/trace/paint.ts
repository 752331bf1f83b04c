import { kDarkPalette, kLightPalette, kSlots } from '../../model/colors.ts';

/** Colours of the canvas, read once per theme. */
export interface Paint {
  dark: boolean;
  palette: string[];
  grid: string;
  text: string;
  muted: string;
  error: string;
  accent: string;
  surface: string;
  font: string;
}

export function read_paint(dark: boolean): Paint {
  const style = getComputedStyle(document.documentElement);
  const token = (name: string): string => style.getPropertyValue(name).trim();
  return {
    dark,
    palette: dark ? kDarkPalette : kLightPalette,
    grid: token('--grid'),
    text: token('--text'),
    muted: token('--muted'),
    error: token('--error'),
    accent: token('--accent'),
    surface: token('--surface'),
    font: `11px ${token('--font-sans')}`,
  };
}

export function slot_color(paint: { palette: string[] }, slot: number): string {
  return paint.palette[slot % kSlots];
}

/** Diagonal stripes of one colour, as a canvas pattern; made once per colour and context. */
export class Stripes {
  private readonly made = new Map<string, CanvasPattern | null>();
  private readonly context: CanvasRenderingContext2D;
  constructor(context: CanvasRenderingContext2D) {
    this.context = context;
  }
  of(color: string): CanvasPattern | null {
    let pattern = this.made.get(color);
    if (pattern === undefined) {
      const tile = document.createElement('canvas');
      tile.width = tile.height = 6;
      const draw = tile.getContext('2d');
      if (draw) {
        draw.strokeStyle = color;
        draw.lineWidth = 1.6;
        for (const shift of [-6, 0, 6]) {
          draw.beginPath();
          draw.moveTo(shift - 1, 7);
          draw.lineTo(shift + 7, -1);
          draw.stroke();
        }
      }
      pattern = this.context.createPattern(tile, 'repeat');
      this.made.set(color, pattern);
    }
    return pattern;
  }
  clear(): void {
    this.made.clear();
  }
}
