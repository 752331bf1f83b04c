// What people do things with, for tests that do the same by pointer and by keyboard alone.

/** A pointer that counts: a click, a drag and a text typed are one interaction each. */
export class Pointer {
  constructor(tab) {
    this.tab = tab;
    this.count = 0;
  }
  async click(selector) {
    this.count++;
    await this.tab.click(selector);
  }
  async type(text) {
    this.count++;
    await this.tab.keyboard.type(text);
  }
  async drag(selector, [x0, y0], [x1, y1]) {
    this.count++;
    const box = await (await this.tab.waitForSelector(selector)).boundingBox();
    await this.tab.mouse.move(box.x + box.width * x0, box.y + box.height * y0);
    await this.tab.mouse.down();
    await this.tab.mouse.move(box.x + box.width * x1, box.y + box.height * y1, { steps: 4 });
    await this.tab.mouse.up();
  }
}

/** Keys that count: each press is one interaction, a text typed one. */
export class Keys {
  constructor(tab) {
    this.tab = tab;
    this.count = 0;
  }
  async press(...keys) {
    for (const key of keys) {
      this.count++;
      await this.tab.keyboard.press(key);
    }
  }
  async type(text) {
    this.count++;
    await this.tab.keyboard.type(text);
  }
  /** The browser's own key for going back, which no page gets to see. */
  async back() {
    this.count++;
    await this.tab.goBack();
  }
}
