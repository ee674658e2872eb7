// Images that are fetched when their place is near the screen.
import { showImage } from "./api.js";
import { element } from "./elements.js";

const addresses = new WeakMap(); // of images that are not fetched yet
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    showImage(target, addresses.get(target));
  }
}, { rootMargin: "400px" });

// Return an image of an address; `lost` is called if it cannot be shown.
export function lazyImage(address, alt, lost) {
  const img = element("img", { alt });
  img.addEventListener("error", lost);
  addresses.set(img, address);
  watcher.observe(img);
  return img;
}
