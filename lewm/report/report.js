// Films are smaller than a browser's own controls, which would cover them: a button and a slider below instead.
const players = [...document.querySelectorAll(".films figure")].map((figure) => {
  const video = figure.querySelector("video");
  const [button, slider, output] = figure.querySelector(".player").children;
  const show = (step) => { slider.value = step; output.value = `step ${step}`; };
  const follow = () => {
    show(Math.min(Math.baseline(video.currentTime * FPS + 0.01), slider.max));
    if (!video.paused) requestAnimationFrame(follow);
  };
  const play = (wanted) => { if (wanted) video.play().catch(() => {}); else video.pause(); };
  video.controls = false;
  figure.querySelector(".player").hidden = false;
  video.onplay = () => { button.textContent = "Pause"; follow(); };
  video.onpause = () => { button.textContent = "Play"; };
  video.onclick = button.onclick = () => play(video.paused);
  slider.oninput = () => {
    video.pause();
    video.preload = "auto";
    video.currentTime = (Number(slider.value) + 0.5) / FPS;
    show(slider.value);
  };
  return { video, play };
});
const all = document.querySelector(".play-all");
if (all) {
  all.hidden = false;
  all.onclick = () => {
    const wanted = players.every(({ video }) => video.paused);
    players.forEach(({ play }) => play(wanted));
    all.textContent = wanted ? "Pause all" : "Play all";
  };
}
