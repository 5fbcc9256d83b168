/* Tells the server while the customer types, so that the window waits for them. */

const BEGIN_MS = 300; // a paste, or a tap that sends at once, is no typing
const RENEW_MS = 4_000; // said again while they go on, well before the server takes it to be over
const REST_MS = 3_000; // without a key for so long they have stopped

export class Typing {
  /** tell(on) reaches the server; what is lost on the way expires there. */
  constructor(tell) {
    this.tell = tell;
    this.on = false;
    this.toldMs = 0;
    this.beginning = 0;
    this.resting = 0;
  }

  /** After each change of the text. */
  input(hasText) {
    if (!hasText) return this.stop();
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.stop(), REST_MS);
    if (this.on && Date.now() - this.toldMs >= RENEW_MS) this.say();
    if (!this.on && !this.beginning) this.beginning = setTimeout(() => this.say(), BEGIN_MS);
  }

  say() {
    this.on = true;
    this.beginning = 0;
    this.toldMs = Date.now();
    this.tell(true);
  }

  stop() {
    const told = this.on;
    this.sent();
    if (told) this.tell(false);
  }

  /** The text became a message, which itself says that the typing is over. */
  sent() {
    clearTimeout(this.beginning);
    clearTimeout(this.resting);
    this.beginning = 0;
    this.on = false;
  }
}
