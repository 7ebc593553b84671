// Light or dark: follows the system until the user presses the button. Runs before the page is drawn.

(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = localStorage.getItem("legato-theme");
  if (stored === "light" || stored === "dark") root.dataset.theme = stored;

  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    // Name and picture say what the button gives.
    const show = () => {
      button.ariaLabel = button.title = isDark() ? "Light theme" : "Dark theme";
      button.querySelector(".sun").toggleAttribute("hidden", !isDark());
      button.querySelector(".moon").toggleAttribute("hidden", isDark());
    };
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      localStorage.setItem("legato-theme", root.dataset.theme);
      show();
    });
    system.addEventListener("change", show);
    show();
  });
})();
