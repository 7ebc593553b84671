// Keeps the screen on during captions, where the browser can.

let wanted = false;
let lock = null;

export async function keepAwake(awake) {
  wanted = awake;
  if (!awake) {
    lock?.release();
    lock = null;
    return;
  }
  try {
    if (!lock || lock.released) lock = await navigator.wakeLock?.request("screen");
    if (!wanted) lock?.release();
  } catch {
    // The battery is low, or the page is not in view. Captions work without.
  }
}

// The browser takes the lock away when the page is out of view.
document.addEventListener("visibilitychange", () => {
  if (wanted && document.visibilityState === "visible") keepAwake(true);
});
