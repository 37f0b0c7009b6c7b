/** The wheel in a notebook, which scrolls past a picture until the reader has clicked on it or reached it by keys. */

const FRAMED = window.parent !== window;

/** Whether a turn of the wheel is meant for the notebook around the page; with ctrl it is a trackpad's pinch. */
export function passes(event: WheelEvent, picture: HTMLElement): boolean {
  return FRAMED && !event.ctrlKey && !event.metaKey && !picture.contains(document.activeElement);
}
