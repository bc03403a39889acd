/** Linked cameras: two viewers that always look from the same place, for comparing. */

/** Keep two viewers' cameras equal until the returned function is called. */
export function linkCameras(first, second) {
  let copying = false;
  const follow = (from, to) => () => {
    if (copying) return;
    copying = true;
    to.adoptCamera(from.cameraState());
    copying = false;
  };
  const stop = [first.on("camera", follow(first, second)), second.on("camera", follow(second, first))];
  follow(first, second)();
  return () => stop.forEach((end) => end());
}
